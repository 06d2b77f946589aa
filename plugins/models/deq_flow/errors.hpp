#pragma once
/// \file Loss and error measures of optical flow.

#include <algorithm>
#include <string>

#include <zstar/sdk.hpp>

namespace zstar_flow {
namespace {

using torch::Tensor;

/// Pixels whose ground truth counts: valid, and shorter than `longest`. \param valid  [B, H, W] → [B, H, W], 0 or 1
inline Tensor counted(const Tensor& truth, const Tensor& valid, double longest = 400) {
  return ((valid >= 0.5) & (truth.norm(2, {1}) < longest)).to(truth.scalar_type());
}

/// mean |pred − truth| · counted, over all entries: those that do not count stand in the denominator, as published, whatever their truth holds.
inline Tensor flow_loss(const Tensor& prediction, const Tensor& truth, const Tensor& valid, double longest = 400) {
  const Tensor error = prediction - torch::where(counted(truth, valid, longest).unsqueeze(1) > 0, truth, prediction.detach());
  return error.abs().mean();
}

/// ‖pred − truth‖ of every pixel, [B, H, W]
inline Tensor end_point_error(const Tensor& prediction, const Tensor& truth) { return (prediction - truth).norm(2, {1}); }

/// KITTI's outliers: more than 3 pixels and more than 5 % of the length.
inline Tensor outliers(const Tensor& error, const Tensor& truth) { return (error > 3) & (error / truth.norm(2, {1}) > 0.05); }

/// Pixels that errors are averaged over: the valid ones or, with `all_pixels`, also those that a dense set calls invalid for their length (1000 pixels and
/// more). Where a sparse set is invalid there is no truth, and nothing to count. \param valid  [B, H, W] \return bool [B, H, W]
inline Tensor judged(const Tensor& truth, const Tensor& valid, bool all_pixels) {
  return all_pixels ? (valid >= 0.5) | (truth.abs() >= 1000).any(1) : valid >= 0.5;
}

/// Sums over the pixels `judged` (bool [B, H, W]) for the protocols of flow_metrics(); those whose truth is not finite never count, nor do images without a
/// pixel that counts.
inline zstar::Sums flow_sums(const Tensor& prediction, const Tensor& truth, const Tensor& judged) {
  const Tensor error = end_point_error(prediction, truth), inside = judged & truth.isfinite().all(1);
  const auto sum = [&](const Tensor& t) { return (t & inside).sum().item<double>(); };
  const Tensor per_image = torch::where(inside, error, torch::zeros_like(error)).flatten(1).sum(1), count = inside.flatten(1).sum(1);
  return {{"error", per_image.sum().item<double>()},
          {"pixels", count.sum().item<double>()},
          {"image_means", (per_image / count.clamp_min(1)).sum().item<double>()},
          {"images", static_cast<double>((count > 0).sum().item<std::int64_t>())},
          {"within_1", sum(error < 1)},
          {"within_3", sum(error < 3)},
          {"within_5", sum(error < 5)},
          {"outliers", sum(outliers(error, truth))}};
}

/// Benchmarks that a batch may be of (`benchmark` [B]), by number: their errors are told apart.
constexpr const char* benchmarks[] = {"clean", "final", "kitti"};
constexpr std::int64_t kitti = 2;

inline bool of_kitti(const zstar::Batch& batch) { return batch.has("benchmark") && batch.at("benchmark").eq(kitti).all().item<bool>(); }

/// Sums of a batch: of all its pairs or, where it names benchmarks, of those of Sintel ("error") and of each benchmark ("kitti.error").
inline zstar::Sums flow_sums(const Tensor& prediction, const zstar::Batch& batch, bool all_pixels) {
  const Tensor &truth = batch.at("flow"), &valid = batch.at("valid");
  if (!batch.has("benchmark")) return flow_sums(prediction, truth, judged(truth, valid, all_pixels));
  zstar::Sums sums;
  const auto add = [&](const Tensor& chosen, const std::string& prefix, bool all) {
    const Tensor rows = chosen.nonzero().flatten();
    if (rows.numel() == 0) return;
    const Tensor among = truth.index_select(0, rows), counts = judged(among, valid.index_select(0, rows), all);
    for (auto& [name, sum] : flow_sums(prediction.index_select(0, rows), among, counts)) sums.emplace_back(prefix + name, sum);
  };
  add(batch.at("benchmark") != kitti, "", all_pixels);
  for (std::int64_t b = 0; b <= kitti; ++b) add(batch.at("benchmark") == b, benchmarks[b] + std::string("."), b != kitti);
  return sums;
}

/// The option of a model that chooses a protocol.
template <class O>
auto protocol_option(std::string O::*member) {
  return zstar::choice("protocol", member, "what the end-point error is averaged over: all_pixels with a truth (Chairs, Sintel), valid pixels (Things), or images (KITTI)",
                       {"all_pixels", "valid", "images"});
}

/// End-point error by the protocol, and shares of pixels in percent; then those of benchmarks. Of no pixels they are no numbers.
inline std::vector<zstar::Metric> flow_metrics(const zstar::Sums& sums, const std::string& protocol) {
  const auto of = [&](const std::string& name) {
    const auto found = std::find_if(sums.begin(), sums.end(), [&](const auto& s) { return s.first == name; });
    return found == sums.end() ? 0.0 : found->second;
  };
  const auto share = [&](const std::string& name, const std::string& prefix = "") { return 100 * of(prefix + name) / of(prefix + "pixels"); };
  const auto epe = [&](bool by_image, const std::string& prefix = "") {
    return by_image ? of(prefix + "image_means") / of(prefix + "images") : of(prefix + "error") / of(prefix + "pixels");
  };
  std::vector<zstar::Metric> metrics{{"epe", epe(protocol == "images"), false}, {"1px", share("within_1"), true}, {"3px", share("within_3"), true},
                                     {"5px", share("within_5"), true}, {"f1_all", share("outliers"), false}};
  for (const std::string name : benchmarks)
    if (of(name + ".images") > 0) metrics.push_back({name + "_epe", epe(name == "kitti", name + "."), false});
  if (of("kitti.images") > 0) metrics.push_back({"kitti_f1_all", share("outliers", "kitti."), false});
  return metrics;
}

}  // namespace
}  // namespace zstar_flow
