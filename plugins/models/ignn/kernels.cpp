#include "kernels.hpp"

#include <algorithm>

// One body, three instruction sets, chosen by the loader.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ZSTAR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ZSTAR_CLONES
#endif

namespace zstar_ignn::kernels {
namespace {

/// A stretch of this many numbers of y stays in registers while a row of the matrix is walked.
constexpr std::int64_t stretch = 64;

template <class T>
inline __attribute__((always_inline)) void row_stretch(const Rows<T>& matrix, std::int64_t i, const T* x, const T* b, bool positive_part, std::int64_t m,
                                                       std::int64_t from, std::int64_t count, T* y) {
  T sum[stretch];
  for (std::int64_t k = 0; k < count; ++k) sum[k] = b ? b[i * m + from + k] : T(0);
  for (std::int64_t e = matrix.starts[i]; e < matrix.starts[i + 1]; ++e) {
    const T value = matrix.values[e];
    const T* row = x + matrix.columns[e] * m + from;
    for (std::int64_t k = 0; k < count; ++k) sum[k] += value * row[k];
  }
  for (std::int64_t k = 0; k < count; ++k) y[i * m + from + k] = positive_part && sum[k] < 0 ? T(0) : sum[k];
}

template <class T>
inline __attribute__((always_inline)) void product_body(const Rows<T>& matrix, const T* x, const T* b, bool positive_part, std::int64_t m,
                                                        std::int64_t begin, std::int64_t end, T* y) {
  for (std::int64_t i = begin; i < end; ++i) {
    std::int64_t from = 0;
    for (; from + stretch <= m; from += stretch) row_stretch(matrix, i, x, b, positive_part, m, from, stretch, y);
    for (; from + 16 <= m; from += 16) row_stretch(matrix, i, x, b, positive_part, m, from, std::int64_t{16}, y);
    if (from < m) row_stretch(matrix, i, x, b, positive_part, m, from, m - from, y);
  }
}

}  // namespace

#define ZSTAR_DEFINE_PRODUCT(T)                                                                                                        \
  ZSTAR_CLONES void product(const Rows<T>& matrix, const T* x, const T* b, bool positive_part, std::int64_t m, std::int64_t begin,     \
                            std::int64_t end, T* y) {                                                                                  \
    product_body(matrix, x, b, positive_part, m, begin, end, y);                                                                       \
  }
ZSTAR_DEFINE_PRODUCT(float)
ZSTAR_DEFINE_PRODUCT(double)

}  // namespace zstar_ignn::kernels
