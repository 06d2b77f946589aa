#pragma once
/// \file Layers of MDEQ: group norm, convolutions in rows; and the names of published checkpoints.

#include <zstar/nn/batch_norm.hpp>
#include <zstar/nn/remade.hpp>
#include <zstar/sdk.hpp>

#include "fused_norm.hpp"

namespace zstar_mdeq {
namespace {

using torch::Tensor;
using torch::nn::Module;
using zstar::nn::BatchNorm;
using zstar::nn::Conv2d;
using zstar::nn::ConvOptions;

/// Registers `child` under a dotted path below `owner`; the modules on the way hold nothing else.
template <class T>
std::shared_ptr<T> place(Module& owner, const std::string& path, std::shared_ptr<T> child) {
  const auto dot = path.find('.');
  if (dot == std::string::npos) return owner.register_module(path, std::move(child));
  const std::string head = path.substr(0, dot);
  for (const auto& known : owner.named_children())
    if (known.key() == head) return place(*known.value(), path.substr(dot + 1), std::move(child));
  return place(*owner.register_module(head, std::make_shared<Module>()), path.substr(dot + 1), std::move(child));
}

/// Normalises groups of channels of each sample, with learned scale and shift; ε 1e-5. Its frozen tensor is both, [2, C].
/// \par Source  Wu & He, ECCV 2018
class GroupNorm final : public Module, public zstar::nn::Freezable {
 public:
  GroupNorm(std::int64_t groups, std::int64_t channels) : groups_(groups) {
    if (groups < 1 || channels % groups != 0)
      throw zstar::OptionError("groups", std::to_string(channels) + " channels cannot be cut into " + std::to_string(groups) +
                                             " equal groups; choose channels, expansion and groups that divide (and an even number of groups)");
    weight_ = register_parameter("weight", torch::ones({channels}));
    bias_ = register_parameter("bias", torch::zeros({channels}));
  }

  Tensor prepare(bool /*training*/) override { return torch::stack({weight_, bias_}); }

  /// The norm with scale and shift as they are now, for when the binding is over.
  auto bound() {
    return [groups = groups_, affine = slot() ? *slot() : prepare(false)](const Tensor& x, const Around& around) { return group_norm(x, groups, affine, around); };
  }
  Tensor forward(const Tensor& x, const Around& around = {}) { return bound()(x, around); }

 private:
  std::int64_t groups_;
  Tensor weight_, bias_;
};

/// Convolutions outside of the map, each with batch norm and ReLU. Convolution k is named 3k, its norm 3k + 1.
class ConvStack final : public Module {
 public:
  explicit ConvStack(const std::vector<ConvOptions>& convolutions, bool relu_at_end = true) : relu_at_end_(relu_at_end) {
    for (const ConvOptions& o : convolutions) {
      const std::size_t k = convolutions_.size();
      convolutions_.push_back(register_module(std::to_string(3 * k), std::make_shared<Conv2d>(o, nullptr)));
      norms_.push_back(register_module(std::to_string(3 * k + 1), std::make_shared<BatchNorm>(o.out)));
    }
  }

  Tensor forward(Tensor x) {
    for (std::size_t k = 0; k < convolutions_.size(); ++k) {
      x = norms_[k]->forward(convolutions_[k]->forward(x));
      if (relu_at_end_ || k + 1 < convolutions_.size()) x = torch::relu(x);
    }
    return x;
  }

 private:
  bool relu_at_end_;
  std::vector<std::shared_ptr<Conv2d>> convolutions_;
  std::vector<std::shared_ptr<BatchNorm>> norms_;
};

/// A convolution without bias and its group norm, inside of the map.
class ConvNorm final : public Module {
 public:
  ConvNorm(ConvOptions o, std::int64_t groups, const std::shared_ptr<zstar::Norm>& norm) {
    o.bias = false;
    conv_ = register_module("conv", std::make_shared<Conv2d>(o, norm));
    gnorm_ = register_module("gnorm", std::make_shared<GroupNorm>(groups, o.out));
  }
  Tensor forward(const Tensor& x, bool relu = false) { return gnorm_->forward(conv_->forward(x), {.relu = relu}); }

 private:
  std::shared_ptr<Conv2d> conv_;
  std::shared_ptr<GroupNorm> gnorm_;
};

}  // namespace
}  // namespace zstar_mdeq
