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

#include "zstar/abi/norm.hpp"
#include "zstar/nn/freeze.hpp"

namespace zstar::nn {

/// A weight of a module under a norm (or plain, if the norm is null), kept under the published names: `weight`, or
/// `weight_g`, `weight_v` and so on.
class Weight {
 public:
  Weight() = default;
  Weight(torch::nn::Module& owner, std::string name, Tensor value, Geometry geometry, std::shared_ptr<Norm> norm)
      : norm_(std::move(norm)), geometry_(std::move(geometry)), name_(std::move(name)) {
    if (!norm_) {
      stored_.push_back(owner.register_parameter(name_, std::move(value)));
      return;
    }
    for (auto& s : norm_->store(value, geometry_)) {
      const std::string full = name_ + s.suffix;
      stored_.push_back(s.trainable ? owner.register_parameter(full, s.value.detach().clone())
                                    : owner.register_buffer(full, s.value));
    }
  }

  /// The effective weight, computed from the parameters as they are now.
  Tensor effective(bool training) const {
    return norm_ ? norm_->effective(stored_, geometry_, training) : stored_.front();
  }

  const Geometry& geometry() const { return geometry_; }
  const std::vector<Tensor>& stored() const { return stored_; }

 private:
  std::shared_ptr<Norm> norm_;
  Geometry geometry_;
  std::string name_;
  std::vector<Tensor> stored_;
};

/// U(±1/√fan_in), the framework's default for linear maps and convolutions.
inline Tensor default_weight(const std::vector<std::int64_t>& sizes, std::int64_t fan_in) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  return torch::empty(sizes).uniform_(-bound, bound);
}

/// A module that is one weight and perhaps a bias. The bias comes first in the state dictionary when the weight is
/// normed, last when it is plain, as in published checkpoints.
class Normed : public torch::nn::Module, public Freezable {
 public:
  Tensor prepare(bool training) final { return weight_.effective(training); }
  /// The effective weight: that of the solve under way, or else computed afresh.
  Tensor weight() const { return slot() ? *slot() : weight_.effective(/*training=*/false); }
  const Tensor& bias() const { return bias_; }

 protected:
  Normed(Tensor weight, Tensor bias, Geometry geometry, std::shared_ptr<Norm> norm) {
    const bool bias_first = norm != nullptr;
    if (bias_first && bias.defined()) bias_ = register_parameter("bias", std::move(bias));
    weight_ = Weight(*this, "weight", std::move(weight), std::move(geometry), std::move(norm));
    if (!bias_first && bias.defined()) bias_ = register_parameter("bias", std::move(bias));
  }

  Weight weight_;
  Tensor bias_;
};

/// x ↦ x Wᵀ + b. \par Parameters  weight [out, in] under the norm, bias [out]
class Linear final : public Normed {
 public:
  Linear(std::int64_t in, std::int64_t out, std::shared_ptr<Norm> norm, bool bias = true)
      : Normed(default_weight({out, in}, in), bias ? default_weight({out}, in) : Tensor(), {}, std::move(norm)) {}

  Tensor forward(const Tensor& x) { return torch::linear(x, weight(), bias_); }
};

struct ConvOptions {
  std::int64_t in, out, kernel;
  std::int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
  bool bias = true;
};

/// Cross-correlation in `dim` = 1, 2 or 3 dimensions. \par Parameters  weight [out, in/groups, k…] under the norm, bias [out]
template <int dim>
class Conv final : public Normed {
 public:
  Conv(const ConvOptions& o, std::shared_ptr<Norm> norm)
      : Normed(default_weight(sizes(o), fan_in(o)), o.bias ? default_weight({o.out}, fan_in(o)) : Tensor(), geometry(o),
               std::move(norm)) {}

  Tensor forward(const Tensor& x) {
    const Geometry& g = weight_.geometry();
    if constexpr (dim == 1) return torch::conv1d(x, weight(), bias_, g.stride, g.padding, g.dilation, g.groups);
    else if constexpr (dim == 2) return torch::conv2d(x, weight(), bias_, g.stride, g.padding, g.dilation, g.groups);
    else return torch::conv3d(x, weight(), bias_, g.stride, g.padding, g.dilation, g.groups);
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
  static Geometry geometry(const ConvOptions& o) {
    const auto all = [](std::int64_t n) { return std::vector<std::int64_t>(dim, n); };
    return {Geometry::Map::convolution, 0, all(o.stride), all(o.padding), all(o.dilation), o.groups};
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
      : Normed(default_weight(sizes(o), fan_in(o)), o.bias ? default_weight({o.out}, fan_in(o)) : Tensor(), geometry(o),
               std::move(norm)) {}

  Tensor forward(const Tensor& x) {
    const Geometry& g = weight_.geometry();
    const std::vector<std::int64_t> no_extra(dim, 0);
    if constexpr (dim == 1) return torch::conv_transpose1d(x, weight(), bias_, g.stride, g.padding, no_extra, g.groups, g.dilation);
    else if constexpr (dim == 2) return torch::conv_transpose2d(x, weight(), bias_, g.stride, g.padding, no_extra, g.groups, g.dilation);
    else return torch::conv_transpose3d(x, weight(), bias_, g.stride, g.padding, no_extra, g.groups, g.dilation);
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
  static Geometry geometry(const ConvOptions& o) {
    const auto all = [](std::int64_t n) { return std::vector<std::int64_t>(dim, n); };
    return {Geometry::Map::transposed_convolution, 1, all(o.stride), all(o.padding), all(o.dilation), o.groups};
  }
};
using ConvTranspose1d = ConvTranspose<1>;
using ConvTranspose2d = ConvTranspose<2>;
using ConvTranspose3d = ConvTranspose<3>;

}  // namespace zstar::nn
