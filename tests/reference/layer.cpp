/// \file Cases of kind layer and backward: the reference's options in the words of this layer.
#include <torch/csrc/autograd/autograd.h>

#include "core/gradient/spectrum.hpp"
#include "tests/reference/case.hpp"

namespace zstar::reference {
namespace {

class Recording final : public Solver, public Driver, public Statistics, private Evaluator {
 public:
  Recording(std::unique_ptr<Solver> inner, AdjointRecord& record) : inner_(std::move(inner)), record_(record) {}
  void* query(std::string_view id) override {
    if (id == Driver::id) return static_cast<Driver*>(this);
    if (id == Statistics::id) return static_cast<Statistics*>(this);
    return nullptr;
  }
  void begin(std::int64_t b, std::int64_t d) override { inner_->begin(b, d); }
  Tensor propose(const Tensor& z, const Tensor& fz) override { return inner_->propose(z, fz); }
  void keep(const Tensor& rows) override { inner_->keep(rows); }
  Limits enforced(const Limits& asked) const override { return zstar::query<Driver>(*inner_)->enforced(asked); }
  Tensor drive(Evaluator& f, const Tensor& z0) override {
    f_ = &f;
    return record_.solution = zstar::query<Driver>(*inner_)->drive(*this, z0);
  }
  std::vector<std::pair<std::string, Tensor>> statistics() override { return zstar::query<Statistics>(*inner_)->statistics(); }

 private:
  std::optional<Tensor> evaluate(const Tensor& z, Purpose purpose) override {
    auto y = f_->evaluate(z, purpose);
    record_.in.push_back(z.clone()), record_.out.push_back(y->clone());
    return y;
  }
  void sample(const Tensor& z) override { f_->sample(z); }
  const Limits& limits() const override { return f_->limits(); }

  std::unique_ptr<Solver> inner_;
  AdjointRecord& record_;
  Evaluator* f_ = nullptr;
};

solve::Options side(const Case& c, const std::string& prefix, std::int64_t steps, double tolerance) {
  return {.tolerance = c.get((prefix + "tol").c_str(), tolerance), .max_evaluations = c.get((prefix + "max_iter").c_str(), steps),
          .stop = c.get<std::string>((prefix + "stop_mode").c_str(), "abs") == "rel" ? "relative" : "absolute"};
}

}  // namespace

Setup set_up(const Case& c, AdjointRecord& record) {
  const auto forward_call = c.settings.value("forward", nlohmann::json::object());
  const auto extras = forward_call.contains("solver_kwargs") && forward_call["solver_kwargs"].is_object() ? forward_call["solver_kwargs"] : nlohmann::json::object();
  Setup s;
  s.training = c.get<std::string>("mode", "train") == "train";
  s.parts.forward = compatible_solver(c.get<std::string>("f_solver", "fixed_point_iter"), extras, side(c, "f_", 40, 1e-3));
  s.parts.adjoint = compatible_solver(c.get<std::string>("b_solver", "fixed_point_iter"), {}, c.kind == "backward" ? side(c, "", 50, 1e-3) : side(c, "b_", 40, 1e-6));
  s.parts.adjoint.make = [make = s.parts.adjoint.make, &record] { return std::make_unique<Recording>(make(), record); };
  s.parts.options.adjoint_scale = "none";
  const std::int64_t budget = s.parts.forward.options.max_evaluations;
  s.budget = extras.value("f_max_iter", budget);
  if (!s.training && !extras.contains("f_max_iter")) {
    const auto eval = c.get("eval_f_max_iter", std::int64_t{0});
    s.budget = eval > 0 ? eval : static_cast<std::int64_t>(static_cast<double>(budget) * c.get("eval_factor", 1.0));
  }
  set_plan(c, s);
  return s;
}

namespace {

void compare_states(Case& c, const Family& family, const std::vector<State>& states) {
  c.compare("output/count", torch::tensor(static_cast<std::int64_t>(states.size())));
  for (std::size_t k = 0; k < states.size(); ++k)
    for (std::size_t i = 0; i < family.states.size(); ++i) c.compare("output/z_" + std::to_string(k) + family.states[i], states[k][i]);
}

void compare_gradients(Case& c, const Family& family, const std::vector<State>& states) {
  Tensor loss;
  for (std::size_t k = 0; k < states.size(); ++k)
    for (std::size_t i = 0; i < family.states.size(); ++i) {
      const Tensor term = (c.at("input/v_" + std::to_string(k) + family.states[i]) * states[k][i]).sum();
      loss = loss.defined() ? loss + term : term;
    }
  c.compare("output/loss", loss);
  std::vector<Tensor> leaves;
  for (const auto& [name, leaf] : family.leaves) leaves.push_back(leaf);
  const auto grads = torch::autograd::grad({loss}, leaves, {}, /*retain_graph=*/false, /*create_graph=*/false, /*allow_unused=*/true);
  std::size_t i = 0;
  for (const auto& [name, leaf] : family.leaves) {
    c.compare("grad/" + name, grads[i].defined() ? grads[i] : torch::zeros_like(leaf));
    ++i;
  }
}

void compare_adjoint(Case& c, const Joined& joined, const AdjointRecord& record) {
  if (!record.solution.defined()) return;
  c.compare("output/adjoint", record.solution);
  for (const auto& reports : joined.backward)
    for (const Report& report : *reports)  // sampled states leave tallies, without statistics
      for (const auto& [key, tensor] : report.statistics) c.compare("output/b_" + key, tensor);
  c.compare("trace/b_in", torch::stack(record.in));
  c.compare("trace/b_out", torch::stack(record.out));
}

/// u of u = v + Jᵀu by a dense solve for each sample, J at z.
Tensor dense_adjoint(const FixedPointMap& f, const Tensor& z_star, const Tensor& v) {
  const Tensor z = z_star.detach().requires_grad_(), y = f(State(z))[0].reshape({z.size(0), -1});
  std::vector<Tensor> rows;
  for (std::int64_t i = 0; i < y.size(1); ++i)
    rows.push_back(torch::autograd::grad({y.select(1, i).sum()}, {z}, {}, /*retain_graph=*/true)[0].reshape({z.size(0), -1}));
  const Tensor jacobian = torch::stack(rows, 1);  // [B, D, D]
  const Tensor system = torch::eye(y.size(1), y.options()) - jacobian.transpose(1, 2);
  return torch::linalg_solve(system, v.reshape({z.size(0), -1, 1})).squeeze(2);
}

}  // namespace

void run_layer(Case& c) {
  Family family = make_family(c);
  AdjointRecord record;
  const Setup setup = set_up(c, record);
  Recorder recorder;
  const FixedPointMap recorded = recorder.wrap(family.f);
  const State z0 = state_of(c, family, c.kind == "backward" ? "input/z_star" : "input/z0");
  if (c.kind == "backward") {
    const Equilibrium e = join_at_rest(setup.parts, recorded, z0);
    compare_states(c, family, e.states);
    compare_gradients(c, family, e.states);
    compare_adjoint(c, {e.states, {}, {e.backward}}, record);
    c.compare("output/adjoint_exact", dense_adjoint(family.f, z0[0], c.at("input/v_0")));
    return;
  }
  const Joined joined = join(setup, recorded, z0, &recorder);
  if (c.has("input/power_start")) c.compare("output/sradius", gradient::power_iteration(recorded, joined.states.back(), c.at("input/power_start"), 100).values.back());
  recorder.on = false;
  const auto [in, out] = recorder.traces();
  c.compare("trace/f_in", in);
  c.compare("trace/f_out", out);
  for (const auto& [key, tensor] : joined.forward.statistics) c.compare("output/" + key, tensor);
  if (!setup.training && !c.has("input/power_start")) c.compare("output/sradius", torch::zeros({1}));  // not asked for: zero
  compare_states(c, family, joined.states);
  if (setup.training) compare_gradients(c, family, joined.states);
  compare_adjoint(c, joined, record);
}

}  // namespace zstar::reference
