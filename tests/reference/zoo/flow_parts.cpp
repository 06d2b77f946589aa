/// \file Parts of DEQ-Flow: correlation, encoders, update block, attention, losses.
#include "core/training/trainer.hpp"
#include "plugins/models/deq_flow/correlation.hpp"
#include "plugins/models/deq_flow/update_block.hpp"
#include "plugins/models/deq_flow/upsample.hpp"
#include "tests/reference/zoo/flow_metrics.hpp"
#include "tests/reference/zoo/zoo.hpp"

namespace zstar::reference::zoo {
namespace {

/// Inputs as leaves, results weighed by their `w_`, gradients of the sum.
struct Weighed {
  explicit Weighed(Case& which) : c(which) {}
  const Tensor& input(const std::string& name) { return leaves.emplace(name, c.leaf("input/" + name)).first->second; }
  void result(const std::string& name, const Tensor& value) {
    c.compare("output/" + name, value);
    if (c.has("input/w_" + name)) loss = loss + (c.at("input/w_" + name) * value).sum();
  }
  void finish(const torch::nn::Module* module = nullptr) {
    c.compare("output/loss", loss);
    loss.backward();
    const auto compare = [&](const std::string& name, const Tensor& leaf) { c.compare("grad/" + name, leaf.grad().defined() ? leaf.grad() : torch::zeros_like(leaf)); };
    for (const auto& [name, leaf] : leaves) compare("input/" + name, leaf);
    if (module)
      for (const auto& p : module->named_parameters()) compare(p.key(), p.value());
  }
  Case& c;
  std::map<std::string, Tensor> leaves;
  Tensor loss = torch::zeros({}, torch::kFloat64);
};

void run_corr(Case& c) {
  Weighed w(c);
  const auto volume = zstar_flow::correlation_volume(w.input("fmap1"), w.input("fmap2"), c.settings.at("corr_levels"));
  w.result("lookup", zstar_flow::lookup(volume, w.input("coords"), c.settings.at("corr_radius")));
  for (std::size_t l = 1; l < volume.size(); ++l) c.compare("output/level_" + std::to_string(l), volume[l].flatten(0, 1).unsqueeze(1));
  w.finish();
}

void run_upsample(Case& c) {
  Weighed w(c);
  w.result("flow_up", zstar_flow::upsample_convex(w.input("flow"), w.input("mask"), /*replicate=*/false, c.settings.at("factor")));
  w.finish();
}

void run_encoder(Case& c) {
  using zstar_flow::EncoderNorm;
  Weighed w(c);
  zstar_flow::Encoder encoder(c.settings.at("encoder"), c.settings.at("output_dim"), c.settings.at("norm") == "batch" ? EncoderNorm::batch : EncoderNorm::instance);
  encoder.to(torch::kFloat64);
  load(c, encoder);
  const Tensor images = torch::cat({w.input("image1"), w.input("image2")});
  const auto features = encoder.forward(images).chunk(2);
  w.result("features1", features[0]);
  w.result("features2", features[1]);
  for (const auto& b : encoder.named_buffers()) c.compare("output/buffer/" + b.key(), b.value());
  w.finish(&encoder);
  encoder.eval();
  const auto after = encoder.forward(images).chunk(2);
  c.compare("output/eval_features1", after[0]);
  c.compare("output/eval_features2", after[1]);
}

void run_update(Case& c) {
  flatten(c);
  Weighed w(c);
  const auto& sizes = c.settings.at("widths");
  zstar_flow::Widths widths;
  for (const auto& [key, width] : std::initializer_list<std::pair<const char*, std::int64_t*>>{
           {"hidden", &widths.hidden}, {"c1", &widths.c1}, {"c2", &widths.c2}, {"f1", &widths.f1}, {"f2", &widths.f2}, {"cat", &widths.cat}, {"flow_head", &widths.flow_head}})
    *width = sizes.at(key);
  const bool gma = c.get("gma", false);
  zstar_flow::UpdateBlock block(widths, w.input("corr").size(1), gma, c.get<std::string>("norm_type", "weight_norm") == "none" ? nullptr : make_norm(c));
  block.to(torch::kFloat64);
  load(c, block);
  const auto prepared = block.prepare(w.input("inp"), /*training=*/true);
  const auto step = zstar_flow::UpdateBlock::apply(w.input("net"), w.input("corr"), w.input("flow"), gma ? w.input("attn") : Tensor(), prepared.constant.data(),
                                                   prepared.weights.data());
  w.result("net", step.hidden);
  w.result("delta_flow", step.delta);
  w.result("motion_features", step.motion);
  w.finish(&block);
}

struct Gma : torch::nn::Module {
  explicit Gma(const nlohmann::json& s)
      : attention(register_module("attn", std::make_shared<zstar_flow::Attention>(s.at("dim"), s.at("heads"), s.at("dim_head")))),
        aggregate(register_module("gma", std::make_shared<zstar_flow::Aggregate>(s.at("dim_v"), s.at("heads"), s.at("dim_head_v"), nullptr))) {}
  std::shared_ptr<zstar_flow::Attention> attention;
  std::shared_ptr<zstar_flow::Aggregate> aggregate;
};

void run_gma(Case& c) {
  Weighed w(c);
  Gma gma(c.settings);
  gma.to(torch::kFloat64);
  load(c, gma);
  const Tensor attention = gma.attention->forward(w.input("context"));
  std::vector<Tensor> tensors;
  gma.aggregate->prepare(/*training=*/true, tensors);
  const Tensor* reader = tensors.data();
  w.result("attention", attention);
  w.result("aggregated", zstar_flow::Aggregate::apply(w.input("features"), attention, reader));
  w.finish(&gma);
}

double sum_of(const Sums& sums, const std::string& name) {
  for (const auto& [key, value] : sums)
    if (key == name) return value;
  return NAN;
}

void run_losses(Case& c) {
  const Tensor &truth = c.at("input/flow_gt"), &valid = c.at("input/valid");
  const std::int64_t n = c.settings.at("n_preds");
  const double longest = c.settings.at("max_flow");
  std::vector<Tensor> predictions;
  Tensor loss = torch::zeros({}, torch::kFloat64);
  for (std::int64_t k = 0; k < n; ++k) {
    predictions.push_back(c.leaf("input/pred_" + std::to_string(k)));
    loss = loss + training::correction_weight("exp", c.settings.at("gamma"), /*bias=*/0, n, k) * zstar_flow::flow_loss(predictions.back(), truth, valid, longest);
  }
  c.compare("output/loss", loss);
  loss.backward();
  for (std::int64_t k = 0; k < n; ++k) c.compare("grad/input/pred_" + std::to_string(k), predictions[static_cast<std::size_t>(k)].grad());
  const Tensor last = predictions.back().detach();
  compare_training_metrics(c, last, truth, valid, longest);
  const Sums all = zstar_flow::flow_sums(last, truth, torch::ones_like(valid) > 0), inside = zstar_flow::flow_sums(last, truth, valid >= 0.5);
  const auto number = [&](const std::string& name, double value) { c.compare("output/" + name, torch::tensor(value, torch::kFloat64)); };
  number("eval_all_epe", sum_of(all, "error") / sum_of(all, "pixels"));
  for (const char* pixels : {"1", "3", "5"}) number(std::string("eval_all_") + pixels + "px", 100 * sum_of(all, std::string("within_") + pixels) / sum_of(all, "pixels"));
  number("kitti_epe_image_mean", sum_of(inside, "image_means") / sum_of(inside, "images"));
  number("kitti_f1_all", 100 * sum_of(inside, "outliers") / sum_of(inside, "pixels"));
  number("things_masked_epe", sum_of(inside, "error") / sum_of(all, "pixels"));  // masked pixels count as exact there
}

ZSTAR_ZOO_RUNNER(run_corr, "flow_corr")
ZSTAR_ZOO_RUNNER(run_upsample, "flow_upsample")
ZSTAR_ZOO_RUNNER(run_encoder, "flow_encoder")
ZSTAR_ZOO_RUNNER(run_update, "flow_update")
ZSTAR_ZOO_RUNNER(run_gma, "flow_gma")
ZSTAR_ZOO_RUNNER(run_losses, "flow_losses")

}  // namespace
}  // namespace zstar::reference::zoo
