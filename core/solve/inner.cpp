/// \file Inner products of float32 rows. The product of two float32 is exact in float64, so that fused multiply-adds
/// (this file alone is compiled with them) give the bits of a product and a sum.
#include "core/solve/inner.hpp"

#include "core/solve/kernels.hpp"

namespace zstar::solve::kernels {

ZSTAR_INNER_KERNELS(float)

}  // namespace zstar::solve::kernels
