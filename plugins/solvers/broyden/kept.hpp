#pragma once
/// \file The dtype in which the vectors of a history are kept.

#include <torch/types.h>

namespace zstar_broyden {

/// A vector as it is remembered: that of a float32 state in bfloat16 where that is asked for, else as it is.
struct Kept {
  bool narrow;
  torch::Tensor operator()(const torch::Tensor& v) const {
    return narrow && v.scalar_type() == torch::kFloat32 ? v.to(torch::kBFloat16) : v;
  }
};

}  // namespace zstar_broyden
