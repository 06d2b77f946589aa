#pragma once
/// \file Linear maps and convolutions whose weight is under a norm.

#include <cmath>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/functional/conv.h>
#include <torch/nn/init.h>
#include <torch/nn/module.h>

#include "zstar/nn/convolution.hpp"
#include "zstar/nn/freeze.hpp"
#include "zstar/nn/weight.hpp"

namespace zstar::nn {

/// U(±1/√fan_in), the framework's default for linear maps and convolutions.
inline Tensor default_weight(const std::vector<std::int64_t>& sizes, std::int64_t fan_in) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  return torch::empty(sizes).uniform_(-bound, bound);
}

namespace detail {
template <class F>
struct Argument;
template <class R, class C, class A>
struct Argument<R (C::*)(const A&) const> {
  using type = A;
};
}  // namespace detail
/// LibTorch's optional device, whose type differs between versions.
using MaybeDevice = detail::Argument<decltype(&torch::nn::Module::clone)>::type;

/// A module that is one weight and perhaps a bias. The bias comes first in the state dictionary when the weight is
/// normed, last when it is plain, as in published checkpoints.
class Normed : public torch::nn::Module, public Freezable, public Weighted {
 public:
  Tensor prepare(bool training) final { return owner_ ? Tensor() : weight_.effective(training); }
  /// The effective weight: that of the solve under way, or else computed afresh.
  Tensor weight() const {
    if (owner_) return owner_->weight();
    return slot() ? *slot() : weight_.effective(/*training=*/false);
  }
  const Tensor& bias() const { return bias_; }
  std::vector<Weight*> weights() final { return owner_ ? std::vector<Weight*>{} : std::vector<Weight*>{&weight_}; }
  /// Another initial weight.
  void assign(const Tensor& weight) { weight_.assign(weight); }

 protected:
  Normed(Tensor weight, Tensor bias, Geometry geometry, std::shared_ptr<Norm> norm) {
    const bool bias_first = norm != nullptr;
    if (bias_first && bias.defined()) bias_ = register_parameter("bias", std::move(bias));
    weight_ = Weight(*this, "weight", std::move(weight), std::move(geometry), std::move(norm));
    if (!bias_first && bias.defined()) bias_ = register_parameter("bias", std::move(bias));
  }
  /// A layer with the weight of another, which keeps its parameters and its norm.
  Normed(std::shared_ptr<Normed> owner, Tensor bias) : owner_(std::move(owner)) {
    if (bias.defined()) bias_ = register_parameter("bias", std::move(bias));
  }

  /// Makes a memberwise copy independent of what it was copied from. A tied layer stays tied.
  template <class Layer>
  static std::shared_ptr<torch::nn::Module> independent(const Layer& layer, const MaybeDevice& device) {
    const torch::NoGradGuard no_grad;
    auto copy = std::make_shared<Layer>(layer);
    if (!copy->owner_) copy->weight_.separate(*copy);
    if (copy->bias_.defined())
      copy->bias_ = detail::parameters_of(*copy)["bias"] = layer.bias_.detach().clone().requires_grad_(layer.bias_.requires_grad());
    if (device) copy->to(*device);
    return copy;
  }

  const Geometry& geometry() const { return owner_ ? owner_->geometry() : weight_.geometry(); }

  Weight weight_;
  Tensor bias_;

 private:
  std::shared_ptr<Normed> owner_;
};

/// x ↦ x Wᵀ + b. \par Parameters  weight [out, in] under the norm, bias [out]
class Linear final : public Normed {
 public:
  Linear(std::int64_t in, std::int64_t out, std::shared_ptr<Norm> norm, bool bias = true)
      : Normed(default_weight({out, in}, in), bias ? default_weight({out}, in) : Tensor(), {}, std::move(norm)) {}
  /// With the weight of another layer: one parameter, normed once.
  explicit Linear(const std::shared_ptr<Linear>& tied, bool bias = true)
      : Normed(tied, bias ? default_weight({tied->weight().size(0)}, tied->weight().size(1)) : Tensor()) {}

  Tensor forward(const Tensor& x) { return torch::linear(x, weight(), bias_); }
  std::shared_ptr<torch::nn::Module> clone(const MaybeDevice& device = {}) const override {
    return independent(*this, device);
  }
};

struct ConvOptions {
  std::int64_t in, out, kernel;
  std::int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
  bool bias = true;
  std::vector<std::int64_t> input_size = {};  ///< of the images that come in, for norms of the operator
};

/// Cross-correlation in `dim` = 1, 2 or 3 dimensions. \par Parameters  weight [out, in/groups, k…] under the norm, bias [out]
template <int dim>
class Conv final : public Normed {
 public:
  Conv(const ConvOptions& o, std::shared_ptr<Norm> norm)
      : Normed(default_weight(sizes(o), fan_in(o)), o.bias ? default_weight({o.out}, fan_in(o)) : Tensor(), geometry_of(o),
               std::move(norm)) {}

  Tensor forward(const Tensor& x) {
    const Geometry& g = geometry();
    if constexpr (dim == 1) return torch::conv1d(x, weight(), bias_, g.stride, g.padding, g.dilation, g.groups);
    else if constexpr (dim == 2) return conv2d(x, weight(), bias_, g.stride, g.padding, g.dilation, g.groups);
    else return torch::conv3d(x, weight(), bias_, g.stride, g.padding, g.dilation, g.groups);
  }

  std::shared_ptr<torch::nn::Module> clone(const MaybeDevice& device = {}) const override {
    return independent(*this, device);
  }

 private:
  static std::vector<std::int64_t> sizes(const ConvOptions& o) {
    std::vector<std::int64_t> s(dim + 2, o.kernel);
    s[0] = o.out, s[1] = o.in / o.groups;
    return s;
  }
  static std::int64_t fan_in(const ConvOptions& o) {
    return o.in / o.groups * static_cast<std::int64_t>(std::pow(o.kernel, dim));
  }
  static Geometry geometry_of(const ConvOptions& o) {
    const auto all = [](std::int64_t n) { return std::vector<std::int64_t>(dim, n); };
    return {Geometry::Map::convolution, 0, all(o.stride), all(o.padding), all(o.dilation), o.groups, o.input_size};
  }
};
using Conv1d = Conv<1>;
using Conv2d = Conv<2>;
using Conv3d = Conv<3>;

/// Transposed convolution. \par Parameters  weight [in, out/groups, k…] under the norm (axis 1 counts outputs), bias [out]
template <int dim>
class ConvTranspose final : public Normed {
 public:
  ConvTranspose(const ConvOptions& o, std::shared_ptr<Norm> norm)
      : Normed(default_weight(sizes(o), fan_in(o)), o.bias ? default_weight({o.out}, fan_in(o)) : Tensor(), geometry_of(o),
               std::move(norm)) {}

  Tensor forward(const Tensor& x) {
    const Geometry& g = geometry();
    const std::vector<std::int64_t> no_extra(dim, 0);
    if constexpr (dim == 1) return torch::conv_transpose1d(x, weight(), bias_, g.stride, g.padding, no_extra, g.groups, g.dilation);
    else if constexpr (dim == 2) return torch::conv_transpose2d(x, weight(), bias_, g.stride, g.padding, no_extra, g.groups, g.dilation);
    else return torch::conv_transpose3d(x, weight(), bias_, g.stride, g.padding, no_extra, g.groups, g.dilation);
  }

  std::shared_ptr<torch::nn::Module> clone(const MaybeDevice& device = {}) const override {
    return independent(*this, device);
  }

 private:
  static std::vector<std::int64_t> sizes(const ConvOptions& o) {
    std::vector<std::int64_t> s(dim + 2, o.kernel);
    s[0] = o.in, s[1] = o.out / o.groups;
    return s;
  }
  static std::int64_t fan_in(const ConvOptions& o) {
    return o.out / o.groups * static_cast<std::int64_t>(std::pow(o.kernel, dim));
  }
  static Geometry geometry_of(const ConvOptions& o) {
    const auto all = [](std::int64_t n) { return std::vector<std::int64_t>(dim, n); };
    return {Geometry::Map::transposed_convolution, 1, all(o.stride), all(o.padding), all(o.dilation), o.groups, o.input_size};
  }
};
using ConvTranspose1d = ConvTranspose<1>;
using ConvTranspose2d = ConvTranspose<2>;
using ConvTranspose3d = ConvTranspose<3>;

}  // namespace zstar::nn
