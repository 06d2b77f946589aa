#include "core/verify/subject.hpp"

#include <cstdio>
#include <stdexcept>

#include "core/solve/plain.hpp"

namespace zstar::verify {
namespace {

/// H ← H + (s − H y)(sᵀH) / (sᵀH y), H₀ = −I; a sample whose denominator is small or not finite keeps its H.
class Secant final : public Solver, public InverseJacobian {
 public:
  void* query(std::string_view id) override { return id == InverseJacobian::id ? static_cast<InverseJacobian*>(this) : nullptr; }
  void begin(std::int64_t, std::int64_t) override { h_ = z_ = g_ = Tensor(); }
  void keep(const Tensor& rows) override {
    for (Tensor* t : {&h_, &z_, &g_})
      if (t->defined()) *t = t->index_select(0, rows);
  }
  Tensor apply(const Tensor& v) override { return torch::bmm(h_, v.unsqueeze(2)).squeeze(2); }
  Tensor apply_transpose(const Tensor& v) override { return torch::bmm(h_.transpose(1, 2), v.unsqueeze(2)).squeeze(2); }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const Tensor g = fz - z;
    if (!h_.defined()) h_ = -torch::eye(z.size(1), z.options()).expand({z.size(0), -1, -1}).clone();
    else learn(z - z_, g - g_);
    z_ = z, g_ = g;
    return z - apply(g);
  }

 private:
  void learn(const Tensor& s, const Tensor& y) {
    const Tensor hy = apply(y), sh = apply_transpose(s);
    const Tensor d = (s * hy).sum(1, true), least = 1e-8 * s.norm(2, {1}, true) * hy.norm(2, {1}, true);
    const Tensor update = ((s - hy) / d).unsqueeze(2) * sh.unsqueeze(1);
    const Tensor good = (d.abs() > least).unsqueeze(2) & update.isfinite().all(2, true).all(1, true);
    h_ = torch::where(good, h_ + update, h_);
  }
  Tensor h_, z_, g_;  // [B, D, D], [B, D], [B, D]
};

/// The gradient through one evaluation.
class OneStep final : public GradientMethod {
 public:
  std::vector<State> attach(const FixedPointMap& f, const State& z, std::int64_t, std::int64_t, GradientServices& services) override {
    return {services.evaluate(f, z)};
  }
};

}  // namespace

std::string text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.3g", value);
  return buffer;
}

std::unique_ptr<Solver> plain_solver() { return std::make_unique<solve::Plain>(); }
std::unique_ptr<Solver> secant_solver() { return std::make_unique<Secant>(); }

std::shared_ptr<gradient::Layer> exact_layer(std::shared_ptr<GradientMethod> method, std::shared_ptr<GradientMethod> intermediate,
                                             const gradient::Options& options, const solve::Options& adjoint) {
  const solve::Options forward{.tolerance = 1e-13, .max_evaluations = 300};
  gradient::LayerParts parts;
  parts.forward = {secant_name, secant_solver, forward};
  parts.adjoint = {secant_name, secant_solver, adjoint};
  parts.gradient = std::move(method);
  if (intermediate && !intermediate->query(FromStart::id)) parts.intermediate = std::move(intermediate);  // others take no sampled states
  parts.options = options;
  return std::make_shared<gradient::Layer>(std::move(parts));
}

std::shared_ptr<gradient::Layer> plain_layer() { return exact_layer(std::make_shared<OneStep>(), nullptr, {}, {}); }

Products& TestHost::products() { return solve::local_products(); }

std::unique_ptr<Solver> TestHost::solver(const Part& part) {
  if (part.name == secant_name) return secant_solver();
  return catalogue_.create<Solver>(Kind::solver, part.name, part.settings, *this);
}

std::shared_ptr<EquilibriumLayer> TestHost::layer() {
  if (!layer_) throw std::logic_error("this kind of part has no use for a layer");
  return layer_;
}

const Description& TestHost::data() {
  if (!data_) throw std::logic_error("this kind of part has no use for a data set");
  return *data_;
}

Subject::Subject(plugins::Catalogue& catalogue, TestHost& host, const plugins::PartEntry& part, std::uint64_t seed)
    : catalogue_(catalogue), host_(host), part_(part), full_name_(catalogue.files()[part.file].id + ":" + part.name), seed_(seed) {}

Settings Subject::completed(Settings settings) const {
  for (const OptSpec& o : options()) {
    const bool unset = std::holds_alternative<std::monostate>(o.def);
    if (o.type != OptType::part || o.part_kind != Kind::solver || !unset) continue;
    const bool given = std::any_of(settings.begin(), settings.end(), [&](const Setting& s) { return s.name == o.name; });
    if (!given) settings.push_back({o.name, std::vector<Part>{{secant_name, {}}}});
  }
  return settings;
}

}  // namespace zstar::verify
