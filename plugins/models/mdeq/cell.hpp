#pragma once
/// \file The map of MDEQ: a block for every resolution, then fusion of each with all others. Equations: README.md.

#include "fused_sum.hpp"
#include "layers.hpp"

namespace zstar_mdeq {
namespace {

struct CellOptions {
  std::vector<std::int64_t> channels, blocks;  ///< of every branch, from fine to coarse
  std::int64_t groups = 8, expansion = 5;
  std::shared_ptr<zstar::Norm> norm, fusion_norm;  ///< of the convolutions in the blocks; in the fusion and after it
};

/// a = relu(GN(conv z)), which backward makes again, b = GN(mask ⊙ conv a + u), z ↦ GN(relu(b + z)).
class Block final : public Module {
 public:
  Block(std::int64_t channels, const CellOptions& o) {
    const std::int64_t wide = o.expansion * channels;
    conv1_ = register_module("conv1", convolution(channels, wide, o.norm));
    gn1_ = register_module("gn1", std::make_shared<GroupNorm>(o.groups, wide));
    conv2_ = register_module("conv2", convolution(wide, channels, o.norm));
    gn2_ = register_module("gn2", std::make_shared<GroupNorm>(o.groups, channels));
    gn3_ = register_module("gn3", std::make_shared<GroupNorm>(o.groups, channels));
  }

  /// \param u  injection, \param mask  dropout mask [B, C, 1, 1]; either may be undefined
  Tensor forward(const Tensor& z, const Tensor& u, const Tensor& mask) {
    const auto a = [x = conv1_->forward(z), gn1 = gn1_->bound()] { return gn1(x, {.relu = true}); };
    return gn3_->forward(gn2_->forward(zstar::nn::conv2d_of(a, conv2_->weight(), {}), {.mask = mask, .add = u, .skip = z, .relu = true}));
  }

 private:
  static std::shared_ptr<Conv2d> convolution(std::int64_t in, std::int64_t out, const std::shared_ptr<zstar::Norm>& norm) {
    return std::make_shared<Conv2d>(ConvOptions{.in = in, .out = out, .kernel = 3, .padding = 1, .bias = false}, norm);
  }
  std::shared_ptr<Conv2d> conv1_, conv2_;
  std::shared_ptr<GroupNorm> gn1_, gn2_, gn3_;
};

/// T_ij: what branch j adds to branch i. From coarser to finer a 1x1 convolution, to be enlarged to the nearest pixel by the sum; from finer to
/// coarser i − j strided 3x3 convolutions with ReLU between them.
class Path final {
 public:
  Path(Module& owner, const std::string& name, std::int64_t from, std::int64_t to, std::int64_t down, const CellOptions& o) {
    if (down < 0) steps_.push_back(place(owner, name, std::make_shared<ConvNorm>(ConvOptions{.in = from, .out = to, .kernel = 1}, o.groups, o.fusion_norm)));
    for (std::int64_t k = 0; k < down; ++k) {
      const ConvOptions conv{.in = from, .out = k + 1 < down ? from : to, .kernel = 3, .stride = 2, .padding = 1};
      steps_.push_back(place(owner, name + "." + std::to_string(k), std::make_shared<ConvNorm>(conv, o.groups, o.fusion_norm)));
    }
  }

  Tensor forward(Tensor y) const {
    for (std::size_t k = 0; k < steps_.size(); ++k) y = steps_[k]->forward(y, /*relu=*/k + 1 < steps_.size());
    return y;
  }

 private:
  std::vector<std::shared_ptr<ConvNorm>> steps_;
};

/// The whole map: blocks, fusion t_i = Σ_j T_ij(y_j), z_i ↦ GN(conv1x1(relu(t_i))). One branch: its blocks alone.
class Cell final : public Module {
 public:
  explicit Cell(const CellOptions& o) : o_(o) {
    const std::size_t n = o.channels.size();
    const auto number = [](std::size_t i) { return std::to_string(i); };
    for (std::size_t i = 0; i < n; ++i)
      for (std::int64_t b = 0; b < o.blocks[i]; ++b)
        blocks_.push_back(place(*this, "branches." + number(i) + ".blocks." + std::to_string(b), std::make_shared<Block>(o.channels[i], o)));
    if (n == 1) return;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        paths_.emplace_back(*this, "fuse_layers." + number(i) + "." + number(j) + ".net", o.channels[j], o.channels[i],
                            static_cast<std::int64_t>(i) - static_cast<std::int64_t>(j), o);
    for (std::size_t i = 0; i < n; ++i)
      after_.push_back(place(*this, "post_fuse_layers." + number(i),
                             std::make_shared<ConvNorm>(ConvOptions{.in = o.channels[i], .out = o.channels[i], .kernel = 1}, o.groups / 2, o.fusion_norm)));
  }

  std::size_t blocks() const { return blocks_.size(); }
  /// Branch of every block.
  std::vector<std::size_t> branch_of_blocks() const {
    std::vector<std::size_t> branches;
    for (std::size_t i = 0; i < o_.blocks.size(); ++i) branches.insert(branches.end(), static_cast<std::size_t>(o_.blocks[i]), i);
    return branches;
  }

  /// \param z  a tensor [B, C_i, H_i, W_i] for every branch \param u  injection into the first block of the first branch
  /// \param masks  dropout masks of the blocks, or null
  std::vector<Tensor> forward(const std::vector<Tensor>& z, const Tensor& u, const Tensor* masks) {
    const std::size_t n = z.size();
    std::vector<Tensor> y;
    for (const Tensor& t : z) y.push_back(t.contiguous(t.suggest_memory_format()));  // rows of a packed state have gaps between samples
    const auto branches = branch_of_blocks();
    for (std::size_t k = 0; k < blocks_.size(); ++k)
      y[branches[k]] = blocks_[k]->forward(y[branches[k]], k == 0 ? u : Tensor(), masks ? masks[k] : Tensor());
    if (n == 1) return y;
    std::vector<Tensor> out;
    for (std::size_t i = 0; i < n; ++i) {
      std::vector<Tensor> terms;
      for (std::size_t j = 0; j < n; ++j) terms.push_back(paths_[i * n + j].forward(y[j]));
      out.push_back(after_[i]->forward(sum_of_branches(terms, y[i].size(2), y[i].size(3))));
    }
    return out;
  }

 private:
  CellOptions o_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::vector<Path> paths_;  ///< T_ij at i n + j; T_ii has no steps
  std::vector<std::shared_ptr<ConvNorm>> after_;
};

}  // namespace
}  // namespace zstar_mdeq
