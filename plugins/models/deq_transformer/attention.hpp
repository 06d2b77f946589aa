#pragma once
/// \file softmax of scores by content and by distance, times the values: relative-position attention of a segment to a memory and itself.

#include <torch/types.h>

namespace zstar_deq_transformer {

/// B segments of L positions, H heads of d features (D = H d), a memory of M positions, K = M + L.
struct Heads {
  torch::Tensor qkv;                          ///< [B, L, 3D]: queries scaled by 1/√d, keys, values; in each the heads side by side
  torch::Tensor content_bias, distance_bias;  ///< [H, 1, 1, d], scaled like the queries
  torch::Tensor r;                            ///< [H, d, 1 + K]: zeros, then what the distances K − 1 … 0 stand for
  torch::Tensor k_history, v_history;         ///< [H, B, M, d]; undefined: no memory
  torch::Tensor blocked;                      ///< [L, K], no gradient: 0 or −∞; position i must not see keys behind i + M
  torch::Tensor dropout;                      ///< [H, B, L, K], no gradient; undefined: none
};

/// (softmax((q + b_c) kᵀ + shift((q + b_d) r) + blocked) ⊙ dropout) v, [B, L, D]. On a CPU in float32 and float64 a head at a time, its scores in the
/// cache, forward and backward; elsewhere, and where the backward pass is itself to be differentiated, plain_attention.
/// \par Source  Dai et al., Transformer-XL, ACL 2019, section 3.3
torch::Tensor attention(const Heads& h);

/// The same by operations of ATen.
torch::Tensor plain_attention(const Heads& h);

}  // namespace zstar_deq_transformer
