#pragma once
/// \file Loops of sparse products on the CPU, compiled for the instruction sets of several processors.

#include <cstdint>

namespace zstar_ignn::kernels {

/// Rows of a sparse matrix one after the other: the columns and values of row i are those from starts[i] to starts[i + 1].
template <class T>
struct Rows {
  const std::int64_t* starts;
  const std::int64_t* columns;
  const T* values;
};

/// y_i = Σ_j M_ij x_j (+ b_i where b is not null), or its positive part, for the rows i from `begin` to `end`; x, b and y have rows
/// of m numbers. A NaN stays one.
#define ZSTAR_DECLARE_PRODUCT(T) void product(const Rows<T>& matrix, const T* x, const T* b, bool positive_part, std::int64_t m, \
                                              std::int64_t begin, std::int64_t end, T* y);
ZSTAR_DECLARE_PRODUCT(float)
ZSTAR_DECLARE_PRODUCT(double)
#undef ZSTAR_DECLARE_PRODUCT

constexpr std::int64_t tile = 64;  ///< columns of x that tiles() takes at a time

/// The same for the tiles of columns from `begin` to `end`: those of x are copied together first, so that rows that are read once for
/// every neighbour come from a near cache. \param room  for n rows of a tile
#define ZSTAR_DECLARE_TILES(T) void tiles(const Rows<T>& matrix, const T* x, const T* b, bool positive_part, std::int64_t n, std::int64_t m, \
                                          std::int64_t begin, std::int64_t end, T* room, T* y);
ZSTAR_DECLARE_TILES(float)
ZSTAR_DECLARE_TILES(double)
#undef ZSTAR_DECLARE_TILES

/// Widths for which cell() is there: those whose dense product is too small for a call of its own.
inline bool narrow(std::int64_t m) { return m == 16 || m == 32; }

/// y_i = relu((Σ_j M_ij x_j) w + b_i), w [m, m] in rows; otherwise as above. \pre narrow(m)
#define ZSTAR_DECLARE_CELL(T) void cell(const Rows<T>& matrix, const T* x, const T* w, const T* b, std::int64_t m, std::int64_t begin, \
                                        std::int64_t end, T* y);
ZSTAR_DECLARE_CELL(float)
ZSTAR_DECLARE_CELL(double)
#undef ZSTAR_DECLARE_CELL

}  // namespace zstar_ignn::kernels
