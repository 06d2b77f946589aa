/// \file DEQ-Flow, whole: runner flow_model.
#include "core/training/trainer.hpp"
#include "plugins/models/deq_flow/correlation.hpp"
#include "tests/reference/zoo/fill.hpp"
#include "tests/reference/zoo/flow_metrics.hpp"
#include "tests/reference/zoo/zoo.hpp"
#include "tests/support/model_host.hpp"

namespace zstar::reference::zoo {
namespace {

/// The inputs of a case, stored or by `settings.input_rule`.
Batch inputs_of(const Case& c) {
  if (c.has("input/image1")) {
    Batch batch{{{"image1", c.at("input/image1").to(torch::kFloat64)}, {"image2", c.at("input/image2").to(torch::kFloat64)}}, {}};
    if (c.has("input/flow_gt")) batch.tensors.insert(batch.tensors.end(), {{"flow", c.at("input/flow_gt")}, {"valid", c.at("input/valid")}});
    return batch;
  }
  const std::int64_t h = c.settings.at("image_height"), w = c.settings.at("image_width");
  const std::uint64_t seed = c.settings.at("fill_seed").get<std::uint64_t>() * 7;
  const auto stream = [&](std::uint64_t j, std::int64_t channels) { return splitmix(seed + j, channels * h * w).view({1, channels, h, w}); };
  const Tensor first = (256 * stream(1, 3)).floor();
  const Tensor second = (0.75 * first.roll({2, 3}, {2, 3}) + 0.25 * (256 * stream(2, 3)).floor()).floor();
  return {{{"image1", first}, {"image2", second}, {"flow", 8 * (2 * stream(3, 2) - 1)}, {"valid", (stream(4, 1) > 0.1).to(torch::kFloat64).squeeze(1)}}, {}};
}

/// The case's model with all that it stands on.
struct Flow {
  explicit Flow(Case& which) : c(which) {
    flatten(c);
    c.settings["norm_type"] = c.get<std::string>("norm_type", "weight_norm");
    Setup setup = set_up(c, adjoint);
    setup.parts.forward.options.max_evaluations = setup.budget;
    if (c.get<std::string>("mode", "train") == "eval") setup.parts.forward.options.eval_max_evaluations = setup.budget;
    layer = std::make_shared<PlannedLayer>(std::move(setup), &solves);
    host = std::make_unique<test::ModelHost>(layer, c.settings["norm_type"] == "none" ? nullptr : make_norm(c), Description{});
    model = test::catalogue().create<Model>(Kind::model, "deq_flow", options(), *host);
    model->to(torch::kFloat64);
    c.kind == "model_formula" ? fill(*model, c.settings.at("fill_seed")) : load(c, *model);
    model->train(c.get<std::string>("mode", "train") == "train");
  }

  Settings options() const {
    Settings s{{"gma", c.get("gma", false)}, {"all_grad", c.get("all_grad", true)}, {"correlation_levels", c.get("corr_levels", std::int64_t{4})},
               {"correlation_radius", c.get("corr_radius", std::int64_t{4})}, {"batch_norm", std::string(c.get("freeze_bn", false) ? "frozen" : "active")}};
    if (c.settings.contains("preset")) s.push_back({"preset", c.settings["preset"].get<std::string>()});
    if (!c.settings.contains("widths")) return s;
    for (const auto& [key, value] : c.settings["widths"].items()) {
      if (value.is_array()) s.push_back({key, value.get<std::vector<std::int64_t>>()});
      else if (key != "context") s.push_back({key, value.get<std::int64_t>()});  // as wide as the hidden state
    }
    return s;
  }

  Case& c;
  AdjointRecord adjoint;
  std::vector<Solved> solves;
  std::shared_ptr<PlannedLayer> layer;
  std::unique_ptr<test::ModelHost> host;
  std::shared_ptr<Model> model;
};

void compare_gradients(Case& c, Model& model) {
  std::map<std::string, Tensor> gradients;
  for (const auto& p : model.named_parameters()) gradients[p.key()] = p.value().grad().defined() ? p.value().grad() : torch::zeros_like(p.value());
  for (const auto& [name, gradient] : gradients) c.compare("grad/" + name, gradient);
  if (c.settings.contains("grad_summary_names")) compare_grad_summary(c, gradients);
}

void run_training(Case& c, Flow& flow, const Batch& batch) {
  const auto outputs = flow.model->forward(batch);
  const auto n = static_cast<std::int64_t>(outputs.size());
  Tensor loss = torch::zeros({}, torch::kFloat64);
  std::vector<Tensor> rows;
  for (std::int64_t k = 0; k < n; ++k) {
    const Tensor& output = outputs[static_cast<std::size_t>(k)];
    loss = loss + training::correction_weight("exp", c.get("gamma", 0.8), /*bias=*/0, n, k) * flow.model->loss(output, batch);
    rows.push_back(torch::stack({output.sum(), output.abs().sum(), output.norm()}).detach());
  }
  c.compare("output/loss", loss);
  c.compare("output/state_summary", torch::stack(rows));
  c.compare("output/flow_up", outputs.back());
  c.compare("output/flow_up_sample", outputs.back().slice(2, 0, {}, 16).slice(3, 0, {}, 16));
  compare_training_metrics(c, outputs.back().detach(), batch.at("flow"), batch.at("valid"));
  for (const auto& [key, tensor] : flow.solves.back().equilibrium.forward.back().statistics)
    if (key == "abs_lowest" || key == "rel_lowest") c.compare("output/metric_" + key.substr(0, 3), tensor);
  loss.backward();
  compare_gradients(c, *flow.model);
  for (const auto& b : flow.model->named_buffers()) c.compare("output/buffer/" + b.key(), b.value());
}

void run_evaluation(Case& c, Flow& flow, const Batch& batch) {
  const torch::NoGradGuard no_grad;
  const auto low = [&](const Batch& with) {
    flow.solves.clear();
    const Tensor up = flow.model->forward(with).back();
    const State& z = flow.solves.back().equilibrium.z();
    return std::tuple{z[1] - zstar_flow::grid_of(z[1].size(0), z[1].size(2), z[1].size(3), z[1].options()), up, z[0]};
  };
  const auto [flow_low, flow_up, net] = low(batch);
  c.compare("output/flow_low", flow_low);
  c.compare("output/flow_up", flow_up);
  c.compare("output/net", net);
  Batch reused = batch, initial = batch;
  reused.tensors.insert(reused.tensors.end(), {{"flow_init", flow_low}, {"hidden_init", net}});
  c.compare("output/flow_low_reused", std::get<0>(low(reused)));
  if (!c.has("input/flow_init")) return;
  initial.tensors.push_back({"flow_init", c.at("input/flow_init")});
  c.compare("output/flow_low_init", std::get<0>(low(initial)));
}

void run_flow_model(Case& c) {
  Flow flow(c);
  const Batch batch = inputs_of(c);
  flow.model->is_training() ? run_training(c, flow, batch) : run_evaluation(c, flow, batch);
}

ZSTAR_ZOO_RUNNER(run_flow_model, "flow_model")

}  // namespace
}  // namespace zstar::reference::zoo
