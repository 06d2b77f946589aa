#include "tests/reference/zoo/zoo.hpp"

#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>

#include "core/training/schedule.hpp"
#include "core/training/trainer.hpp"
#include "tests/support/model_host.hpp"

namespace zstar::reference::zoo {
namespace {

std::map<std::string, std::shared_ptr<const Family>>& families() {
  static std::map<std::string, std::shared_ptr<const Family>> all;
  return all;
}

std::map<std::string, Runner>& runners() {
  static std::map<std::string, Runner> all;
  return all;
}

template <class Map>
std::string names_of(const Map& map) {
  std::string names;
  for (const auto& entry : map) names += " " + entry.first;
  return names;
}

/// One case under way: the model and everything it stands on.
struct Run {
  explicit Run(Case& which) : c(which), family(*families().at(c.settings.at("family"))) {
    flatten(c);
    family.adjust(c);
    training = c.get<std::string>("mode", "train") == "train";
    Setup setup = set_up(c, adjoint);
    setup.parts.forward.options.max_evaluations = setup.budget;
    layer = std::make_shared<PlannedLayer>(std::move(setup), &solves);
    host = std::make_unique<test::ModelHost>(layer, c.get<std::string>("norm_type", "none") == "none" ? nullptr : make_norm(c), family.data(c));
    model = test::catalogue().create<Model>(Kind::model, family.model(), family.options(c), *host);
    model->to(c.get<std::string>("dtype", "float64") == "float32" ? torch::kFloat32 : torch::kFloat64);
    load(c, *model, "", [&](const std::string& name) { return family.unused(c, name); });
    model->train(training);
    family.begin(c, *model);
  }

  /// One forward pass: compares its results and returns the loss over all returned states.
  Tensor pass(std::int64_t segment, std::int64_t number) {
    const std::string prefix = family.pass_prefix(c, number);
    solves.clear();
    const Batch batch = family.batch(c, segment);
    const auto outputs = model->forward(batch);
    const auto n = static_cast<std::int64_t>(outputs.size());
    Tensor loss;
    for (std::int64_t k = family.last_alone() ? n - 1 : 0; k < n; ++k) {
      const Tensor& output = outputs[static_cast<std::size_t>(k)];
      const Tensor term = training::correction_weight("exp", c.get("gamma", 0.8), /*bias=*/0, n, k) * model->loss(output, batch);
      loss = loss.defined() ? loss + term : term;
    }
    family.compare_outputs(c, outputs, prefix);
    c.compare("output/" + prefix + "loss", loss);
    for (std::size_t s = 0; s < solves.size(); ++s) compare_solve(solves[s], prefix + family.solve_prefix(c, s));
    family.compare_more(c, *model, solves, prefix);
    return family.total(c, loss, solves, prefix);
  }

  void compare_solve(const Solved& solved, const std::string& prefix) {
    const auto& e = solved.equilibrium;
    for (std::size_t k = 0; k < e.states.size(); ++k)
      for (const auto& [suffix, tensor] : family.states(e.states[k])) c.compare("output/" + prefix + "z_out_" + std::to_string(k) + suffix, tensor);
    if (!e.forward.empty())
      for (const auto& [key, tensor] : e.forward.back().statistics) c.compare("output/" + prefix + "solver." + key, tensor);
    compare_probe(solved, prefix);
  }

  /// f at sin(0.7 k), k the index in each tensor of the case's layout.
  void compare_probe(const Solved& solved, const std::string& prefix) {
    const torch::NoGradGuard no_grad;
    std::vector<Tensor> probes;
    for (const auto& [suffix, tensor] : family.states(solved.equilibrium.fixed_point)) {
      if (!c.has("output/" + prefix + "cell_probe" + suffix)) return;
      probes.push_back(torch::sin(0.7 * torch::arange(tensor.numel(), tensor.options())).reshape(tensor.sizes()));
    }
    for (const auto& [suffix, tensor] : family.states(solved.map(family.state(probes, solved.equilibrium.fixed_point))))
      c.compare("output/" + prefix + "cell_probe" + suffix, tensor);
  }

  void compare_gradients(const Tensor& loss) {
    loss.backward();
    for (const auto& p : model->named_parameters())
      c.compare("grad/" + p.key(), p.value().grad().defined() ? p.value().grad() : torch::zeros_like(p.value()));
  }

  void compare_after() {
    const std::string buffer = "output/buffer/";
    for (const auto& b : model->named_buffers()) c.compare(buffer + b.key(), b.value());
    for (const std::string& name : c.names(buffer))
      if (family.unused(c, name.substr(buffer.size()))) c.pass_over(name);
    if (training)
      for (const auto& p : model->named_parameters()) c.compare("output/param_after/" + p.key(), p.value());
  }

  Case& c;
  const Family& family;
  bool training = true;
  AdjointRecord adjoint;
  std::vector<Solved> solves;
  std::shared_ptr<PlannedLayer> layer;
  std::unique_ptr<test::ModelHost> host;
  std::shared_ptr<Model> model;
};

/// Every parameter's gradient to 2-norm `most`, or all gradients together. \return the 2-norm of all before
double clip(const nlohmann::json& t, const std::vector<Tensor>& parameters) {
  const auto scale = [](const Tensor& grad, double norm, double most) {
    if (norm > most) Tensor(grad).mul_(most / (norm + 1e-6));
  };
  double squares = 0;
  for (const Tensor& p : parameters) {
    if (!p.grad().defined()) continue;
    const double norm = p.grad().norm().item<double>();
    squares += norm * norm;
    if (t.contains("clip_each")) scale(p.grad(), norm, t["clip_each"]);
  }
  for (const Tensor& p : parameters)
    if (t.contains("clip") && p.grad().defined()) scale(p.grad(), std::sqrt(squares), t["clip"]);
  return std::sqrt(squares);
}

void train(Run& run) {
  Case& c = run.c;
  const nlohmann::json t = c.settings.at("train");
  std::vector<Tensor> parameters;
  for (const Tensor& p : run.model->parameters())
    if (p.requires_grad() && std::none_of(parameters.begin(), parameters.end(), [&p](const Tensor& known) { return known.is_same(p); }))
      parameters.push_back(p);  // one that has two names once
  const auto optimizer = optimiser(t, parameters);
  const std::int64_t segments = run.family.segments(c), steps = t.value("steps", segments);
  for (std::int64_t step = 0; step < steps; ++step) {
    const std::string prefix = run.family.pass_prefix(c, step);
    for (auto p : parameters) p.mutable_grad() = Tensor();
    run.pass(segments > 1 ? step : 0, step).backward();
    c.compare("output/" + prefix + "grad_norm", torch::tensor(clip(t, parameters), torch::kFloat64));
    for (auto& group : optimizer->param_groups()) group.options().set_lr(run.family.rate(t, step));
    optimizer->step();
    c.compare("output/" + prefix + "next_lr", torch::tensor(run.family.rate(t, step + 1), torch::kFloat64));
  }
}

}  // namespace

double Family::rate(const nlohmann::json& t, std::int64_t step) const {
  const training::ScheduleOptions course{.floor = t.value("lr_min", 0.0)};
  const std::int64_t total = t.value("total_steps", t.at("steps").get<std::int64_t>());
  return training::learning_rate(t.contains("lr_min") ? "cosine" : "constant", course, t.at("lr"), step, total);
}

void flatten(Case& c) {
  auto& s = c.settings;
  s.update(s.at("deq"));
  s["learn_scale"] = !s.value("norm_no_scale", false);
  s["clip"] = s.value("norm_clip", false);
  s["clip_value"] = s.value("norm_clip_value", 1.0);
  s["target_norm"] = s.value("norm_target_norm", 1.0);
  s["n_power_iterations"] = s.value("sn_n_power_iters", 1);
}

void load(Case& c, torch::nn::Module& module, const std::string& below, const std::function<bool(const std::string&)>& unused) {
  const torch::NoGradGuard no_grad;
  std::set<std::string> left = c.names("param/" + below);
  const auto take = [&](const std::string& name, Tensor t) {
    if (left.erase("param/" + below + name) == 0) return c.fail("the case has no parameter " + below + name);
    if (t.sizes() != c.at("param/" + below + name).sizes()) return c.fail(below + name + " has another shape");
    t.copy_(c.at("param/" + below + name));
  };
  for (const auto& p : module.named_parameters()) take(p.key(), p.value());
  for (const auto& b : module.named_buffers()) take(b.key(), b.value());
  for (const std::string& name : left)
    if (!unused || !unused(name.substr(6))) return c.fail("the model has no " + name);
}

std::unique_ptr<torch::optim::Optimizer> optimiser(const nlohmann::json& t, const std::vector<Tensor>& parameters) {
  const double lr = t.at("lr"), decay = t.value("weight_decay", 0.0);
  if (t.at("name") == "sgd")
    return std::make_unique<torch::optim::SGD>(parameters, torch::optim::SGDOptions(lr).momentum(t.value("momentum", 0.0)).weight_decay(decay).nesterov(t.value("nesterov", false)));
  if (t.at("name") == "adam") return std::make_unique<torch::optim::Adam>(parameters, torch::optim::AdamOptions(lr).weight_decay(decay));
  throw std::runtime_error("no such optimiser here: " + t.at("name").dump());
}

RunnerRegistration::RunnerRegistration(const std::string& name, Runner runner) { runners().emplace(name, runner); }

void run_named(Case& c) {
  const std::string name = c.settings.at("runner");
  const auto found = runners().find(name);
  if (found == runners().end()) return c.fail("no runner '" + name + "' here yet; there are:" + names_of(runners()));
  found->second(c);
}

Registration::Registration(const std::string& family, std::shared_ptr<const Family> value) { families().emplace(family, std::move(value)); }

void run(Case& c) {
  const std::string name = c.settings.at("family");
  if (!families().count(name)) {
    return c.fail("no family of models '" + name + "' here yet; there are:" + names_of(families()));
  }
  Run run(c);
  if (c.settings.contains("train")) {
    train(run);
  } else {
    const torch::AutoGradMode grad(run.training);
    Tensor loss;
    const std::int64_t segments = run.family.segments(c);
    for (std::int64_t s = 0; s < segments; ++s) loss = run.pass(s, s);
    if (run.training) run.compare_gradients(loss);
  }
  run.compare_after();
}

}  // namespace zstar::reference::zoo
