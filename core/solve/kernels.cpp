#include "core/solve/kernels.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

// One body, three instruction sets, chosen by the loader.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ZSTAR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ZSTAR_CLONES
#endif

namespace zstar::solve::kernels {
namespace {

#define ZSTAR_INLINE inline __attribute__((always_inline))

// Norms run in `lanes` independent partial sums, so that the compiler may use wide registers without reordering a sum.
// In float32 a block of `block` numbers is summed in float32 and added to float64: the error of a block is below
// (block / lanes) ε of its own sum. Inner products are differences of large numbers to those who ask for them, and are
// summed in float64 from the first number on.
constexpr std::int64_t lanes = 32, block = 1024;

template <class T>
inline double sum(const std::array<T, lanes>& partial) {
  double total = 0;
  for (const T p : partial) total += static_cast<double>(p);
  return total;
}

template <class T>
ZSTAR_INLINE void residual_body(const T* z, const T* f, std::int64_t n, double out[2]) {
  out[0] = out[1] = 0;
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const std::int64_t end = std::min(begin + block, n);
    std::array<T, lanes> r{}, y{};
    std::int64_t i = begin;
    for (; i + lanes <= end; i += lanes)
      for (std::int64_t l = 0; l < lanes; ++l) {
        const T d = f[i + l] - z[i + l];
        r[l] += d * d;
        y[l] += f[i + l] * f[i + l];
      }
    for (std::int64_t l = 0; i < end; ++i, ++l) {
      const T d = f[i] - z[i];
      r[l] += d * d;
      y[l] += f[i] * f[i];
    }
    out[0] += sum(r);
    out[1] += sum(y);
  }
}

// Eight numbers at a time, the same partial sums on every processor.
using Eight = double __attribute__((vector_size(64)));
using EightFloats = float __attribute__((vector_size(32)));

template <class T>
ZSTAR_INLINE Eight load(const T* p) {
  std::conditional_t<sizeof(T) == 4, EightFloats, Eight> x;
  std::memcpy(&x, p, sizeof x);
  return __builtin_convertvector(x, Eight);
}

ZSTAR_INLINE double sum(const Eight& p) { return ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7])); }

/// out[k · stride] += ⟨a_k, b⟩ for k < K: b is read once.
template <int K, class T>
ZSTAR_INLINE void dot_group(const T* const* a, std::int64_t offset, const T* b, std::int64_t n, double* out, std::size_t stride) {
  Eight even[K] = {}, odd[K] = {};
  double rest[K] = {};
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const Eight b0 = load(b + i), b1 = load(b + i + 8);
    for (int k = 0; k < K; ++k) {
      even[k] += load(a[k] + offset + i) * b0;
      odd[k] += load(a[k] + offset + i + 8) * b1;
    }
  }
  for (; i < n; ++i)
    for (int k = 0; k < K; ++k) rest[k] += static_cast<double>(a[k][offset + i]) * static_cast<double>(b[i]);
  for (int k = 0; k < K; ++k) out[static_cast<std::size_t>(k) * stride] += sum(even[k] + odd[k]) + rest[k];
}

template <class T>
ZSTAR_INLINE void dots_with(const T* const* a, std::size_t na, std::int64_t offset, const T* b, std::int64_t n, double* out, std::size_t stride) {
  std::size_t i = 0;
  for (; i + 4 <= na; i += 4) dot_group<4>(a + i, offset, b, n, out + i * stride, stride);
  switch (na - i) {
    case 3: return dot_group<3>(a + i, offset, b, n, out + i * stride, stride);
    case 2: return dot_group<2>(a + i, offset, b, n, out + i * stride, stride);
    case 1: return dot_group<1>(a + i, offset, b, n, out + i * stride, stride);
    default: return;
  }
}

// Blocks stay in the first-level cache while all pairs are formed, so memory is read once.
template <class T>
ZSTAR_INLINE void dots_body(const T* const* a, std::size_t na, const T* const* b, std::size_t nb, std::int64_t n, double* out) {
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

template <int K, class T>
ZSTAR_INLINE void combine_group(const T* base, const T* const* columns, const T* c, std::int64_t n, T* out) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) {
    T x = base[i];
    for (int k = 0; k < K; ++k) x += c[k] * columns[k][i];
    out[i] = x;
  }
}

/// At most eight columns: each is a stream of its own.
template <class T>
ZSTAR_INLINE void combine_some(const T* base, const T* const* columns, const T* c, std::size_t k, std::int64_t n, T* out) {
  switch (k) {
    case 8: return combine_group<8>(base, columns, c, n, out);
    case 7: return combine_group<7>(base, columns, c, n, out);
    case 6: return combine_group<6>(base, columns, c, n, out);
    case 5: return combine_group<5>(base, columns, c, n, out);
    case 4: return combine_group<4>(base, columns, c, n, out);
    case 3: return combine_group<3>(base, columns, c, n, out);
    case 2: return combine_group<2>(base, columns, c, n, out);
    case 1: return combine_group<1>(base, columns, c, n, out);
    default: if (out != base) std::memcpy(out, base, static_cast<std::size_t>(n) * sizeof(T));
  }
}

template <class T>
ZSTAR_INLINE void combine_body(const T* base, const T* const* columns, const double* c, std::size_t k, std::int64_t n, T* out) {
  const T* from = base;
  for (std::size_t j = 0; j < k || from == base;) {
    const T* taken[8];
    T factors[8];
    std::size_t count = 0;
    for (; j < k && count < 8; ++j)
      if (c[j] != 0) taken[count] = columns[j], factors[count++] = static_cast<T>(c[j]);
    combine_some(from, taken, factors, count, n, out);
    from = out;
  }
}

/// v += c · left + e · right (e = 0: without right) \return ⟨next, v⟩, ⟨v, v⟩ if next is null
template <class T>
ZSTAR_INLINE double add_and_dot(T* v, const T* left, T c, const T* right, T e, const T* next, std::int64_t n) {
  double total = 0;
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const std::int64_t count = std::min(block, n - begin);
    const T* columns[2] = {left ? left + begin : nullptr, right + begin};
    const T factors[2] = {c, e};
    if (left) combine_some(v + begin, columns, factors, e == T(0) ? 1 : 2, count, v + begin);
    const T* against = (next ? next : v) + begin;
    dot_group<1>(&against, 0, v + begin, count, &total, 1);
  }
  return total;
}

template <class T>
ZSTAR_INLINE void chain_body(const T* a, const T* b, const Factors<T>& f, std::int64_t n, T* v, double* dots) {
  if (b)
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) v[i] = a[i] - b[i];
  else std::memcpy(v, a, static_cast<std::size_t>(n) * sizeof(T));
  *dots++ = add_and_dot<T>(v, nullptr, 0, v, 0, nullptr, n);
  const T *left = nullptr, *before = v;
  double c = 0, e = 0;
  for (std::size_t j = 0; j < f.right_count; ++j, ++dots) {
    *dots = add_and_dot(v, left, static_cast<T>(c), before, static_cast<T>(e), f.right[j], n);
    left = nullptr;
    if (j >= f.left_count) continue;
    c = f.c[j] == 0 ? 0 : f.c[j] * *dots, e = !f.e || f.e[j] == 0 ? 0 : f.e[j] * *dots;
    if (c != 0 || e != 0) left = f.left[j], before = f.right[j];
  }
  *dots = add_and_dot<T>(v, left, static_cast<T>(c), before, static_cast<T>(e), nullptr, n);
}

}  // namespace

#define ZSTAR_KERNELS(T)                                                                                                \
  ZSTAR_CLONES void residual(const T* z, const T* f, std::int64_t n, double out[2]) { residual_body(z, f, n, out); }    \
  ZSTAR_CLONES void dots(const T* const* a, std::size_t na, const T* const* b, std::size_t nb, std::int64_t n,          \
                         double* out) {                                                                                 \
    dots_body(a, na, b, nb, n, out);                                                                                    \
  }                                                                                                                     \
  ZSTAR_CLONES void difference_dots(const T* a, const T* b, const T* const* columns, std::size_t k, T* r,               \
                                    std::int64_t n, double* out) {                                                      \
    difference_dots_body(a, b, columns, k, r, n, out);                                                                  \
  }                                                                                                                     \
  ZSTAR_CLONES void combine(const T* base, const T* const* columns, const double* c, std::size_t k, std::int64_t n,     \
                            T* out) {                                                                                   \
    combine_body(base, columns, c, k, n, out);                                                                          \
  }                                                                                                                     \
  ZSTAR_CLONES void chain(const T* a, const T* b, const Factors<T>& f, std::int64_t n, T* v, double* dots) {            \
    chain_body(a, b, f, n, v, dots);                                                                                    \
  }
ZSTAR_KERNELS(float)
ZSTAR_KERNELS(double)

}  // namespace zstar::solve::kernels
