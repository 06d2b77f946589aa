#pragma once
/// \file Claims: what a part promises beyond the contract, and what it does not promise. `zstar verify` holds it to each claim, and
/// shows each exemption with its reason.

#include <string>
#include <string_view>
#include <vector>

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

/// By query of a gradient method.
struct GradientClaims {
  static constexpr std::string_view id = "zstar.gradient.claims/1";
  bool exact = false;      ///< the gradient of the equilibrium, as near as the solves are; else an approximation, near it for small J
  bool symmetric = false;  ///< only where J is symmetric
};

/// By query of a part of any kind whose rules differ from the contract on purpose.
struct Exemptions {
  static constexpr std::string_view id = "zstar.exemptions/1";
  struct Exemption {
    std::string check, reason;  ///< name of the check, "*": all of them; and why, as a sentence: "the batch stops as a whole"
  };
  std::vector<Exemption> checks;
};

}  // namespace zstar
