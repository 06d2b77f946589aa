/// \file Deep equilibrium optical flow. Equations, names and sources: README.md.
#include <algorithm>

#include <zstar/nn/winograd.hpp>
#include <zstar/predict.hpp>
#include <zstar/weight_names.hpp>

#include "correlation.hpp"
#include "errors.hpp"
#include "update_block.hpp"
#include "upsample.hpp"

namespace {

using namespace zstar_flow;
using zstar::OptionError;
using zstar::State;

struct Options {
  std::string preset = "base", batch_norm = "active", correlation = "volume", border = "zero", padding = "both_sides", protocol = "all_pixels", warm_start = "none";
  std::vector<std::int64_t> encoder = {64, 96, 128};
  std::optional<std::int64_t> feature, hidden, c1, c2, f1, f2, cat, flow_head, mask;
  std::int64_t correlation_levels = 4, correlation_radius = 4;
  bool gma = false, all_grad = true, checkpoint = false;
  double dropout = 0.0;
};

auto option_table() {
  using O = Options;
  const auto width = [](const char* name, auto member, const char* doc) { return zstar::opt(name, member, doc, zstar::at_least(1)); };
  return std::tuple{
      zstar::choice("preset", &O::preset, "widths: published sizes; the width options below replace single ones", {"tiny", "base", "large", "huge", "gigantic"}),
      zstar::opt("gma", &O::gma, "global motion aggregation: attention of the context"),
      zstar::opt("all_grad", &O::all_grad, "gradients reach earlier steps through the coordinates too, not through the hidden state alone"),
      zstar::opt("correlation_levels", &O::correlation_levels, "levels of the correlation pyramid", zstar::at_least(1)),
      zstar::opt("correlation_radius", &O::correlation_radius, "r of the window looked up in every level", zstar::at_least(1)),
      zstar::choice("correlation", &O::correlation, "all products once a solve (volume), or those of the windows at every lookup (on_demand): memory linear in the image",
                    {"volume", "on_demand"}),
      zstar::choice("batch_norm", &O::batch_norm, "of the context encoder in training: active, or frozen as in later stages", {"active", "frozen"}),
      zstar::choice("border", &O::border, "of the flow in convex up-sampling: zero as published checkpoints expect, or replicated", {"zero", "replicate"}),
      zstar::choice("padding", &O::padding, "of images to multiples of 8: both_sides (Sintel) or bottom (KITTI, also where a batch names its benchmark)", {"both_sides", "bottom"}),
      protocol_option(&O::protocol),
      zstar::choice("warm_start", &O::warm_start, "in evaluation, from the frame before of the same sequence, pair by pair: its flow carried forward, or its flow and hidden state",
                    {"none", "flow", "state"}),
      zstar::opt("checkpoint", &O::checkpoint, "keep no norms and rectifiers of the encoders' blocks: backward makes them again"),
      zstar::opt("dropout", &O::dropout, "of whole channels of the features", zstar::from_below(0.0, 1.0)),
      zstar::opt("encoder", &O::encoder, "channels of the three stages of the encoders", zstar::at_least(1)),
      width("feature", &O::feature, "channels of the features that are correlated"),
      width("hidden", &O::hidden, "channels of the hidden state and of the context"),
      width("c1", &O::c1, "first convolution of the correlation"), width("c2", &O::c2, "second convolution of the correlation"),
      width("f1", &O::f1, "first convolution of the flow"), width("f2", &O::f2, "second convolution of the flow"),
      zstar::opt("cat", &O::cat, "motion features, the flow included", zstar::at_least(3)),
      width("flow_head", &O::flow_head, "inner channels of the flow head; 256 in version 1.0 checkpoints of all sizes"),
      width("mask", &O::mask, "inner channels of the up-sampling mask")};
}

Widths widths_of(const Options& o) {
  Widths w;
  if (o.preset == "tiny") w = {{}, 64, 32, 64, 48, 32, 16, 32, 64, 256};
  if (o.preset == "large") w = {{}, 256, 192, 384, 288, 192, 96, 192, 384, 256};
  if (o.preset == "huge") w = {{}, 256, 256, 512, 384, 256, 128, 256, 512, 256};
  if (o.preset == "gigantic") w = {{}, 256, 384, 640, 480, 320, 160, 320, 640, 256};
  if (o.encoder.size() != 3) throw OptionError("encoder", "encoder has " + std::to_string(o.encoder.size()) + " numbers; expected three");
  w.encoder = o.encoder;
  const auto replace = [](std::int64_t& width, const std::optional<std::int64_t>& other) { width = other.value_or(width); };
  replace(w.feature, o.feature), replace(w.hidden, o.hidden), replace(w.c1, o.c1), replace(w.c2, o.c2), replace(w.f1, o.f1), replace(w.f2, o.f2);
  replace(w.cat, o.cat), replace(w.flow_head, o.flow_head), replace(w.mask, o.mask);
  return w;
}

class DeqFlow final : public zstar::Model, public zstar::Predicts, public zstar::RenamesWeights {
 public:
  using Options = ::Options;
  static auto options() { return option_table(); }

  DeqFlow(const Options& o, zstar::Host& host) : o_(o), layer_(host.layer()) {
    const Widths w = widths_of(o);
    fnet_ = register_module("fnet", std::make_shared<Encoder>(w.encoder, w.feature, EncoderNorm::instance, o.dropout, o.checkpoint));
    cnet_ = register_module("cnet", std::make_shared<Encoder>(w.encoder, w.hidden, EncoderNorm::batch, o.dropout, o.checkpoint));
    const std::int64_t window = (2 * o.correlation_radius + 1) * (2 * o.correlation_radius + 1);
    update_block_ = register_module("update_block", std::make_shared<UpdateBlock>(w, o.correlation_levels * window, o.gma, host.norm()));
    const auto mask = register_module("mask", std::make_shared<Module>());
    mask_ = {mask->register_module("0", plain_conv(w.hidden, w.mask, 3)), mask->register_module("2", plain_conv(w.mask, 576, 1))};
    if (o.gma) attention_ = register_module("attn", std::make_shared<Attention>(w.hidden, 1, w.hidden));
  }

  void train(bool on = true) override {
    Module::train(on);
    if (o_.batch_norm == "frozen") cnet_->eval();
  }

  void* query(std::string_view id) override {
    if (id == zstar::RenamesWeights::id) return static_cast<zstar::RenamesWeights*>(this);
    return id == zstar::Predicts::id ? static_cast<zstar::Predicts*>(this) : nullptr;
  }

  /// Version 1.0 of the published program had the mask head in the update block.
  std::string own_name(const std::string& name) const override {
    const std::string old = "update_block.mask.";
    return name.compare(0, old.size(), old) == 0 ? name.substr(old.size() - 5) : name;
  }

  void begin_pass(zstar::Phase) override { before_ = {}; }

  /// Flow [B, 2, H, W].
  Tensor predict(const zstar::Batch& batch) override { return forward(batch).back(); }
  std::vector<std::string> values() const override { return {"u", "v"}; }

  /// \param batch  image1, image2 [B, 3, H, W] of 0 … 255; perhaps flow_init [B, 2, h, w] and hidden_init [B, Dh, h, w], starts at an
  ///   eighth of the size; perhaps sequence and frame, int64 [B], for warm starts
  /// \return  flow of every returned state, [B, 2, H, W]
  std::vector<Tensor> forward(const zstar::Batch& batch) override {
    const std::int64_t pairs = batch.at("image1").size(0);
    if (is_training() || o_.warm_start == "none" || pairs == 1) return flows_of(batch);
    std::vector<std::vector<Tensor>> flows;  // of each pair: it may be the start of the next
    for (std::int64_t i = 0; i < pairs; ++i) flows.push_back(flows_of(alone(batch, i)));
    std::vector<Tensor> joined;
    for (std::size_t k = 0; k < flows[0].size(); ++k) {
      std::vector<Tensor> state;
      for (const auto& pair : flows) state.push_back(pair[k]);
      joined.push_back(torch::cat(state));
    }
    return joined;
  }

  Tensor loss(const Tensor& output, const zstar::Batch& batch) override { return flow_loss(output, batch.at("flow"), batch.at("valid")); }

  zstar::Sums measure(const Tensor& output, const zstar::Batch& batch) override {
    return flow_sums(output, batch, o_.protocol == "all_pixels");
  }

  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override { return flow_metrics(sums, o_.protocol); }

 private:
  static zstar::Batch alone(const zstar::Batch& batch, std::int64_t i) {
    zstar::Batch one;
    for (const auto& [name, tensor] : batch.tensors) one.tensors.emplace_back(name, tensor.narrow(0, i, 1));
    if (!batch.ids.empty()) one.ids = {batch.ids[static_cast<std::size_t>(i)]};
    return one;
  }

  std::vector<Tensor> flows_of(const zstar::Batch& batch) {
    const Tensor& image = batch.at("image1");
    const Padding padding(image.size(2), image.size(3), o_.padding == "bottom" || of_kitti(batch));
    const auto scaled = [&](const char* name) { return padding.pad(2 * batch.at(name) / 255 - 1); };
    const Tensor first = scaled("image1"), features = fnet_->forward(torch::cat({first, scaled("image2")}));
    // Channels last: convolutions of few channels on many pixels, and batch norms, take a fifth less time so.
    const Tensor context = torch::relu(cnet_->forward(first.contiguous(at::MemoryFormat::ChannelsLast))).contiguous();
    const Tensor origin = grid_of(image.size(0), features.size(2), features.size(3), context.options().requires_grad(false));
    std::vector<Tensor> flows;
    const auto solved = layer_->solve(map(features, context, origin), start(batch, context, origin), {.training = is_training(), .sample_ids = batch.ids});
    for (const State& z : solved.states) flows.push_back(padding.unpad(upsampled(z[0], z[1] - origin)));
    if (!is_training()) remember(batch, solved.z(), origin);
    return flows;
  }

  /// f for one solve of the state (h, c): attention, correlation, the context's share of the gates and all weights are fixed here.
  zstar::FixedPointMap map(const Tensor& features, const Tensor& context, const Tensor& origin) {
    const auto halves = features.chunk(2);
    const bool on_demand = o_.correlation == "on_demand";
    const auto levels = on_demand ? pyramid(halves[1], o_.correlation_levels) : correlation_volume(halves[0], halves[1], o_.correlation_levels);
    auto prepared = update_block_->prepare(context, is_training());
    std::vector<zstar::Captured> captured{{origin, 0}};
    if (on_demand) captured.push_back({halves[0], 0});
    const auto by_rows = [&captured](const std::vector<Tensor>& tensors) {
      for (const Tensor& t : tensors) captured.push_back({t, 0});
    };
    by_rows(levels);
    by_rows(prepared.constant);
    if (attention_) by_rows({attention_->forward(context)});
    for (const Tensor& t : prepared.weights) captured.push_back({t, std::nullopt});
    return {[on_demand, count = levels.size(), gma = o_.gma, all_grad = o_.all_grad, radius = o_.correlation_radius](const State& z, const std::vector<Tensor>& t) {
              const Tensor c = all_grad ? z[1] : z[1].detach();
              auto at = t.begin() + (on_demand ? 2 : 1);
              const std::vector<Tensor> pyramid(at, at + static_cast<std::ptrdiff_t>(count));
              at += static_cast<std::ptrdiff_t>(count);
              const Tensor correlation = on_demand ? lookup_on_demand(t[1], pyramid, c, radius) : lookup(pyramid, c, radius);
              const auto step = UpdateBlock::apply(z[0], correlation, c - t[0], gma ? at[4] : Tensor(), &*at, &at[gma ? 5 : 4]);
              return State({step.hidden, c + step.delta});
            },
            std::move(captured), /*samples_independent=*/true};
  }

  Tensor upsampled(const Tensor& hidden, const Tensor& flow) {
    const Tensor mask = 0.25 * mask_[1]->forward(torch::relu(mask_[0]->forward(hidden)));
    return upsample_convex(flow, mask, o_.border == "replicate");
  }

  State start(const zstar::Batch& batch, const Tensor& context, const Tensor& origin) const {
    Tensor h = torch::zeros_like(context), c = origin;
    if (batch.has("hidden_init")) h = batch.at("hidden_init");
    if (batch.has("flow_init")) c = origin + batch.at("flow_init");
    if (is_training() || o_.warm_start == "none" || !follows(batch, origin)) return {h, c};
    std::vector<Tensor> flows;
    for (const Tensor& flow : before_.flow.unbind(0)) flows.push_back(interpolate_forward(flow));
    return {o_.warm_start == "state" ? before_.hidden : h, origin + torch::stack(flows)};
  }

  /// Whether this pair is the next of the sequence that the last one was in.
  bool follows(const zstar::Batch& batch, const Tensor& origin) const {
    return before_.flow.defined() && batch.has("sequence") && batch.has("frame") && before_.flow.sizes() == origin.sizes() &&
           before_.sequence.equal(batch.at("sequence")) && (before_.frame + 1).equal(batch.at("frame"));
  }
  void remember(const zstar::Batch& batch, const State& z, const Tensor& origin) {
    if (o_.warm_start != "none" && batch.has("sequence") && batch.has("frame"))
      before_ = {batch.at("sequence"), batch.at("frame"), (z[1] - origin).detach(), z[0].detach()};
  }

  struct Before {
    Tensor sequence, frame, flow, hidden;
  };
  Options o_;
  std::shared_ptr<zstar::EquilibriumLayer> layer_;
  std::shared_ptr<Encoder> fnet_, cnet_;
  std::shared_ptr<UpdateBlock> update_block_;
  std::shared_ptr<Attention> attention_;
  std::vector<std::shared_ptr<Conv2d>> mask_;
  Before before_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.deq-flow", "0.1.0", "deep equilibrium optical flow")
ZSTAR_MODEL(DeqFlow, "deq_flow", "optical flow as the fixed point of a recurrent update")
