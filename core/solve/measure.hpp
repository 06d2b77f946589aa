#pragma once
/// \file Residuals of a batch in one pass over memory.

#include "zstar/abi/state.hpp"

namespace zstar::solve {

/// ‖f(z) − z‖₂ and ‖f(z)‖₂ of every sample, [2, B], float64, on the device of z. Accumulated in float64 on a CPU.
/// A row with an infinity or a NaN has a residual that is not finite; large finite values do not overflow.
Tensor measure(const Tensor& z, const Tensor& fz);

/// The same for a contiguous CPU batch of float32 or float64, into out[0 … 2B).
void measure_cpu(const Tensor& z, const Tensor& fz, double* out);

/// The same by plain ATen operations, for any device and dtype.
Tensor measure_aten(const Tensor& z, const Tensor& fz);

}  // namespace zstar::solve
