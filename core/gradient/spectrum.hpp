#pragma once
/// \file Eigenvalues of J = ∂f/∂z at a state, from vector–Jacobian products alone.

#include <cstdint>
#include <vector>

#include "core/gradient/linearisation.hpp"
#include "zstar/abi/map.hpp"

namespace zstar::gradient {

/// ρ(J) of every sample of a map whose samples are independent.
struct SpectralRadius {
  std::vector<double> radius;   ///< [B]
  std::vector<double> error;    ///< [B], residual of the Ritz pair that the radius is from
  std::vector<char> converged;  ///< [B], error ≤ tolerance · radius, or the Krylov space is exhausted
  std::int64_t products = 0;    ///< vector–Jacobian products made
};

/// Arnoldi on Jᵀ, a basis for each sample, two Gram–Schmidt passes. Complex pairs and defective J included; a zero J gives 0.
/// \param start  [B, D] or the shape of z, not zero \param most_products  steps at most
/// \par Sources  Saad, Numerical Methods for Large Eigenvalue Problems, 2011, section 6.2
SpectralRadius spectral_radius(const FixedPointMap& f, const State& z, const Tensor& start, std::int64_t most_products = 20,
                               double tolerance = 1e-3);

/// Extreme singular values of I − J, seen from inside: the smallest from above, the largest from below.
struct SingularValues {
  std::vector<double> smallest, largest;  ///< [B]; one entry where the samples were taken together
  std::int64_t products = 0;              ///< vector–Jacobian products made; a product Jv counts as two
};

/// Golub–Kahan bidiagonalisation of I − Jᵀ with full orthogonalisation: exact once `steps` reaches the width.
/// \param start  [B, D]; noise of a fixed seed is added \param apart  a space for each sample; else one for the whole batch
/// \par Sources  Golub & Kahan, SIAM J. Numer. Anal. 2 (1965), doi:10.1137/0702016
SingularValues singular_values(const Linearisation& linear, const Tensor& start, std::int64_t steps, bool apart);

/// Largest real part of the numerical range of J, λ_max((J + Jᵀ)/2), from below, by Lanczos with full orthogonalisation: exact once `steps`
/// reaches the width. Below 1, I − J is strongly monotone: damped iteration with a small enough β, and the splittings, converge near the state,
/// whatever the spectral radius. \param start  [B, D], not zero \param apart  a value for each sample; else one for the whole batch
/// \par Sources  Saad, Numerical Methods for Large Eigenvalue Problems, 2011, section 6.3
std::vector<double> numerical_abscissa(const Linearisation& linear, const Tensor& start, std::int64_t steps, bool apart);

/// ‖(I − Jᵀ)⁻¹ r‖, seen from inside.
struct InverseNorm {
  std::vector<double> found;  ///< [B] ‖e_k‖, which rises to it with every step
  std::vector<double> rest;   ///< [B] ‖r − (I − Jᵀ) e_k‖: what is missing is (I − Jᵀ)⁻¹ of that, orthogonal to e_k
  SingularValues values;      ///< of I − J in the space of these steps, the only one that (I − Jᵀ)⁻¹ r can lie in
};

/// Craig's method for (I − Jᵀ) e = r, `steps` of Golub–Kahan on I − J from r: exact once the space of r is exhausted.
/// \param r  [B, D] \param apart  a space for each sample; else one for the whole batch
/// \par Sources  Craig, J. Math. Phys. 34 (1955); Paige & Saunders, ACM TOMS 8 (1982), doi:10.1145/355984.355989, section 7.2
InverseNorm inverse_norm(const Linearisation& linear, const Tensor& r, std::int64_t steps, bool apart);

/// ‖J‖₂ of every sample of a map whose samples are independent, from below: power iteration on JJᵀ until two values agree to
/// `tolerance`, at most `steps` times. \param start  [B, D], not zero
std::vector<double> largest_singular_value(const FixedPointMap& f, const State& z, const Tensor& start, std::int64_t steps = 30, double tolerance = 1e-4);

/// Power iteration on Jᵀ: w = Jᵀv, λ = ⟨w, v⟩/⟨v, v⟩, v ← w/‖w‖. The Rayleigh quotient does not converge for complex pairs and is wrong
/// for non-normal J; it is here for comparison with what others report.
struct PowerIteration {
  Tensor vector;                ///< [B, D], after the last step
  std::vector<Tensor> values;   ///< |λ| after each step, [B]
};
PowerIteration power_iteration(const FixedPointMap& f, const State& z, const Tensor& start, std::int64_t iterations);

}  // namespace zstar::gradient
