#pragma once
/// \file Random numbers in every dtype. Compiled into the plugin.

#include <torch/types.h>

namespace zstar {

/// A tensor like `like` to draw random numbers into. CPUs draw no float16: it is float32 there, and what was drawn is rounded.
inline torch::Tensor empty_to_draw(const torch::Tensor& like) {
  const auto options = like.options();
  return torch::empty_like(like.detach(), like.scalar_type() == torch::kFloat16 ? options.dtype(torch::kFloat32) : options);
}

}  // namespace zstar
