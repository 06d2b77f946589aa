#pragma once
/// \file Row kernels of the CPU: plain loops, compiled for the instruction sets of several processors. Every kernel exists
/// for float and double, those of histories also for bfloat16 rows beside float, and gives the same bits on all of them.

#include <cstddef>
#include <cstdint>

namespace zstar::solve::kernels {

/// Vectors that are read side by side.
constexpr std::size_t group = 4;

/// A bfloat16 as it is stored: the upper half of a float32.
struct Brain {
  std::uint16_t bits;
};

/// Rank-one factors of a chain, for one row: v ← v + ⟨right_j, v⟩ (c_j left_j + e_j right_j).
template <class C>
struct Factors {
  const C* const* left;
  const C* const* right;
  std::size_t left_count, right_count;  ///< left_count ≤ right_count ≤ left_count + 1
  const double *c, *e;                  ///< [left_count]; e may be null
};

#define ZSTAR_DECLARE_KERNELS(C, T)                                                                                     \
  /** out[i · nb + j] = ⟨a_i, b_j⟩ over n numbers, summed in float64: every row is read once. */                        \
  void dots(const C* const* a, std::size_t na, const T* const* b, std::size_t nb, std::int64_t n, double* out);         \
  /** ⟨a_j, v⟩ for j < k, then ⟨a_j, a_i⟩ for 0 < i ≤ j < k, row by row of the triangle; k ≤ group. */                   \
  void triangle(const C* const* a, std::size_t k, const T* v, std::int64_t n, double* out);                             \
  /** out = base + Σ_j c_j columns_j over n numbers; columns with c_j = 0 are not read. */                              \
  void combine(const T* base, const C* const* columns, const double* c, std::size_t k, std::int64_t n, T* out);         \
  /** v = a − b (a alone if b is null) through the factors; dots as in ChainResult, [right_count + 2]. */               \
  void chain(const T* a, const T* b, const Factors<C>& f, std::int64_t n, T* v, double* dots);
#define ZSTAR_DECLARE_RESIDUAL_KERNELS(T)                                                                               \
  /** out[0] = Σ (f − z)², out[1] = Σ f² over n numbers, summed in float64 block by block. */                           \
  void residual(const T* z, const T* f, std::int64_t n, double out[2]);                                                 \
  /** r = a − b and out[j] = ⟨columns_j, r⟩; r may be one of the columns. */                                            \
  void difference_dots(const T* a, const T* b, const T* const* columns, std::size_t k, T* r, std::int64_t n, double* out);
ZSTAR_DECLARE_KERNELS(float, float)
ZSTAR_DECLARE_KERNELS(double, double)
ZSTAR_DECLARE_KERNELS(Brain, float)
ZSTAR_DECLARE_RESIDUAL_KERNELS(float)
ZSTAR_DECLARE_RESIDUAL_KERNELS(double)
#undef ZSTAR_DECLARE_KERNELS
#undef ZSTAR_DECLARE_RESIDUAL_KERNELS

}  // namespace zstar::solve::kernels
