#pragma once
/// \file Convolution of images: LibTorch's, and Winograd's algorithm where a plugin brings it and it takes less time.

#include <algorithm>
#include <cstdint>
#include <utility>

#include <ATen/ops/conv2d.h>

#include "zstar/abi/state.hpp"

namespace zstar::nn {

/// Defined in a plugin that includes `zstar/nn/winograd.hpp`, and null in others.
namespace winograd {
[[gnu::weak]] bool pays(const Tensor& x, const Tensor& weight, const Tensor& bias);
[[gnu::weak]] Tensor convolve(const Tensor& x, const Tensor& weight, const Tensor& bias);
/// Of the image and of the weight, off the graph; undefined where not asked for.
[[gnu::weak]] std::pair<Tensor, Tensor> gradients(const Tensor& x, const Tensor& weight, const Tensor& dy, bool of_image, bool of_weight);
}  // namespace winograd

/// Whether a convolution of these strides, paddings, dilations and groups goes Winograd's way.
inline bool by_winograd(const Tensor& x, const Tensor& weight, const Tensor& bias, at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, std::int64_t groups) {
  const auto all = [](at::IntArrayRef values) { return std::all_of(values.begin(), values.end(), [](std::int64_t v) { return v == 1; }); };
  return winograd::pays != nullptr && groups == 1 && all(stride) && all(padding) && all(dilation) && winograd::pays(x, weight, bias);
}

/// Cross-correlation of x [N, C, H, W] with weight [O, C/groups, h, w]; bias [O] or undefined. As torch::conv2d, up to rounding:
/// where `zstar/nn/winograd.hpp` is at hand, 3 × 3 convolutions in float32 of enough channels and pixels go its way.
inline Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, at::IntArrayRef stride = 1, at::IntArrayRef padding = 0,
                     at::IntArrayRef dilation = 1, std::int64_t groups = 1) {
  if (by_winograd(x, weight, bias, stride, padding, dilation, groups)) return winograd::convolve(x, weight, bias);
  return at::conv2d(x, weight, bias, stride, padding, dilation, groups);
}

}  // namespace zstar::nn
