#pragma once
/// \file Claims: what a solver promises beyond the contract. `zstar verify` holds it to each of them.

#include <string_view>

namespace zstar {

/// By query of a solver. What is not claimed is not asked for; what is claimed is proven on maps of known difficulty.
///
///     void* query(std::string_view id) override { return id == Claims::id ? &claims_ : nullptr; }
struct Claims {
  static constexpr std::string_view id = "zstar.solver.claims/1";
  bool accelerates = false;  ///< at least 30 % fewer evaluations than plain iteration on a stiff affine map
  bool expansive = false;    ///< solves maps on which plain iteration diverges: an expansive one, and a rotation of radius 1.5
  bool secant = false;       ///< its InverseJacobian maps the last change of g = f(z) − z to the last change of z
};

}  // namespace zstar
