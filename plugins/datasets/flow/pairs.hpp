#pragma once
/// \file What data sets of flow pairs share: order, batches, collation.

#include <numeric>

#include <zstar/render.hpp>

#include "augment.hpp"
#include "writing.hpp"

namespace zstar_flow_files {
namespace {

using zstar::Split;

/// As the batch has it: benchmarks whose errors are told apart.
enum class Benchmark : std::int64_t { none = -1, clean = 0, final = 1, kitti = 2 };

/// Batch tensors: image1, image2 [B, 3, H, W] of 0 … 255, flow [B, 2, H, W] and valid [B, H, W] where there is truth; sequence, frame [B]
/// where pairs are parts of videos; benchmark [B] where evaluation is of several.
class Pairs : public zstar::Dataset, public zstar::RendersSamples {
 public:
  void* query(std::string_view id) override { return id == zstar::RendersSamples::id ? static_cast<zstar::RendersSamples*>(this) : nullptr; }

  std::vector<std::vector<std::int64_t>> batches(Split split, std::int64_t batch_size, std::uint64_t shuffle_seed) const override {
    std::vector<std::int64_t> order(static_cast<std::size_t>(size(split)));
    std::iota(order.begin(), order.end(), 0);
    if (split == Split::train) {
      Chance chance(shuffle_seed);
      for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[static_cast<std::size_t>(chance.whole(0, static_cast<std::int64_t>(i)))]);
    }
    std::vector<std::vector<std::int64_t>> out;
    for (std::size_t i = 0; i < order.size(); i += static_cast<std::size_t>(batch_size))
      out.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(i), order.begin() + static_cast<std::ptrdiff_t>(std::min(order.size(), i + static_cast<std::size_t>(batch_size))));
    return out;
  }

  zstar::Batch load(Split split, const std::vector<std::int64_t>& indices, std::uint64_t seed) const override {
    std::vector<Tensor> parts[4];
    std::vector<std::int64_t> sequences, frames, benchmarks;
    for (const std::int64_t i : indices) {
      const Pair p = pair(split, i, seed + static_cast<std::uint64_t>(i) * 0x9E3779B97F4A7C15ULL);
      parts[0].push_back(p.image1), parts[1].push_back(p.image2);
      if (p.flow.defined()) parts[2].push_back(p.flow), parts[3].push_back(p.valid);
      const auto [sequence, frame] = place(split, i);
      sequences.push_back(sequence), frames.push_back(frame);
      if (split != Split::train && benchmark(split, i) != Benchmark::none) benchmarks.push_back(static_cast<std::int64_t>(benchmark(split, i)));
    }
    for (const Tensor& image : parts[0])
      if (image.sizes() != parts[0][0].sizes())
        throw std::runtime_error("pairs of different sizes cannot be a batch; use batch_size = 1 in [eval], or a crop");
    zstar::Batch batch{{{"image1", torch::stack(parts[0])}, {"image2", torch::stack(parts[1])}}, indices};
    if (!parts[2].empty()) batch.tensors.insert(batch.tensors.end(), {{"flow", torch::stack(parts[2])}, {"valid", torch::stack(parts[3])}});
    batch.tensors.insert(batch.tensors.end(), {{"sequence", torch::tensor(sequences, torch::kInt64)}, {"frame", torch::tensor(frames, torch::kInt64)}});
    if (!benchmarks.empty()) batch.tensors.emplace_back("benchmark", torch::tensor(benchmarks, torch::kInt64));
    return batch;
  }

  std::vector<std::string> render(Split split, std::int64_t index, const Tensor& prediction, const std::string& folder) const override {
    const Pair p = pair(split, index, 0);
    if (prediction.sizes().slice(1) != p.image1.sizes().slice(1))
      throw std::runtime_error("augmented pairs have no files; render whole images: --set dataset.crop=[]");
    return write_flow(p, prediction, std::filesystem::path(folder) / name(split, index), sparse());
  }

  /// \param seed  of its augmentation
  virtual Pair pair(Split split, std::int64_t index, std::uint64_t seed) const = 0;
  /// Number of the video that the pair is in, and of its first frame there.
  virtual std::pair<std::int64_t, std::int64_t> place(Split, std::int64_t index) const { return {index, 0}; }
  /// Of the files of the pair in a submission, without their ending.
  virtual std::string name(Split, std::int64_t index) const { return "pair_" + std::to_string(index); }
  /// Which benchmark a pair is of, where a split has several: of all its pairs, or of none.
  virtual Benchmark benchmark(Split, std::int64_t) const { return Benchmark::none; }
  /// Whether flow is known at some pixels alone, and written as KITTI has it.
  virtual bool sparse() const { return false; }
};

}  // namespace
}  // namespace zstar_flow_files
