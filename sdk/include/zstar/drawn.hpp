#pragma once
/// \file Random numbers in every dtype. Compiled into the plugin.

#include <torch/types.h>

namespace zstar {

/// The options of a tensor to draw random numbers into for `like`. CPUs draw no float16: it is float32 there, and what was drawn is rounded.
inline torch::TensorOptions options_to_draw(const torch::Tensor& like) {
  return like.scalar_type() == torch::kFloat16 ? like.options().dtype(torch::kFloat32) : like.options();
}

/// A tensor like `like` to draw random numbers into.
inline torch::Tensor empty_to_draw(const torch::Tensor& like) { return torch::empty_like(like.detach(), options_to_draw(like)); }

}  // namespace zstar
