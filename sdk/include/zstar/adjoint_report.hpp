#pragma once
/// \file The report of a gradient method that solves the adjoint equation by itself, which knows its residual; the layer makes those of methods that
/// record none. Compiled into the plugin.

#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "zstar/abi/report.hpp"
#include "zstar/abi/solver.hpp"

namespace zstar {

/// By query of a gradient method: it solves no adjoint equation, autograd differentiates its evaluations of f. No sample of it can fail.
struct ByAutograd {
  static constexpr std::string_view id = "zstar.gradient.by-autograd/1";
  bool whole = false;  ///< every step from the start is differentiated: the gradient is right where the iteration has converged
};

/// By query of a gradient method: its options hold something for each of so many sampled states, no more and no fewer.
struct ForStates {
  static constexpr std::string_view id = "zstar.gradient.for-states/1";
  std::int64_t count = 0;
  std::string option;  ///< the one that holds it
};

struct AdjointRun {
  std::int64_t products = 0;  ///< vector–Jacobian products made
  double tolerance = 0;       ///< relative residual at which a sample counts as converged
  bool known = true;          ///< the residual was computed
};

/// A sample has converged where ‖r‖ ≤ tolerance ‖v‖, diverged where ‖r‖ > ‖v‖ (worse than no solve at all); else its products were used up.
/// \param residual  r = v + Jᵀu − u, [B, D] \param cotangent  v, [B, D]
inline Report adjoint_report(Products& products, const std::string& method, const torch::Tensor& residual, const torch::Tensor& cotangent,
                             const AdjointRun& run) {
  const auto lengths = [&products](const torch::Tensor& t) { return products.dots({t}, {t}).view({t.size(0)}).sqrt().cpu(); };
  const torch::Tensor found = lengths(residual), sizes = lengths(cotangent);
  Report report;
  report.method = method;
  report.calls = run.products;
  report.tolerance = run.tolerance;
  for (std::int64_t b = 0; b < found.numel(); ++b) {
    const double r = found.data_ptr<double>()[b], v = sizes.data_ptr<double>()[b];
    const bool good = r <= run.tolerance * v;
    report.residual.push_back(r);
    report.relative.push_back(r == 0 ? 0 : r / std::max(v, std::numeric_limits<double>::min()));
    report.evaluations.push_back(run.products);
    report.best.push_back(run.known ? run.products : 0);
    report.first_converged.push_back(good ? run.products : 0);
    report.reasons.push_back(!run.known ? Reason::budget : good ? Reason::converged : !std::isfinite(r) ? Reason::nonfinite : r > v ? Reason::diverged : Reason::budget);
  }
  return report;
}

}  // namespace zstar
