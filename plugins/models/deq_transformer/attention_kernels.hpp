#pragma once
/// \file The loops of fused attention: one head of one segment, its matrices read where they lie, its scores never outside of a near cache. T: float, double.

#include <cstdint>

namespace zstar_deq_transformer::kernels {

/// Whether the process has a BLAS whose products can be called.
bool has_blas();

struct Sizes {
  std::int64_t length, memory, width;  ///< L queries, M keys before the segment, d features of a head
  std::int64_t features;               ///< D of all heads: rows of `q`, `k`, `v` lie 3 D apart, those of the result D, those of `r` 1 + K

  std::int64_t keys() const { return memory + length; }
};

/// Of one head. Null pointers: no memory, no dropout.
template <class T>
struct Head {
  const T *q, *k, *v, *k_history, *v_history;  ///< [L, d], queries scaled, and [M, d] without gaps
  const T *content_bias, *distance_bias;       ///< [d]
  const T* r;                                  ///< [d, K], distances K − 1 … 0
  const T *blocked, *dropout;                  ///< [L, K]; what follows query i, from key i + M + 1 on, is blocked in any case
};

/// Where gradients go; null pointers of the shared ones and of the memory: not wanted.
template <class T>
struct Gradients {
  const T *p, *dy;  ///< the softmax [L, K], and the gradient of the result
  T *dq, *dk, *dv;
  T *dk_history, *dv_history;
  T *dcontent_bias, *ddistance_bias, *dr;  ///< added to
};

/// y = (softmax((q + b_c) kᵀ + shift((q + b_d) r) + blocked) ⊙ dropout) v. \param p  the softmax [L, K], for backward
template <class T>
void forward(const Sizes& s, const Head<T>& h, T* p, T* y);
template <class T>
void backward(const Sizes& s, const Head<T>& h, const Gradients<T>& g);

}  // namespace zstar_deq_transformer::kernels
