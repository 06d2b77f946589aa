#pragma once
/// \file LinearSolver: what a solver for affine problems is told, so that it need not find out.

#include <string_view>

#include "zstar/abi/solver.hpp"

namespace zstar {

/// What is known of an affine map u ↦ K u + c before it is solved.
struct LinearFacts {
  bool symmetric = false;               ///< K = Kᵀ
  InverseJacobian* estimate = nullptr;  ///< of (Kᵀ − I)⁻¹, left by the solve that K = Jᵀ is from; null: none
  bool samples_independent = false;     ///< K acts on each row alone
};

/// By query of a solver: it solves affine maps alone.
class LinearSolver {
 public:
  static constexpr std::string_view id = "zstar.solver.linear/1";
  /// Called before `begin` where the map is known to be affine. A solver that was told nothing must find out.
  virtual void told(const LinearFacts& facts) = 0;
  /// Whether it would use LinearFacts::estimate, which must be kept for it.
  virtual bool wants_estimate() const { return false; }
 protected:
  ~LinearSolver() = default;
};

}  // namespace zstar
