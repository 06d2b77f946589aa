/// \file Inner products of float32 rows with rows of float32 or bfloat16. The product of two such numbers is exact in float64, so that fused multiply-adds
/// (this file alone is compiled with them) give the bits of a product and a sum.
#include "core/solve/inner.hpp"

namespace zstar::solve::kernels {

ZSTAR_INNER_KERNELS(float, float)
ZSTAR_INNER_KERNELS(Brain, float)
ZSTAR_DIFFERENCE_KERNELS(float)

}  // namespace zstar::solve::kernels
