#include "attention_kernels.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include <zstar/clones.hpp>

namespace zstar_deq_transformer::kernels {
namespace {

template <class T>
using Gemm = void(const char*, const char*, const int*, const int*, const int*, const T*, const T*, const int*, const T*, const int*, const T*, T*, const int*);

/// Of the BLAS that LibTorch brings, whichever it is; null where it keeps its own to itself.
template <class T>
Gemm<T>* gemm() {
  static auto* const found = reinterpret_cast<Gemm<T>*>(::dlsym(RTLD_DEFAULT, std::is_same_v<T, float> ? "sgemm_" : "dgemm_"));
  return found;
}

/// A matrix whose rows lie `stride` apart, or its transpose.
template <class T>
struct Matrix {
  T* data;
  std::int64_t stride;
  bool transposed = false;

  Matrix t() const { return {data, stride, !transposed}; }
};

/// c = a b + beta c, c [m, n], k the inner size. BLAS counts by columns: to it, cᵀ = bᵀ aᵀ.
template <class T>
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const Matrix<const T>& a, const Matrix<const T>& b, T beta, const Matrix<T>& c) {
  const int rows = static_cast<int>(n), columns = static_cast<int>(m), inner = static_cast<int>(k);
  const int strides[] = {static_cast<int>(b.stride), static_cast<int>(a.stride), static_cast<int>(c.stride)};
  const char first = b.transposed ? 'T' : 'N', second = a.transposed ? 'T' : 'N';
  const T one = 1;
  gemm<T>()(&first, &second, &rows, &columns, &inner, &one, b.data, &strides[0], a.data, &strides[1], &beta, c.data, &strides[2]);
}

/// eˣ for x ≤ 0; zero below the smallest normal number.
/// \par Source  reduction by ln 2 in two parts and the polynomial of Cephes, S. L. Moshier, expf
ZSTAR_INLINE float exponential(float x) {
  const float shifted = x * 1.44269504f + 12582912.0f, n = shifted - 12582912.0f;  // the nearest integer, in the last bits of `shifted`
  const float r = x - n * 0.693359375f + n * 2.12194440e-4f;
  const float y = ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) * r + 1.6666665459e-1f) * r + 5.0000001201e-1f;
  const auto power = std::bit_cast<float>(static_cast<std::uint32_t>(std::bit_cast<std::int32_t>(shifted) - 0x4B400000 + 127) << 23);
  return x < -87.0f ? 0.0f : (y * r * r + r + 1.0f) * power;
}
ZSTAR_INLINE double exponential(double x) { return std::exp(x); }

/// The softmax of score + distance + blocked, in place.
template <class T>
ZSTAR_INLINE void softmax(std::int64_t n, T* score, const T* distance, const T* blocked) {
  T most = -std::numeric_limits<T>::infinity(), sum = 0;
#pragma omp simd reduction(max : most)
  for (std::int64_t j = 0; j < n; ++j) {
    score[j] += distance[j] + blocked[j];
    most = score[j] > most ? score[j] : most;
  }
#pragma omp simd reduction(+ : sum)
  for (std::int64_t j = 0; j < n; ++j) {
    score[j] = exponential(score[j] - most);
    sum += score[j];
  }
  const T scale = 1 / sum;
#pragma omp simd
  for (std::int64_t j = 0; j < n; ++j) score[j] *= scale;
}

/// y_i = x_i + b for the L rows of a head.
template <class T>
ZSTAR_INLINE void shifted(const Sizes& s, const T* x, const T* b, T* y) {
  for (std::int64_t i = 0; i < s.length; ++i, x += 3 * s.features, y += s.width)
    for (std::int64_t c = 0; c < s.width; ++c) y[c] = x[c] + b[c];
}

/// sums += the rows of x.
template <class T>
ZSTAR_INLINE void add_rows(const Sizes& s, const T* x, T* sums) {
  for (std::int64_t i = 0; i < s.length; ++i, x += s.width)
    for (std::int64_t c = 0; c < s.width; ++c) sums[c] += x[c];
}

template <class T>
ZSTAR_INLINE const T* masked(const Sizes& s, const T* p, const T* dropout, T* room) {
  if (!dropout) return p;
  for (std::int64_t i = 0; i < s.length * s.keys(); ++i) room[i] = p[i] * dropout[i];
  return room;
}

/// Room for one head, kept by a thread.
template <class T>
T* scratch(std::int64_t numbers) {
  thread_local std::vector<T> room;
  if (room.size() < static_cast<std::size_t>(numbers)) room.resize(static_cast<std::size_t>(numbers));
  return room.data();
}

/// Keys or values: those of the memory, then those of the segment.
template <class T>
struct Halves {
  Matrix<T> history, segment;
};

/// c [L, K] = a bᵀ, b the rows of both halves.
template <class T>
void against(const Sizes& s, const Matrix<const T>& a, const Halves<const T>& b, T* c) {
  const std::int64_t L = s.length, M = s.memory, K = s.keys();
  if (M > 0) multiply<T>(L, M, s.width, a, b.history.t(), 0, {c, K});
  multiply<T>(L, L, s.width, a, b.segment.t(), 0, {c + M, K});
}
/// c [L, d] = a b, a [L, K].
template <class T>
void mixed(const Sizes& s, const T* a, const Halves<const T>& b, const Matrix<T>& c) {
  const std::int64_t L = s.length, M = s.memory, K = s.keys();
  if (M > 0) multiply<T>(L, s.width, M, {a, K}, b.history, 0, c);
  multiply<T>(L, s.width, L, {a + M, K}, b.segment, M > 0 ? T(1) : T(0), c);
}
/// The rows of both halves of b = aᵀ c, a [L, K]; null pointers: not wanted.
template <class T>
void spread(const Sizes& s, const T* a, const Matrix<const T>& c, const Halves<T>& b) {
  const std::int64_t L = s.length, M = s.memory, K = s.keys();
  if (b.history.data) multiply<T>(M, s.width, L, Matrix<const T>{a, K}.t(), c, 0, b.history);
  if (b.segment.data) multiply<T>(L, s.width, L, Matrix<const T>{a + M, K}.t(), c, 0, b.segment);
}

template <class T>
ZSTAR_INLINE void forward_body(const Sizes& s, const Head<T>& h, T* p, T* y) {
  const std::int64_t L = s.length, K = s.keys(), d = s.width, row = 3 * s.features;
  T *q = scratch<T>(L * (d + 2 * K)), *distance = q + L * d, *room = distance + L * K;
  if (!p) p = room;
  shifted(s, h.q, h.distance_bias, q);
  multiply<T>(L, K, d, {q, d}, {h.r, 1 + K}, 0, {distance, K});
  shifted(s, h.q, h.content_bias, q);
  against<T>(s, {q, d}, {{h.k_history, d}, {h.k, row}}, p);
  for (std::int64_t i = 0; i < L; ++i) {
    const std::int64_t seen = s.memory + i + 1;
    softmax(seen, p + i * K, distance + i * K + L - 1 - i, h.blocked + i * K);
    std::fill(p + i * K + seen, p + (i + 1) * K, T(0));
  }
  mixed<T>(s, masked(s, p, h.dropout, distance), {{h.v_history, d}, {h.v, row}}, {y, s.features});
}

/// With dp = dy vᵀ: ds = p ⊙ (dp − Σ_j dp p), which goes to the scores by content and, shifted back, to those by distance.
template <class T>
ZSTAR_INLINE void backward_body(const Sizes& s, const Head<T>& h, const Gradients<T>& g) {
  const std::int64_t L = s.length, K = s.keys(), d = s.width, row = 3 * s.features;
  T *q = scratch<T>(L * (3 * d + 3 * K)), *dq = q + L * d, *dq_distance = dq + L * d, *ds = dq_distance + L * d, *distance = ds + L * K, *room = distance + L * K;
  const Matrix<const T> dy{g.dy, s.features};
  spread<T>(s, masked(s, g.p, h.dropout, room), dy, {{g.dv_history, d}, {g.dv, row}});
  against<T>(s, dy, {{h.v_history, d}, {h.v, row}}, ds);
  if (h.dropout) masked(s, ds, h.dropout, ds);
  for (std::int64_t i = 0; i < L; ++i) {
    T *to = distance + i * K, *dp = ds + i * K;
    const T* p = g.p + i * K;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t j = 0; j < K; ++j) sum += dp[j] * p[j];
#pragma omp simd
    for (std::int64_t j = 0; j < K; ++j) dp[j] = p[j] * (dp[j] - sum);
    std::fill(to, to + L - 1 - i, T(0));
    std::copy(dp, dp + s.memory + i + 1, to + L - 1 - i);
  }
  mixed<T>(s, ds, {{h.k_history, d}, {h.k, row}}, {dq, d});
  multiply<T>(L, d, K, {distance, K}, Matrix<const T>{h.r, 1 + K}.t(), 0, {dq_distance, d});
  for (std::int64_t i = 0; i < L; ++i)
    for (std::int64_t c = 0; c < d; ++c) g.dq[i * row + c] = dq[i * d + c] + dq_distance[i * d + c];
  if (g.dcontent_bias) add_rows(s, dq, g.dcontent_bias);
  if (g.ddistance_bias) add_rows(s, dq_distance, g.ddistance_bias);
  if (g.dr) {
    shifted(s, h.q, h.distance_bias, q);
    multiply<T>(d, K, L, Matrix<const T>{q, d}.t(), {distance, K}, 1, {g.dr, 1 + K});
  }
  shifted(s, h.q, h.content_bias, q);
  spread<T>(s, ds, {q, d}, {{g.dk_history, d}, {g.dk, row}});
}

}  // namespace

bool has_blas() { return gemm<float>() && gemm<double>(); }

#define ZSTAR_ATTENTION_OF(T)                                                                                          \
  template <>                                                                                                          \
  ZSTAR_CLONES void forward<T>(const Sizes& s, const Head<T>& h, T* p, T* y) { forward_body(s, h, p, y); }             \
  template <>                                                                                                          \
  ZSTAR_CLONES void backward<T>(const Sizes& s, const Head<T>& h, const Gradients<T>& g) { backward_body(s, h, g); }

ZSTAR_ATTENTION_OF(float)
ZSTAR_ATTENTION_OF(double)

}  // namespace zstar_deq_transformer::kernels
