#pragma once
/// \file y = act(GN(x ⊙ m + a) + s): group norm with the products and sums around it, each sample visited while it is in the cache.

#include <cstdint>

#include <torch/types.h>

namespace zstar_mdeq {

/// What stands around a group norm; undefined tensors leave their operation out.
struct Around {
  torch::Tensor mask = {};  ///< [B, C, 1, 1], multiplies x; no gradient flows into it
  torch::Tensor add = {};   ///< of x's shape, added before the norm
  torch::Tensor skip = {};  ///< of x's shape, added after it
  bool relu = false;        ///< at the end
};

/// relu(GN(x ⊙ mask + add) + skip), [B, C, H, W], ε 1e-5. One fused operation, forward and backward, for tensors with channels last in memory on a CPU (float32,
/// float64, bfloat16); elsewhere, and where the backward pass is itself to be differentiated, plain_group_norm.
/// \param affine  scale and shift, [2, C]
/// \par Source  Wu & He, ECCV 2018, arXiv:1803.08494
torch::Tensor group_norm(const torch::Tensor& x, std::int64_t groups, const torch::Tensor& affine, const Around& around = {});

/// The same by operations of ATen.
torch::Tensor plain_group_norm(const torch::Tensor& x, std::int64_t groups, const torch::Tensor& affine, const Around& around = {});

}  // namespace zstar_mdeq
