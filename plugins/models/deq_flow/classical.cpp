/// \file Flow without learning, to compare with: none at all, and that of Lucas and Kanade on a pyramid. Equations and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/predict.hpp>

#include "correlation.hpp"
#include "errors.hpp"

namespace {

using namespace zstar_flow;

/// Image [B, 1, H, W] at the positions that the flow leads to; beyond the border, its last pixels.
Tensor warped(const Tensor& image, const Tensor& flow) {
  const std::int64_t h = image.size(2), w = image.size(3);
  const Tensor at = grid_of(image.size(0), h, w, image.options()) + flow;
  const Tensor unit = torch::stack({2 * at.select(1, 0) / static_cast<double>(w - 1) - 1, 2 * at.select(1, 1) / static_cast<double>(h - 1) - 1}, 3);
  return torch::grid_sampler(image, unit, /*bilinear*/ 0, /*border*/ 1, /*align_corners=*/true);
}

/// Central differences along an axis, [B, 1, H, W].
Tensor slope(const Tensor& image, std::int64_t axis) {
  const std::int64_t n = image.size(axis);
  const Tensor padded = torch::cat({image.narrow(axis, 0, 1), image, image.narrow(axis, n - 1, 1)}, axis);
  return (padded.narrow(axis, 2, n) - padded.narrow(axis, 0, n)) / 2;
}

/// One step: the d that minimises Σ_window (I₂(p + flow) − I₁(p) + ∇I · d)², at most two pixels each way.
Tensor refined(const Tensor& first, const Tensor& second, const Tensor& flow, std::int64_t radius) {
  const Tensor moved = warped(second, flow), both = (first + moved) / 2, x = slope(both, 3), y = slope(both, 2), t = moved - first;
  const std::int64_t side = 2 * radius + 1;
  const auto mean = [&](const Tensor& v) { return torch::avg_pool2d(v, {side, side}, {1, 1}, {radius, radius}, false, /*count_include_pad=*/false); };
  constexpr double ridge = 1;  // squared grey levels: where nothing is seen, nothing moves
  const Tensor xx = mean(x * x) + ridge, xy = mean(x * y), yy = mean(y * y) + ridge, xt = mean(x * t), yt = mean(y * t), det = xx * yy - xy * xy;
  return flow + torch::cat({(xy * yt - yy * xt) / det, (xy * xt - xx * yt) / det}, 1).clamp(-2, 2);
}

class ClassicalFlow final : public zstar::Model, public zstar::Predicts {
 public:
  struct Options {
    std::string method = "lucas_kanade", protocol = "all_pixels";
    std::int64_t levels = 4, radius = 7, iterations = 5;
  };
  static auto options() {
    using O = Options;
    return std::tuple{zstar::choice("method", &O::method, "lucas_kanade, or zero: nothing moves", {"lucas_kanade", "zero"}), protocol_option(&O::protocol),
                      zstar::opt("levels", &O::levels, "of the pyramid, each half as large; fewer where sides would fall below 8 pixels", zstar::at_least(1)),
                      zstar::opt("radius", &O::radius, "of the window that moves as one", zstar::at_least(1), "pixels"),
                      zstar::opt("iterations", &O::iterations, "steps on every level", zstar::at_least(1))};
  }
  ClassicalFlow(const Options& o, zstar::Host&) : o_(o) {}

  void* query(std::string_view id) override {
    if (id == zstar::Exemptions::id) return &exemptions_;
    return id == zstar::Predicts::id ? static_cast<zstar::Predicts*>(this) : nullptr;
  }

  /// Flow [B, 2, H, W] of image1, image2 [B, 3, H, W].
  std::vector<Tensor> forward(const zstar::Batch& batch) override {
    const auto grey = [&](const char* name) {
      const auto c = batch.at(name).split(1, 1);
      return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2];
    };
    std::vector<Tensor> first{grey("image1")}, second{grey("image2")};
    const std::int64_t h = first[0].size(2), w = first[0].size(3);
    Tensor flow = torch::zeros({first[0].size(0), 2, h, w}, first[0].options());
    if (o_.method == "zero") return {flow};
    while (static_cast<std::int64_t>(first.size()) < o_.levels && std::min(first.back().size(2), first.back().size(3)) >= 16)
      for (auto* pyramid : {&first, &second}) pyramid->push_back(torch::avg_pool2d(pyramid->back(), {2, 2}));
    for (std::size_t level = first.size(); level-- > 0;) {
      const std::int64_t lh = first[level].size(2), lw = first[level].size(3);
      const Tensor grow = torch::tensor({static_cast<double>(lw) / static_cast<double>(flow.size(3)), static_cast<double>(lh) / static_cast<double>(flow.size(2))}, flow.options());
      flow = torch::upsample_bilinear2d(flow, {lh, lw}, /*align_corners=*/false) * grow.view({1, 2, 1, 1});
      for (std::int64_t i = 0; i < o_.iterations; ++i) flow = refined(first[level], second[level], flow, o_.radius);
    }
    return {flow};
  }
  Tensor predict(const zstar::Batch& batch) override { return forward(batch).back(); }
  std::vector<std::string> values() const override { return {"u", "v"}; }

  Tensor loss(const Tensor& output, const zstar::Batch& batch) override { return flow_loss(output, batch.at("flow"), batch.at("valid")); }
  zstar::Sums measure(const Tensor& output, const zstar::Batch& batch) override {
    return flow_sums(output, batch, o_.protocol == "all_pixels");
  }
  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override { return flow_metrics(sums, o_.protocol); }

 private:
  Options o_;
  zstar::Exemptions exemptions_{{{"forwards", "nothing is learned and nothing solved"}, {"trains", "there are no parameters"}}};
};

}  // namespace

ZSTAR_MODEL(ClassicalFlow, "classical_flow", "optical flow of Lucas and Kanade, or none, to compare with")
