#pragma once
/// \file Projection of rows onto the 1-norm ball.

#include <torch/types.h>

namespace zstar_ignn {
namespace {

using torch::Tensor;

/// Every row of w moved to the nearest point with 1-norm ≤ radius, all rows at once:
/// soft-thresholding at τ with Σ max(|w| − τ, 0) = radius.
/// \par Sources  Duchi, Shalev-Shwartz, Singer & Chandra, ICML 2008, figure 1
inline Tensor project_rows(const Tensor& w, double radius) {
  const Tensor magnitude = w.abs();
  const Tensor sorted = std::get<0>(magnitude.sort(/*dim=*/1, /*descending=*/true)).to(torch::kFloat64);  // sums of 1024 numbers keep their last digits
  const Tensor excess = sorted.cumsum(1) - radius;
  const Tensor count = torch::arange(1, w.size(1) + 1, sorted.options());
  const Tensor kept = (sorted * count > excess).sum(1, /*keepdim=*/true).clamp_min(1);  // numbers that stay
  const Tensor tau = (excess.gather(1, kept - 1) / kept).clamp_min(0);  // 0: the row is inside
  return w.sign() * (magnitude - tau.to(w.scalar_type())).clamp_min(0);
}

}  // namespace
}  // namespace zstar_ignn
