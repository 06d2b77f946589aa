#pragma once
/// \file The gradient that others are measured against: the adjoint equation solved as well as the dtype allows.

#include <memory>

#include "zstar/abi/gradient.hpp"

namespace zstar::gradient {

struct ExactLimits {
  std::int64_t dense_unknowns = 2000;   ///< of one system that is solved densely
  std::int64_t dense_bytes = 512 << 20; ///< of all matrices of a batch together
  double tolerance = 1e-12;             ///< of GMRES elsewhere, relative to the cotangent
  std::int64_t products = 500;          ///< of GMRES
};

/// Implicit differentiation with u = (I − Jᵀ)⁻¹ v,
///
///   column j of Jᵀ = Jᵀ e_j,  one matrix for each sample, or one for the batch where samples are not independent,
///
/// by LU of the dense matrix where the limits allow it, else by GMRES, restarted every 60 products. Its report is named "dense" or "gmres".
/// \par Cost  D products and B (2/3) D³ flops for a dense solve of independent samples
std::shared_ptr<GradientMethod> exact_gradient(const ExactLimits& limits = {});

/// Jᵀ of every system of the problem, [B, D, D] for independent samples, else [1, B D, B D].
Tensor dense_transposed_jacobian(const AdjointProblem& problem);

}  // namespace zstar::gradient
