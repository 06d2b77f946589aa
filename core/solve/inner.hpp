#pragma once
/// \file The bodies of the inner products of rows, for kernels.cpp (float64) and inner.cpp (float32).

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "core/solve/kernels.hpp"
#include "zstar/clones.hpp"

namespace zstar::solve::kernels {
namespace {

// Blocks of this many numbers stay in the first-level cache while all that concerns them is done, so memory is read once.
constexpr std::int64_t block = 1024;

// Four numbers at a time, the same partial sums on every processor. Wider vectors bring nothing: the conversion to float64 is
// what is waited for. It is written number by number: of that GCC makes one instruction, of __builtin_convertvector four.
using Four = double __attribute__((vector_size(32)));

template <class T>
ZSTAR_INLINE T value(T x) {
  return x;
}
ZSTAR_INLINE float value(Brain x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }

template <class C>
ZSTAR_INLINE Four load(const C* p) {
  C x[4];
  std::memcpy(x, p, sizeof x);
  Four wide;
  for (int i = 0; i < 4; ++i) wide[i] = static_cast<double>(value(x[i]));
  return wide;
}

ZSTAR_INLINE double sum(const Four& p) { return (p[0] + p[2]) + (p[1] + p[3]); }

/// out[k · stride] += ⟨a_k, b⟩ for k < K: b is read once.
template <int K, class C, class T>
ZSTAR_INLINE void dot_group(const C* const* a, std::int64_t offset, const T* b, std::int64_t n, double* out, std::size_t stride) {
  constexpr int ways = K == 1 ? 4 : K <= 4 ? 2 : 1;  // sums under way for each product: an addition takes four cycles
  Four part[K][ways] = {};
  double rest[K] = {};
  const C* from[K];
  for (int k = 0; k < K; ++k) from[k] = a[k] + offset;
  std::int64_t i = 0;
  for (; i + 4 * ways <= n; i += 4 * ways)
    for (int w = 0; w < ways; ++w) {
      const Four y = load(b + i + 4 * w);
      for (int k = 0; k < K; ++k) part[k][w] += load(from[k] + i + 4 * w) * y;
    }
  for (; i < n; ++i)
    for (int k = 0; k < K; ++k) rest[k] += static_cast<double>(value(from[k][i])) * static_cast<double>(b[i]);
  for (int k = 0; k < K; ++k) {
    Four all = part[k][0];
    for (int w = 1; w < ways; ++w) all += part[k][w];
    out[static_cast<std::size_t>(k) * stride] += sum(all) + rest[k];
  }
}

template <class C, class T>
ZSTAR_INLINE void dots_with(const C* const* a, std::size_t na, std::int64_t offset, const T* b, std::int64_t n, double* out, std::size_t stride) {
  std::size_t i = 0;
  for (; i + 8 <= na; i += 8) dot_group<8>(a + i, offset, b, n, out + i * stride, stride);
  switch (na - i) {
    case 7: return dot_group<7>(a + i, offset, b, n, out + i * stride, stride);
    case 6: return dot_group<6>(a + i, offset, b, n, out + i * stride, stride);
    case 5: return dot_group<5>(a + i, offset, b, n, out + i * stride, stride);
    case 4: return dot_group<4>(a + i, offset, b, n, out + i * stride, stride);
    case 3: return dot_group<3>(a + i, offset, b, n, out + i * stride, stride);
    case 2: return dot_group<2>(a + i, offset, b, n, out + i * stride, stride);
    case 1: return dot_group<1>(a + i, offset, b, n, out + i * stride, stride);
    default: return;
  }
}

template <class C, class T>
ZSTAR_INLINE void dots_body(const C* const* a, std::size_t na, const T* const* b, std::size_t nb, std::int64_t n, double* out) {
  std::fill_n(out, na * nb, 0.0);
  for (std::int64_t begin = 0; begin < n; begin += block)
    for (std::size_t j = 0; j < nb; ++j) dots_with(a, na, begin, b[j] + begin, std::min(block, n - begin), out + j, nb);
}

template <class T>
ZSTAR_INLINE void difference_dots_body(const T* x, const T* y, const T* const* columns, std::size_t k, T* r, std::int64_t n, double* out) {
  std::fill_n(out, k, 0.0);
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const std::int64_t count = std::min(block, n - begin);
#pragma GCC ivdep
    for (std::int64_t i = 0; i < count; ++i) r[begin + i] = x[begin + i] - y[begin + i];
    dots_with(columns, k, begin, r + begin, count, out, 1);
  }
}

/// ⟨a_k, v⟩ for k < K, then ⟨a_j, a_i⟩ for 0 < i ≤ j < K, row by row of the triangle: every vector is read once.
template <int K, class C, class T>
ZSTAR_INLINE void triangle_group(const C* const* a, const T* v, std::int64_t n, double* out) {
  constexpr int products = K + K * (K - 1) / 2;
  Four part[products] = {};
  double rest[products] = {};
  const auto add = [](const auto& x, const auto& y, auto* to) {
    int at = 0;
    for (int k = 0; k < K; ++k) to[at++] += x[k] * y;
    for (int j = 1; j < K; ++j)
      for (int i = 1; i <= j; ++i) to[at++] += x[j] * x[i];
  };
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    Four x[K];
    for (int k = 0; k < K; ++k) x[k] = load(a[k] + i);
    add(x, load(v + i), part);
  }
  for (; i < n; ++i) {
    double x[K];
    for (int k = 0; k < K; ++k) x[k] = static_cast<double>(value(a[k][i]));
    add(x, static_cast<double>(v[i]), rest);
  }
  for (int p = 0; p < products; ++p) out[p] = sum(part[p]) + rest[p];
}

template <class C, class T>
ZSTAR_INLINE void triangle_body(const C* const* a, std::size_t k, const T* v, std::int64_t n, double* out) {
  switch (k) {
    case 1: return triangle_group<1>(a, v, n, out);
    case 2: return triangle_group<2>(a, v, n, out);
    case 3: return triangle_group<3>(a, v, n, out);
    default: return triangle_group<4>(a, v, n, out);
  }
}

}  // namespace

#define ZSTAR_INNER_KERNELS(C, T)                                                                                       \
  ZSTAR_CLONES void dots(const C* const* a, std::size_t na, const T* const* b, std::size_t nb, std::int64_t n,          \
                         double* out) {                                                                                 \
    dots_body(a, na, b, nb, n, out);                                                                                    \
  }                                                                                                                     \
  ZSTAR_CLONES void triangle(const C* const* a, std::size_t k, const T* v, std::int64_t n, double* out) {               \
    triangle_body(a, k, v, n, out);                                                                                     \
  }
#define ZSTAR_DIFFERENCE_KERNELS(T)                                                                                     \
  ZSTAR_CLONES void difference_dots(const T* a, const T* b, const T* const* columns, std::size_t k, T* r,               \
                                    std::int64_t n, double* out) {                                                      \
    difference_dots_body(a, b, columns, k, r, n, out);                                                                  \
  }

}  // namespace zstar::solve::kernels
