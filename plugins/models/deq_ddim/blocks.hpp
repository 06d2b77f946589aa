#pragma once
/// \file Blocks of the diffusion U-Net, under their published names. Equations: README.md.

#include <zstar/sdk.hpp>

namespace zstar_ddim {
namespace {

using torch::Tensor;
using torch::nn::Module;
using zstar::nn::Conv2d;
using zstar::nn::ConvOptions;

inline std::shared_ptr<Conv2d> convolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1, bool pad = true) {
  return std::make_shared<Conv2d>(ConvOptions{.in = in, .out = out, .kernel = kernel, .stride = stride, .padding = pad ? kernel / 2 : 0}, nullptr);
}

/// Group norm with learned scale and shift; ε 1e-6.
class GroupNorm final : public Module {
 public:
  GroupNorm(std::int64_t groups, std::int64_t channels) : groups_(groups) {
    if (channels % groups != 0)
      throw zstar::OptionError("norm_groups", std::to_string(channels) + " channels cannot be cut into " + std::to_string(groups) + " equal groups");
    weight_ = register_parameter("weight", torch::ones({channels}));
    bias_ = register_parameter("bias", torch::zeros({channels}));
  }
  Tensor forward(const Tensor& x) { return torch::group_norm(x, groups_, weight_, bias_, /*eps=*/1e-6); }

 private:
  std::int64_t groups_;
  Tensor weight_, bias_;
};

struct ResnetOptions {
  std::int64_t in, out, embedding, groups = 32;
  bool conv_shortcut = false;
  double dropout = 0;
};

/// conv2(dropout(swish(norm2(conv1(swish(norm1 x)) + proj(swish e))))) + shortcut x, with swish x = x σ(x).
class ResnetBlock final : public Module {
 public:
  explicit ResnetBlock(const ResnetOptions& o) : dropout_(o.dropout) {
    norm1_ = register_module("norm1", std::make_shared<GroupNorm>(o.groups, o.in));
    conv1_ = register_module("conv1", convolution(o.in, o.out, 3));
    projection_ = register_module("temb_proj", std::make_shared<zstar::nn::Linear>(o.embedding, o.out, nullptr));
    norm2_ = register_module("norm2", std::make_shared<GroupNorm>(o.groups, o.out));
    conv2_ = register_module("conv2", convolution(o.out, o.out, 3));
    if (o.in == o.out) return;
    shortcut_ = o.conv_shortcut ? register_module("conv_shortcut", convolution(o.in, o.out, 3)) : register_module("nin_shortcut", convolution(o.in, o.out, 1));
  }

  /// \param x  [B, in, H, W] \param e  embedding of the time, [B, embedding]
  Tensor forward(const Tensor& x, const Tensor& e) {
    Tensor h = conv1_->forward(torch::silu(norm1_->forward(x)));
    h += projection_->forward(torch::silu(e)).unsqueeze(2).unsqueeze(3);  // in place: no backward pass needs what a convolution gave
    h = conv2_->forward(torch::dropout(torch::silu(norm2_->forward(h)), dropout_, is_training()));
    return h += shortcut_ ? shortcut_->forward(x) : x;
  }

 private:
  double dropout_;
  std::shared_ptr<GroupNorm> norm1_, norm2_;
  std::shared_ptr<Conv2d> conv1_, conv2_, shortcut_;
  std::shared_ptr<zstar::nn::Linear> projection_;
};

/// x + proj(softmax(qᵀk/√C) v) over all positions, one head.
class AttentionBlock final : public Module {
 public:
  AttentionBlock(std::int64_t groups, std::int64_t channels) {
    norm_ = register_module("norm", std::make_shared<GroupNorm>(groups, channels));
    q_ = register_module("q", convolution(channels, channels, 1));
    k_ = register_module("k", convolution(channels, channels, 1));
    v_ = register_module("v", convolution(channels, channels, 1));
    out_ = register_module("proj_out", convolution(channels, channels, 1));
  }

  Tensor forward(const Tensor& x) {
    const Tensor h = norm_->forward(x);
    const Tensor q = q_->forward(h).flatten(2), k = k_->forward(h).flatten(2), v = v_->forward(h).flatten(2);                          // [B, C, H·W]
    const Tensor weights = torch::softmax(torch::bmm(q.transpose(1, 2), k) * (1 / std::sqrt(static_cast<double>(q.size(1)))), 2);  // [B, H·W, H·W]
    return x + out_->forward(torch::bmm(v, weights.transpose(1, 2)).view_as(x));
  }

 private:
  std::shared_ptr<GroupNorm> norm_;
  std::shared_ptr<Conv2d> q_, k_, v_, out_;
};

/// Half the height and width: a strided convolution of the image with a zero row below and a zero column at its right, or means of 2×2.
class Downsample final : public Module {
 public:
  Downsample(std::int64_t channels, bool with_conv) {
    if (with_conv) conv_ = register_module("conv", convolution(channels, channels, 3, /*stride=*/2, /*pad=*/false));
  }
  Tensor forward(const Tensor& x) { return conv_ ? conv_->forward(torch::constant_pad_nd(x, {0, 1, 0, 1})) : torch::avg_pool2d(x, {2, 2}, {2, 2}); }

 private:
  std::shared_ptr<Conv2d> conv_;
};

/// Twice the height and width: every pixel four times, then a convolution.
class Upsample final : public Module {
 public:
  Upsample(std::int64_t channels, bool with_conv) {
    if (with_conv) conv_ = register_module("conv", convolution(channels, channels, 3));
  }
  Tensor forward(const Tensor& x) {
    const Tensor large = torch::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
    return conv_ ? conv_->forward(large) : large;
  }

 private:
  std::shared_ptr<Conv2d> conv_;
};

}  // namespace
}  // namespace zstar_ddim
