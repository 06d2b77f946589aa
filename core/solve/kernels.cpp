#include "core/solve/kernels.hpp"

#include <algorithm>
#include <array>
#include <cstring>

// One body, three instruction sets, chosen by the loader.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ZSTAR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ZSTAR_CLONES
#endif

namespace zstar::solve::kernels {
namespace {

// Sums run in `lanes` independent partial sums, so that the compiler may use wide registers without reordering a sum.
// In float32 a block of `block` numbers is summed in float32 and added to float64: the error of a block is below
// (block / lanes) ε of its own sum.
constexpr std::int64_t lanes = 32, block = 1024;

template <class T>
inline double sum(const std::array<T, lanes>& partial) {
  double total = 0;
  for (const T p : partial) total += static_cast<double>(p);
  return total;
}

template <class T>
inline __attribute__((always_inline)) void residual_body(const T* z, const T* f, std::int64_t n, double out[2]) {
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

template <class T>
inline __attribute__((always_inline)) double dot_block(const T* a, const T* b, std::int64_t n) {
  std::array<T, lanes> p{};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (std::int64_t l = 0; l < lanes; ++l) p[l] += a[i + l] * b[i + l];
  for (std::int64_t l = 0; i < n; ++i, ++l) p[l] += a[i] * b[i];
  return sum(p);
}

// Blocks stay in the first-level cache while all pairs are formed, so memory is read once.
template <class T>
inline __attribute__((always_inline)) void dots_body(const T* const* a, std::size_t na, const T* const* b, std::size_t nb,
                                                     std::int64_t n, double* out) {
  std::fill_n(out, na * nb, 0.0);
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const std::int64_t count = std::min(block, n - begin);
    for (std::size_t i = 0; i < na; ++i)
      for (std::size_t j = 0; j < nb; ++j) out[i * nb + j] += dot_block(a[i] + begin, b[j] + begin, count);
  }
}

template <class T>
inline __attribute__((always_inline)) void combine_body(const T* base, const T* const* columns, const double* c,
                                                        std::size_t k, std::int64_t n, T* out) {
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const std::int64_t count = std::min(block, n - begin);
    T* o = out + begin;
    std::memcpy(o, base + begin, static_cast<std::size_t>(count) * sizeof(T));
    for (std::size_t j = 0; j < k; ++j) {
      const T factor = static_cast<T>(c[j]);
      const T* column = columns[j] + begin;
      if (factor == T(0)) continue;  // a column that takes no part may hold anything
      for (std::int64_t i = 0; i < count; ++i) o[i] += factor * column[i];
    }
  }
}

}  // namespace

ZSTAR_CLONES void residual(const float* z, const float* f, std::int64_t n, double out[2]) { residual_body(z, f, n, out); }
ZSTAR_CLONES void residual(const double* z, const double* f, std::int64_t n, double out[2]) { residual_body(z, f, n, out); }
ZSTAR_CLONES void dots(const float* const* a, std::size_t na, const float* const* b, std::size_t nb, std::int64_t n,
                       double* out) {
  dots_body(a, na, b, nb, n, out);
}
ZSTAR_CLONES void dots(const double* const* a, std::size_t na, const double* const* b, std::size_t nb, std::int64_t n,
                       double* out) {
  dots_body(a, na, b, nb, n, out);
}
ZSTAR_CLONES void combine(const float* base, const float* const* columns, const double* c, std::size_t k, std::int64_t n,
                          float* out) {
  combine_body(base, columns, c, k, n, out);
}
ZSTAR_CLONES void combine(const double* base, const double* const* columns, const double* c, std::size_t k, std::int64_t n,
                          double* out) {
  combine_body(base, columns, c, k, n, out);
}

}  // namespace zstar::solve::kernels
