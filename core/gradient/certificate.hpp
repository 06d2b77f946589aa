#pragma once
/// \file Certificate: how wrong a gradient is, whatever method made it.

#include <optional>
#include <vector>

#include "core/gradient/layer.hpp"

namespace zstar::gradient {

/// A bound holds for every J that the map's declaration allows; an estimate takes most of the error, and σ_min for the rest, from a few
/// Golub–Kahan steps, which see the one from below and the other from above.
enum class CertificateKind : std::uint8_t { bound, estimate };
inline const char* name_of(CertificateKind kind) { return kind == CertificateKind::bound ? "bound" : "estimate"; }

/// What is known of the adjoint û that a backward pass used, against u = (I − Jᵀ)⁻¹ v at z⋆.
struct GradientReport {
  CertificateKind kind = CertificateKind::estimate;
  std::vector<double> error;       ///< [B] of ‖û − u‖
  std::vector<double> sigma;       ///< [B] lower bound or estimate of σ_min(I − J)
  std::vector<double> residual;    ///< [B] ‖v + Jᵀû − û‖ / ‖v‖
  double relative_error = 0;       ///< of all samples together: √Σ error² / least ‖u‖ that is possible
  double forward_error = 0;        ///< the same from z⋆ not being a fixed point, first order; always an estimate
  double cosine = 0;               ///< least cosine between û and u that the relative error allows
  std::int64_t products = 0;       ///< vector–Jacobian products spent
};

/// The certificate of a call whose backward pass is over; nothing if no cotangent reached it. Samples that are not independent are
/// treated as one. The generators of the experiment are not touched.
///
///   bound     ‖û − u‖ ≤ ‖r‖ / σ,  r = v + Jᵀû − û,  σ = 1 − L or m where the map declares ‖J‖ ≤ L < 1 or monotonicity m
///   estimate  ‖û − u‖ ≈ ‖e_k‖ + 2 ‖r − (I − Jᵀ) e_k‖ / σ_k,  e_k after `lanczos_steps` of Craig's method for (I − Jᵀ) e = r,
///             σ_k the least singular value of I − J in its space, seen from above, hence the factor
///   forward   ‖r′ − r‖ / σ²,  r′ the same as r with J at f(z⋆), a step nearer to the fixed point
///
/// \par Cost  two evaluations of f, two products, and three for each Lanczos step
/// \par Sources  Golub & Kahan, SIAM J. Numer. Anal. 2 (1965), doi:10.1137/0702016; Blondel et al., arXiv:2105.15183, theorem 1
std::optional<GradientReport> certify(const Watched& call, std::int64_t lanczos_steps);

/// Adds what the gradient of a call lacks to the `.grad` of all that f depends on: GMRES goes on from û until the residual allows a
/// relative error of at most `relative_error`. \pre the backward pass kept its graph \return the report of that solve
Report refine(const Watched& call, const GradientReport& found, double relative_error, std::int64_t products);

}  // namespace zstar::gradient
