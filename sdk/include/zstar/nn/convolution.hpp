#pragma once
/// \file Convolution of images: LibTorch's; Winograd's algorithm, and weights that are kept in oneDNN's layout, where a plugin brings them and they take less time.

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>

#include "zstar/abi/state.hpp"

namespace zstar::nn {

/// Defined in a plugin that includes `zstar/nn/winograd.hpp`, and null in others.
namespace winograd {
[[gnu::weak]] bool pays(const Tensor& x, const Tensor& weight, const Tensor& bias);
[[gnu::weak]] Tensor convolve(const Tensor& x, const Tensor& weight, const Tensor& bias);
/// Of the image and of the weight, off the graph; undefined where not asked for.
[[gnu::weak]] std::pair<Tensor, Tensor> gradients(const Tensor& x, const Tensor& weight, const Tensor& dy, bool of_image, bool of_weight);
}  // namespace winograd
/// Likewise of `zstar/nn/packed.hpp`.
namespace packed {
[[gnu::weak]] bool pays(const Tensor& x, const Tensor& weight, const Tensor& bias, at::IntArrayRef stride, at::IntArrayRef padding);
[[gnu::weak]] Tensor convolve(const Tensor& x, const Tensor& weight, const Tensor& bias, at::IntArrayRef stride, at::IntArrayRef padding);
}  // namespace packed

inline bool all_ones(at::IntArrayRef values) {
  return !values.empty() && std::all_of(values.begin(), values.end(), [](std::int64_t v) { return v == 1; });
}

/// Whether a convolution of these strides, paddings, dilations and groups goes Winograd's way.
inline bool by_winograd(const Tensor& x, const Tensor& weight, const Tensor& bias, at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, std::int64_t groups) {
  return winograd::pays != nullptr && groups == 1 && all_ones(stride) && all_ones(padding) && all_ones(dilation) && winograd::pays(x, weight, bias);
}

/// Cross-correlation of x [N, C, H, W] with weight [O, C/groups, h, w]; bias [O] or undefined. As torch::conv2d, up to rounding:
/// where `zstar/nn/winograd.hpp` is at hand, 3 × 3 convolutions in float32 of enough channels and pixels go its way, and within a `PackedWeights::Use` others that of `zstar/nn/packed.hpp`.
inline Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, at::IntArrayRef stride = 1, at::IntArrayRef padding = 0,
                     at::IntArrayRef dilation = 1, std::int64_t groups = 1) {
  if (by_winograd(x, weight, bias, stride, padding, dilation, groups)) return winograd::convolve(x, weight, bias);
  if (packed::pays != nullptr && groups == 1 && all_ones(dilation) && packed::pays(x, weight, bias, stride, padding)) return packed::convolve(x, weight, bias, stride, padding);
  return at::conv2d(x, weight, bias, stride, padding, dilation, groups);
}

/// Gradients of conv2d(x, weight) at stride 1 with `padding` zeros around, given that of its result: of x and of weight, undefined where not asked for.
/// On the graph where gradients are recorded.
inline std::pair<Tensor, Tensor> conv2d_gradients(const Tensor& x, const Tensor& weight, const Tensor& dy, at::IntArrayRef padding, bool of_image, bool of_weight) {
  const bool plain = !at::GradMode::is_enabled() && !dy.is_neg() && !dy._fw_grad(/*level=*/0).defined();
  if (plain && by_winograd(x, weight, {}, 1, padding, 1, 1)) return winograd::gradients(x, weight, dy, of_image, of_weight);
  const std::array<bool, 3> wanted{of_image, of_weight, false};
  auto [dx, dw, none] = at::convolution_backward(dy, x, weight, c10::nullopt, {1, 1}, padding, {1, 1}, false, {0, 0}, 1, wanted);
  return {std::move(dx), std::move(dw)};
}

}  // namespace zstar::nn
