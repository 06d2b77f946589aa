#pragma once
/// \file GMRES for adjoint problems of the framework itself: failed samples, and gradients that a certificate found bad.

#include "zstar/abi/gradient.hpp"

namespace zstar::gradient {

struct GmresLimits {
  double tolerance;        ///< ‖v + Jᵀu − u‖ ≤ tolerance ‖v‖
  std::int64_t products;   ///< vector–Jacobian products at most
  std::int64_t restart = 20;
};

struct GmresSolution {
  Tensor u;        ///< [B, D]
  Report report;   ///< of the samples treated; the others count as converged without evaluations
};

/// Solves u = v + Jᵀu for the samples `wanted` (bool [B, 1]) from `start`; the others keep it.
GmresSolution gmres(Products& products, const AdjointProblem& problem, const Tensor& start, const Tensor& wanted, const GmresLimits& limits);

}  // namespace zstar::gradient
