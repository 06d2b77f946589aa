#include "core/solve/kernels.hpp"

#include <array>

#include "core/solve/inner.hpp"

namespace zstar::solve::kernels {
namespace {

// Norms run in `lanes` independent partial sums, so that the compiler may use wide registers without reordering a sum.
// In float32 a block of `block` numbers is summed in float32 and added to float64: the error of a block is below
// (block / lanes) ε of its own sum. Inner products are differences of large numbers to those who ask for them, and are
// summed in float64 from the first number on.
constexpr std::int64_t lanes = 32;

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

template <int K, class C, class T>
ZSTAR_INLINE void combine_group(const T* base, const C* const* columns, const T* c, std::int64_t n, T* out) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) {
    T x = base[i];
    for (int k = 0; k < K; ++k) x += c[k] * value(columns[k][i]);
    out[i] = x;
  }
}

/// At most eight columns: each is a stream of its own.
template <class C, class T>
ZSTAR_INLINE void combine_some(const T* base, const C* const* columns, const T* c, std::size_t k, std::int64_t n, T* out) {
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

template <class C, class T>
ZSTAR_INLINE void combine_body(const T* base, const C* const* columns, const double* c, std::size_t k, std::int64_t n, T* out) {
  const T* from = base;
  std::size_t j = 0;
  do {
    const C* taken[8];
    T factors[8];
    std::size_t count = 0;
    for (; j < k && count < 8; ++j)
      if (c[j] != 0) taken[count] = columns[j], factors[count++] = static_cast<T>(c[j]);
    combine_some(from, taken, factors, count, n, out);
    from = out;
  } while (j < k);
}

/// v = base + Σ_j c_j columns_j \return ⟨v, v⟩
template <class C, class T>
ZSTAR_INLINE double combine_and_square(const T* base, const C* const* columns, const double* c, std::size_t k, std::int64_t n, T* v) {
  double total = 0;
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const std::int64_t count = std::min(block, n - begin);
    const C* moved[group] = {};
    for (std::size_t j = 0; j < k; ++j) moved[j] = columns[j] + begin;
    combine_body(base + begin, moved, c, k, count, v + begin);
    const T* own = v + begin;
    dot_group<1>(&own, 0, own, count, &total, 1);
  }
  return total;
}

/// The factors j … j + k − 1, where left_i is right_{i+1}: all inner products with v as it stands and of the vectors among
/// themselves give those with v on its way, so that each vector is read once from memory.
template <class C, class T>
ZSTAR_INLINE double linked(const Factors<C>& f, std::size_t j, std::size_t k, std::int64_t n, T* v, double* dots) {
  double products[group + group * (group - 1) / 2], factors[group];
  triangle(f.right + j, k, v, n, products);
  const double* row = products + k;
  for (std::size_t i = 0; i < k; row += i++) {
    double dot = products[i];
    for (std::size_t h = 0; h < i; ++h)
      if (factors[h] != 0) dot += factors[h] * row[h];
    dots[i] = dot;
    factors[i] = j + i >= f.left_count || f.c[j + i] == 0 ? 0 : f.c[j + i] * dot;
  }
  return combine_and_square(v, f.left + j, factors, std::min(k, f.left_count - j), n, v);
}

/// One factor of any kind.
template <class C, class T>
ZSTAR_INLINE double single(const Factors<C>& f, std::size_t j, std::int64_t n, T* v, double* dot) {
  triangle(f.right + j, 1, v, n, dot);
  if (j >= f.left_count) return combine_and_square<C, T>(v, nullptr, nullptr, 0, n, v);
  const C* columns[2] = {f.left[j], f.right[j]};
  const double factors[2] = {f.c[j] == 0 ? 0 : f.c[j] * *dot, !f.e || f.e[j] == 0 ? 0 : f.e[j] * *dot};
  return combine_and_square(v, columns, factors, 2, n, v);
}

template <class C, class T>
ZSTAR_INLINE void chain_body(const T* a, const T* b, const Factors<C>& f, std::int64_t n, T* v, double* dots) {
  const double minus = -1;
  double length2 = combine_and_square(a, &b, &minus, b ? 1 : 0, n, v);
  *dots++ = length2;
  for (std::size_t j = 0; j < f.right_count;) {
    std::size_t k = 1;
    while (k < group && j + k < f.right_count && !f.e && f.left[j + k - 1] == f.right[j + k]) ++k;
    length2 = k > 1 ? linked(f, j, k, n, v, dots) : single(f, j, n, v, dots);
    j += k, dots += k;
  }
  *dots = length2;
}

}  // namespace

#define ZSTAR_KERNELS(C, T)                                                                                             \
  ZSTAR_CLONES void combine(const T* base, const C* const* columns, const double* c, std::size_t k, std::int64_t n,     \
                            T* out) {                                                                                   \
    combine_body(base, columns, c, k, n, out);                                                                          \
  }                                                                                                                     \
  ZSTAR_CLONES void chain(const T* a, const T* b, const Factors<C>& f, std::int64_t n, T* v, double* dots) {            \
    chain_body(a, b, f, n, v, dots);                                                                                    \
  }
#define ZSTAR_RESIDUAL_KERNELS(T)                                                                                       \
  ZSTAR_CLONES void residual(const T* z, const T* f, std::int64_t n, double out[2]) { residual_body(z, f, n, out); }
ZSTAR_RESIDUAL_KERNELS(float)
ZSTAR_RESIDUAL_KERNELS(double)
ZSTAR_INNER_KERNELS(double, double)
ZSTAR_DIFFERENCE_KERNELS(double)
ZSTAR_KERNELS(float, float)
ZSTAR_KERNELS(double, double)
ZSTAR_KERNELS(Brain, float)

}  // namespace zstar::solve::kernels
