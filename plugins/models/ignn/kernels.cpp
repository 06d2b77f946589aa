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

/// The sum over neighbours stays in registers, and w in the nearest cache: x, b and y are all that passes through memory. Written in
/// vectors of 64 bytes, which the compiler cuts to the size that the processor has: left to itself it takes the loops apart.
template <class T, std::int64_t m>
inline __attribute__((always_inline)) void cell_body(const Rows<T>& matrix, const T* x, const T* w, const T* b, std::int64_t begin, std::int64_t end, T* y) {
  typedef T Vector __attribute__((vector_size(64), aligned(alignof(T)), may_alias));
  constexpr std::int64_t lanes = 64 / sizeof(T), parts = m / lanes;
  const auto at = [](const T* numbers) { return reinterpret_cast<const Vector*>(numbers); };
  for (std::int64_t i = begin; i < end; ++i) {
    Vector sum[parts], even[parts], odd[parts];  // two sums: half the wait for one addition after the other
    for (std::int64_t p = 0; p < parts; ++p) sum[p] = Vector{}, even[p] = at(b + i * m)[p], odd[p] = Vector{};
    for (std::int64_t e = matrix.starts[i]; e < matrix.starts[i + 1]; ++e)
      for (std::int64_t p = 0; p < parts; ++p) sum[p] += matrix.values[e] * at(x + matrix.columns[e] * m)[p];
    const T* single = reinterpret_cast<const T*>(sum);
    for (std::int64_t j = 0; j < m; j += 2)
      for (std::int64_t p = 0; p < parts; ++p) even[p] += single[j] * at(w + j * m)[p], odd[p] += single[j + 1] * at(w + (j + 1) * m)[p];
    for (std::int64_t p = 0; p < parts; ++p) {
      const Vector value = even[p] + odd[p];
      reinterpret_cast<Vector*>(y + i * m)[p] = value < T(0) ? Vector{} : value;
    }
  }
}

}  // namespace

#define ZSTAR_DEFINE_CELL(T)                                                                                                           \
  ZSTAR_CLONES void cell(const Rows<T>& matrix, const T* x, const T* w, const T* b, std::int64_t m, std::int64_t begin,                \
                         std::int64_t end, T* y) {                                                                                     \
    m == 16 ? cell_body<T, 16>(matrix, x, w, b, begin, end, y) : cell_body<T, 32>(matrix, x, w, b, begin, end, y);                     \
  }
ZSTAR_DEFINE_CELL(float)
ZSTAR_DEFINE_CELL(double)

#define ZSTAR_DEFINE_PRODUCT(T)                                                                                                        \
  ZSTAR_CLONES void product(const Rows<T>& matrix, const T* x, const T* b, bool positive_part, std::int64_t m, std::int64_t begin,     \
                            std::int64_t end, T* y) {                                                                                  \
    product_body(matrix, x, b, positive_part, m, begin, end, y);                                                                       \
  }
ZSTAR_DEFINE_PRODUCT(float)
ZSTAR_DEFINE_PRODUCT(double)

}  // namespace zstar_ignn::kernels
