#pragma once
/// \file The dtype in which the vectors of a history are kept, and that of the states they come from.

#include <torch/types.h>

namespace zstar_broyden {

/// What rounding leaves of the difference of two vectors as long as one: a few ε of the dtype of the states.
inline double rounding_of(const torch::Tensor& z) { return z.scalar_type() == torch::kFloat64 ? 1e-15 : 5e-7; }

/// A vector as it is remembered: that of a float32 state in bfloat16 where that is asked for, else as it is.
struct Kept {
  bool narrow;
  torch::Tensor operator()(const torch::Tensor& v) const {
    return narrow && v.scalar_type() == torch::kFloat32 ? v.to(torch::kBFloat16) : v;
  }
};

}  // namespace zstar_broyden
