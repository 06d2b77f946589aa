#pragma once
/// \file Row kernels of the CPU: plain loops, compiled for the instruction sets of several processors. Every kernel exists
/// for float and double, and gives the same bits on all of them.

#include <cstddef>
#include <cstdint>

namespace zstar::solve::kernels {

/// Vectors that are read side by side.
constexpr std::size_t group = 4;

/// Rank-one factors of a chain, for one row: v ← v + ⟨right_j, v⟩ (c_j left_j + e_j right_j).
template <class T>
struct Factors {
  const T* const* left;
  const T* const* right;
  std::size_t left_count, right_count;  ///< left_count ≤ right_count ≤ left_count + 1
  const double *c, *e;                  ///< [left_count]; e may be null
};

#define ZSTAR_DECLARE_KERNELS(T)                                                                                        \
  /** out[0] = Σ (f − z)², out[1] = Σ f² over n numbers, summed in float64 block by block. */                           \
  void residual(const T* z, const T* f, std::int64_t n, double out[2]);                                                 \
  /** out[i · nb + j] = ⟨a_i, b_j⟩ over n numbers, summed in float64: every row is read once. */                        \
  void dots(const T* const* a, std::size_t na, const T* const* b, std::size_t nb, std::int64_t n, double* out);         \
  /** r = a − b and out[j] = ⟨columns_j, r⟩; r may be one of the columns. */                                            \
  void difference_dots(const T* a, const T* b, const T* const* columns, std::size_t k, T* r, std::int64_t n, double* out); \
  /** out = base + Σ_j c_j columns_j over n numbers; columns with c_j = 0 are not read. */                              \
  void combine(const T* base, const T* const* columns, const double* c, std::size_t k, std::int64_t n, T* out);         \
  /** ⟨a_j, v⟩ for j < k, then ⟨a_j, a_i⟩ for 0 < i ≤ j < k, row by row of the triangle; k ≤ group. */                   \
  void triangle(const T* const* a, std::size_t k, const T* v, std::int64_t n, double* out);                             \
  /** v = a − b (a alone if b is null) through the factors; dots as in ChainResult, [right_count + 2]. */               \
  void chain(const T* a, const T* b, const Factors<T>& f, std::int64_t n, T* v, double* dots);
ZSTAR_DECLARE_KERNELS(float)
ZSTAR_DECLARE_KERNELS(double)
#undef ZSTAR_DECLARE_KERNELS

}  // namespace zstar::solve::kernels
