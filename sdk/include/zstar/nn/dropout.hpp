#pragma once
/// \file Variational dropout: one mask for a whole solve and its backward pass.
/// \par Sources  Gal & Ghahramani, NeurIPS 2016; Bai, Kolter & Koltun, NeurIPS 2019, appendix

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "zstar/abi/state.hpp"
#include "zstar/drawn.hpp"
#include "zstar/nn/freeze.hpp"

namespace zstar::nn {

/// What one entry of the mask covers.
enum class DropWhat {
  element,  ///< every number has its own
  feature,  ///< a feature is dropped at all positions of a sample
  token,    ///< all features of a position are dropped
};

/// Multiplies by a mask of entries 0 or 1/(1−p), drawn at the first use within a frozen solve and kept until its end.
/// Outside of a frozen solve, a new mask is drawn at each call in training mode. p = 1 drops everything.
class VariationalDropout final : public torch::nn::Module, public Freezable {
 public:
  /// \param token_first  inputs are [B, positions…, D], or else [B, D, positions…]
  explicit VariationalDropout(double p, DropWhat what = DropWhat::element, bool token_first = true)
      : p_(p), what_(what), token_first_(token_first) {
    if (!(p >= 0.0 && p <= 1.0)) throw std::invalid_argument("dropout: p is " + std::to_string(p) + ", expected 0 … 1");
  }

  Tensor prepare(bool /*training*/) override { return {}; }

  Tensor forward(const Tensor& x) {
    if (!is_training() || p_ == 0.0) return x;
    if (slot() == nullptr) return x * draw(x);
    if (!slot()->defined()) *slot() = draw(x);
    return x * *slot();
  }

  /// Where masks are drawn from; undefined: LibTorch's generator of the device, which `[experiment] seed` seeds.
  void draw_from(at::Generator generator) { generator_ = std::move(generator); }

  /// Shape of the mask for an input of shape `sizes`.
  std::vector<std::int64_t> mask_sizes(at::IntArrayRef sizes) const {
    std::vector<std::int64_t> mask = sizes.vec();
    if (what_ == DropWhat::element || mask.size() < 2) return mask;
    const std::size_t feature_axis = token_first_ ? mask.size() - 1 : 1;
    for (std::size_t axis = 1; axis < mask.size(); ++axis)
      if ((axis == feature_axis) == (what_ == DropWhat::token)) mask[axis] = 1;
    return mask;
  }

 private:
  Tensor draw(const Tensor& x) const {
    const torch::NoGradGuard no_grad;
    const auto mask = torch::empty(mask_sizes(x.sizes()), options_to_draw(x));
    if (p_ == 1.0) return mask.zero_().to(x.scalar_type());
    if (generator_.defined()) mask.bernoulli_(1.0 - p_, generator_);
    else mask.bernoulli_(1.0 - p_);
    return mask.div_(1.0 - p_).to(x.scalar_type());
  }

  double p_;
  at::Generator generator_;
  DropWhat what_;
  bool token_first_;
};

}  // namespace zstar::nn
