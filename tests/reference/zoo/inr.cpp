/// \file DEQ-INR: runners inr and inr_train.
#include <torch/optim/optimizer.h>

#include "core/training/schedule.hpp"
#include "plugins/models/deq_inr/injection.hpp"
#include "tests/reference/zoo/zoo.hpp"
#include "tests/support/model_host.hpp"
#include "zstar/carried.hpp"

namespace zstar::reference::zoo {
namespace {

/// The case's model with all that it stands on.
struct Inr {
  explicit Inr(Case& which, std::optional<std::int64_t> values = {}) : c(which), explicit_model(type() != "implicit") {
    std::shared_ptr<Norm> norm;
    if (explicit_model) {
      layer.reset(new gradient::Layer(test::layer("implicit", {}, {})));
    } else {
      flatten(c);
      Setup setup = set_up(c, adjoint);
      setup.parts.forward.options.max_evaluations = setup.budget;
      const auto eval = c.get("eval_f_max_iter", std::int64_t{0});
      setup.parts.forward.options.eval_max_evaluations =
          eval > 0 ? eval : static_cast<std::int64_t>(static_cast<double>(c.get("f_max_iter", std::int64_t{40})) * c.get("eval_factor", 1.0));
      layer = std::make_shared<PlannedLayer>(std::move(setup), &solves);
      if (c.get<std::string>("norm_type", "none") != "none") norm = make_norm(c);
    }
    const Tensor &x = c.at("input/x"), &target = c.at("input/target");
    const Description data{{{"coordinates", x.size(1)}, {"values", values.value_or(target.size(1))}, {"points", x.size(0)}}};
    host = std::make_unique<test::ModelHost>(layer, norm, data);
    model = test::catalogue().create<Model>(Kind::model, plugin(), options(), *host);
    model->to(torch::kFloat64);
    batch = {{{"coordinates", x}, {"values", target}}, {}};
  }

  std::string type() const { return c.settings.at("model_type"); }
  std::string plugin() const { return !explicit_model ? "deq_inr" : type() == "siren" ? "siren" : "fourier_network"; }
  std::string form() const { return c.get<std::string>("filter_type", "siren_like"); }

  Settings options() const {
    Settings s{{"width", c.get("width", std::int64_t{256})}, {"layers", c.get("n_layers", std::int64_t{1})}, {"scale", c.get("input_scale", 256.0)}};
    if (type() == "ffn") s.push_back({"features", c.at("param/embedder.bval").size(1)});
    if (explicit_model) return s;
    const bool cached = c.get("skip_solver", false) || c.settings["runner"] == "inr_train";
    const std::string training = c.get("one_pass", false) ? "one_pass" : cached ? "cached" : "solve";
    s.insert(s.end(), {{"form", form()}, {"training", training}, {"supervise", std::string("last")}, {"window", std::string("free")}});
    return s;
  }

  double psnr(const Tensor& output) {
    for (const Metric& m : model->summarise(model->measure(output, batch)))
      if (m.name == "psnr") return m.value;
    return NAN;
  }

  Case& c;
  bool explicit_model;
  AdjointRecord adjoint;
  std::vector<Solved> solves;
  std::shared_ptr<EquilibriumLayer> layer;
  std::unique_ptr<test::ModelHost> host;
  std::shared_ptr<Model> model;
  Batch batch;
};

void compare_injections(Case& c, const Inr& inr) {
  zstar_inr::Injection injection({.form = zstar_inr::form_of(inr.form()), .coordinates = c.at("input/x").size(1), .width = c.get("width", std::int64_t{256}),
                                  .layers = c.get("n_layers", std::int64_t{1}), .free_window = true});
  injection.to(torch::kFloat64);
  load(c, injection, "injection.");
  const auto u = injection.forward(c.at("input/x"));
  for (std::size_t i = 0; i < u.size(); ++i) c.compare("output/injection_" + std::to_string(i), u[i]);
}

/// The state of a model without a solve: what the same model says when its last map is the identity.
Tensor state_without_solve(Case& c) {
  const torch::NoGradGuard no_grad;
  const std::int64_t width = c.get("width", std::int64_t{256});
  Inr twin(c, width);
  for (const auto& p : twin.model->named_parameters()) {
    if (p.key() == "output_map.weight") Tensor(p.value()).copy_(torch::eye(width));
    else if (p.key() == "output_map.bias") Tensor(p.value()).zero_();
    else Tensor(p.value()).copy_(c.at("param/" + p.key()));
  }
  for (const auto& b : twin.model->named_buffers()) Tensor(b.value()).copy_(c.at("param/" + b.key()));
  return twin.model->forward(twin.batch).back();
}

void compare_evaluation(Case& c, Inr& inr) {
  const torch::NoGradGuard no_grad;
  inr.solves.clear();
  inr.model->eval();
  c.compare("output/eval_output", inr.model->forward(inr.batch).back());
  if (inr.solves.empty()) return;
  for (const auto& [key, tensor] : inr.solves.back().equilibrium.forward.back().statistics)
    if (key == "nstep") c.compare("output/eval_steps", tensor.max());
}

void run_inr(Case& c) {
  Inr inr(c);
  load(c, *inr.model);
  inr.model->train();
  if (c.has("input/z_init")) {
    const Tensor& states = c.at("input/z_init");
    query<Carries>(*inr.model)->carry({{"states", states}, {"known", torch::ones({states.size(0)}, torch::kBool)}});
  }
  const Tensor output = inr.model->forward(inr.batch).back(), loss = inr.model->loss(output, inr.batch);
  c.compare("output/output", output);
  c.compare("output/loss", loss);
  c.compare("output/psnr", torch::tensor(inr.psnr(output.detach()), torch::kFloat64));
  if (!inr.explicit_model) {
    compare_injections(c, inr);
    c.compare("output/state", inr.solves.empty() ? state_without_solve(c) : inr.solves.back().equilibrium.z()[0]);
  }
  loss.backward();
  for (const auto& p : inr.model->named_parameters())
    c.compare("grad/" + p.key(), p.value().grad().defined() ? p.value().grad() : torch::zeros_like(p.value()));
  compare_evaluation(c, inr);
}

void run_inr_train(Case& c) {
  Inr inr(c);
  load(c, *inr.model);
  inr.model->train();
  const double lr = c.settings.at("lr");
  const auto optimizer = optimiser({{"name", "adam"}, {"lr", lr}}, inr.model->parameters());
  const training::ScheduleOptions course{.floor = lr * c.get("lr_decay", 1.0)};
  std::vector<double> losses, rates;
  for (std::int64_t step = 0; step < c.settings.at("steps"); ++step) {
    optimizer->zero_grad();
    const Tensor loss = inr.model->loss(inr.model->forward(inr.batch).back(), inr.batch);
    losses.push_back(loss.item<double>());
    loss.backward();
    rates.push_back(training::learning_rate("linear", course, lr, step, c.settings.at("total_iters")));
    for (auto& group : optimizer->param_groups()) group.options().set_lr(rates.back());
    optimizer->step();
  }
  c.compare("output/losses", torch::tensor(losses, torch::kFloat64));
  c.compare("output/lr", torch::tensor(rates, torch::kFloat64));
  c.compare("output/state", inr.solves.back().equilibrium.z()[0]);
  for (const auto& p : inr.model->named_parameters()) c.compare("output/param_after/" + p.key(), p.value());
}

ZSTAR_ZOO_RUNNER(run_inr, "inr")
ZSTAR_ZOO_RUNNER(run_inr_train, "inr_train")

}  // namespace
}  // namespace zstar::reference::zoo
