#pragma once
/// \file y = relu(Σ_j enlarged t_j): what fusion does with the branches' terms, in one pass over memory.

#include <vector>

#include <torch/types.h>

namespace zstar_mdeq {

/// relu(t_0 + t_1 + …), each term [B, C, h, w] enlarged to the nearest pixel, [B, C, H, W]. One fused operation, forward and backward, for tensors with channels last in memory on a
/// CPU (float32, float64, bfloat16); elsewhere, and where the backward pass is itself to be differentiated, plain_sum. Both add in the order of the terms.
/// \param terms  one or more, of H × W or smaller \param height, width  H and W
torch::Tensor sum_of_branches(const std::vector<torch::Tensor>& terms, std::int64_t height, std::int64_t width);

/// The same by operations of ATen.
torch::Tensor plain_sum_of_branches(const std::vector<torch::Tensor>& terms, std::int64_t height, std::int64_t width);

}  // namespace zstar_mdeq
