#pragma once
/// \file Row kernels of the CPU: plain loops, compiled for the instruction sets of several processors.

#include <cstddef>
#include <cstdint>

namespace zstar::solve::kernels {

/// out[0] = Σ (f − z)², out[1] = Σ f² over n numbers, accumulated in float64 block by block.
void residual(const float* z, const float* f, std::int64_t n, double out[2]);
void residual(const double* z, const double* f, std::int64_t n, double out[2]);

/// out[i · nb + j] = ⟨a_i, b_j⟩ over n numbers: every row is read once.
void dots(const float* const* a, std::size_t na, const float* const* b, std::size_t nb, std::int64_t n, double* out);
void dots(const double* const* a, std::size_t na, const double* const* b, std::size_t nb, std::int64_t n, double* out);

/// out = base + Σ_j c_j columns_j over n numbers.
void combine(const float* base, const float* const* columns, const double* c, std::size_t k, std::int64_t n, float* out);
void combine(const double* base, const double* const* columns, const double* c, std::size_t k, std::int64_t n, double* out);

}  // namespace zstar::solve::kernels
