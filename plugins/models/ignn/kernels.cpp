#include "kernels.hpp"

#include <algorithm>

#include <zstar/clones.hpp>

namespace zstar_ignn::kernels {
namespace {

/// 64 bytes of numbers, which the compiler cuts to the vectors that the processor has: left to itself it takes the loops below apart.
template <class T>
struct Lanes {
  typedef T Vector __attribute__((vector_size(64), aligned(alignof(T)), may_alias));
  static constexpr std::int64_t count = 64 / sizeof(T);
};

template <class T>
ZSTAR_INLINE auto lanes(const T* numbers) { return reinterpret_cast<const typename Lanes<T>::Vector*>(numbers); }
template <class T>
ZSTAR_INLINE auto lanes(T* numbers) { return reinterpret_cast<typename Lanes<T>::Vector*>(numbers); }

/// Some columns of row i, which stay in registers while a row of the matrix is walked.
/// \param x  at those columns of row 0 \param step  from a row of x to the next \param b, y  at those columns of row i
template <std::int64_t columns, class T>
ZSTAR_INLINE void row_stretch(const Rows<T>& matrix, std::int64_t i, const T* x, std::int64_t step, const T* b, bool positive_part, T* y) {
  using Vector = typename Lanes<T>::Vector;
  constexpr std::int64_t parts = columns / Lanes<T>::count;
  Vector sum[parts];
  for (std::int64_t p = 0; p < parts; ++p) sum[p] = b ? lanes(b)[p] : Vector{};
  for (std::int64_t e = matrix.starts[i]; e < matrix.starts[i + 1]; ++e)
    for (std::int64_t p = 0; p < parts; ++p) sum[p] += matrix.values[e] * lanes(x + matrix.columns[e] * step)[p];
  for (std::int64_t p = 0; p < parts; ++p) lanes(y)[p] = positive_part ? (sum[p] < T(0) ? Vector{} : sum[p]) : sum[p];
}

template <class T>
ZSTAR_INLINE void product_body(const Rows<T>& matrix, const T* x, const T* b, bool positive_part, std::int64_t m,
                                                        std::int64_t begin, std::int64_t end, T* y) {
  for (std::int64_t i = begin; i < end; ++i) {
    const T* of_b = b ? b + i * m : nullptr;
    const auto shift = [of_b](std::int64_t from) { return of_b ? of_b + from : nullptr; };
    std::int64_t from = 0;
    for (; from + tile <= m; from += tile) row_stretch<tile>(matrix, i, x + from, m, shift(from), positive_part, y + i * m + from);
    for (; from + 16 <= m; from += 16) row_stretch<16>(matrix, i, x + from, m, shift(from), positive_part, y + i * m + from);
    for (; from < m; ++from) {
      T sum = of_b ? of_b[from] : T(0);
      for (std::int64_t e = matrix.starts[i]; e < matrix.starts[i + 1]; ++e) sum += matrix.values[e] * x[matrix.columns[e] * m + from];
      y[i * m + from] = positive_part && sum < 0 ? T(0) : sum;
    }
  }
}

template <class T>
ZSTAR_INLINE void tiles_body(const Rows<T>& matrix, const T* x, const T* b, bool positive_part, std::int64_t n, std::int64_t m,
                                                      std::int64_t begin, std::int64_t end, T* room, T* y) {
  for (std::int64_t from = begin * tile; from < std::min(m, end * tile); from += tile) {
    const std::int64_t count = std::min(tile, m - from);
    for (std::int64_t i = 0; i < n; ++i) std::fill_n(std::copy_n(x + i * m + from, count, room + i * tile), tile - count, T(0));
    for (std::int64_t i = 0; i < n; ++i) {
      const T* shift = b ? b + i * m + from : nullptr;
      if (count == tile) {
        row_stretch<tile>(matrix, i, room, tile, shift, positive_part, y + i * m + from);
        continue;
      }
      T padded[tile] = {}, out[tile];  // a part of a tile: of its full width all the same
      if (shift) std::copy_n(shift, count, padded);
      row_stretch<tile>(matrix, i, room, tile, shift ? padded : nullptr, positive_part, out);
      std::copy_n(out, count, y + i * m + from);
    }
  }
}

/// The sum over neighbours stays in registers, and w in the nearest cache: x, b and y are all that passes through memory.
template <std::int64_t m, class T>
ZSTAR_INLINE void cell_body(const Rows<T>& matrix, const T* x, const T* w, const T* b, std::int64_t begin, std::int64_t end, T* y) {
  using Vector = typename Lanes<T>::Vector;
  constexpr std::int64_t parts = m / Lanes<T>::count;
  for (std::int64_t i = begin; i < end; ++i) {
    Vector sum[parts], even[parts], odd[parts];  // two sums: half the wait for one addition after the other
    for (std::int64_t p = 0; p < parts; ++p) sum[p] = Vector{}, even[p] = lanes(b + i * m)[p], odd[p] = Vector{};
    for (std::int64_t e = matrix.starts[i]; e < matrix.starts[i + 1]; ++e)
      for (std::int64_t p = 0; p < parts; ++p) sum[p] += matrix.values[e] * lanes(x + matrix.columns[e] * m)[p];
    const T* single = reinterpret_cast<const T*>(sum);
    for (std::int64_t j = 0; j < m; j += 2)
      for (std::int64_t p = 0; p < parts; ++p) even[p] += single[j] * lanes(w + j * m)[p], odd[p] += single[j + 1] * lanes(w + (j + 1) * m)[p];
    for (std::int64_t p = 0; p < parts; ++p) {
      const Vector value = even[p] + odd[p];
      lanes(y + i * m)[p] = value < T(0) ? Vector{} : value;
    }
  }
}

}  // namespace

#define ZSTAR_DEFINE_CELL(T)                                                                                                           \
  ZSTAR_CLONES void cell(const Rows<T>& matrix, const T* x, const T* w, const T* b, std::int64_t m, std::int64_t begin,                \
                         std::int64_t end, T* y) {                                                                                     \
    m == 16 ? cell_body<16>(matrix, x, w, b, begin, end, y) : cell_body<32>(matrix, x, w, b, begin, end, y);                           \
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

#define ZSTAR_DEFINE_TILES(T)                                                                                                          \
  ZSTAR_CLONES void tiles(const Rows<T>& matrix, const T* x, const T* b, bool positive_part, std::int64_t n, std::int64_t m,           \
                          std::int64_t begin, std::int64_t end, T* room, T* y) {                                                       \
    tiles_body(matrix, x, b, positive_part, n, m, begin, end, room, y);                                                                \
  }
ZSTAR_DEFINE_TILES(float)
ZSTAR_DEFINE_TILES(double)

}  // namespace zstar_ignn::kernels
