#pragma once
/// \file The loops of the fused sum of branches: one sample, channels last. T: float, double, c10::BFloat16, to which every partial sum is rounded.

#include <cstdint>

#include <c10/util/BFloat16.h>

namespace zstar_mdeq::kernels {

/// A term of the sum, or its gradient, of one sample. Pixel (h, w) of the sum takes its pixel (row[h], column[w]); null pointers: (h, w).
template <class T>
struct Term {
  T* x;  ///< null where a gradient is not wanted
  std::int64_t width;
  const std::int64_t *row, *column;
};

/// y[h, w] = relu(Σ_k terms[k][row(h), column(w)])
template <class T>
void sum(const Term<const T>* terms, std::int64_t count, std::int64_t height, std::int64_t width, std::int64_t channels, T* y);

/// g = dy where y is positive; to the enlarged terms, zero before, what of g falls on them is added.
template <class T>
void sum_backward(const Term<T>* terms, std::int64_t count, std::int64_t height, std::int64_t width, std::int64_t channels, const T* y, const T* dy, T* g);

}  // namespace zstar_mdeq::kernels
