#pragma once
/// \file What follows the products of a layer, in one pass over their results instead of one for each of bias, mask and activation or sum.

#include <torch/types.h>

namespace zstar_deq_transformer {

/// relu((x Wᵀ + b) ⊙ m), x [B, L, in], W [out, in], b [out]; m ≥ 0 [B, 1, out] without gradient, or undefined. One pass behind the product on a CPU in float32
/// and float64, forward and backward; elsewhere by plain_hidden.
torch::Tensor hidden(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& mask);
/// z + (x Wᵀ + b) ⊙ m, likewise.
torch::Tensor added(const torch::Tensor& z, const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& mask);

/// The same by operations of ATen.
torch::Tensor plain_hidden(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& mask);
torch::Tensor plain_added(const torch::Tensor& z, const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& mask);

}  // namespace zstar_deq_transformer
