#include "core/gradient/gmres.hpp"

#include <algorithm>
#include <cmath>

#include "zstar/krylov.hpp"

namespace zstar::gradient {
namespace {

std::vector<double> lengths(Products& products, const Tensor& t) {
  const Tensor norm = products.dots({t}, {t}).view({t.size(0)}).sqrt().cpu();
  return {norm.data_ptr<double>(), norm.data_ptr<double>() + norm.numel()};
}

std::vector<double> predicted_by(const KrylovSpace& space, std::size_t batch) {
  std::vector<double> residuals;
  for (std::size_t b = 0; b < batch; ++b) residuals.push_back(space.residual(b));
  return residuals;
}

Reason reason_of(double residual, double size, double tolerance) {
  if (!std::isfinite(residual)) return Reason::nonfinite;
  return residual <= tolerance * size ? Reason::converged : Reason::budget;
}

}  // namespace

GmresSolution gmres(Products& products, const AdjointProblem& problem, const Tensor& start, const Tensor& wanted, const GmresLimits& limits) {
  const torch::NoGradGuard no_grad;
  const std::vector<double> sizes = lengths(products, problem.cotangent);
  GmresSolution out{start, {}};
  const auto residual_of = [&](const Tensor& u) {
    const Tensor r = problem.cotangent + problem.vjp(u) - u;
    return torch::where(wanted, r, torch::zeros_like(r));
  };
  Tensor r = residual_of(out.u);
  std::int64_t calls = 1;
  const auto open = [&](const std::vector<double>& residuals) {
    for (std::size_t b = 0; b < residuals.size(); ++b)
      if (std::isfinite(residuals[b]) && residuals[b] > limits.tolerance * sizes[b]) return true;
    return false;
  };
  const std::vector<std::int64_t> shape = start.sizes().vec();
  const bool together = !problem.samples_independent && shape[0] > 1;  // then one space for the whole batch
  const auto apart = [&](const Tensor& t) { return together ? t.reshape({1, -1}) : t; };
  while (calls + 1 < limits.products && open(lengths(products, r))) {
    KrylovSpace space(products, apart(r), limits.restart);
    while (space.open() && calls + 1 < limits.products) {
      const Tensor v = space.direction().reshape(shape);
      space.add(apart(v - problem.vjp(v)));
      ++calls;
      if (!together && !open(predicted_by(space, sizes.size()))) break;
      if (together && space.residual(0) <= limits.tolerance * *std::min_element(sizes.begin(), sizes.end())) break;
    }
    if (space.size() == 0) break;
    out.u = out.u + space.solution().reshape(shape);
    r = residual_of(out.u);
    ++calls;
  }
  out.report.method = "gmres";
  out.report.calls = calls;
  out.report.tolerance = limits.tolerance;
  const Tensor treated = wanted.cpu();
  const std::vector<double> residuals = lengths(products, r);
  for (std::size_t b = 0; b < residuals.size(); ++b) {
    const bool mine = treated.data_ptr<bool>()[b];
    out.report.residual.push_back(residuals[b]);
    out.report.relative.push_back(sizes[b] > 0 ? residuals[b] / sizes[b] : 0);
    out.report.evaluations.push_back(mine ? calls : 0);
    out.report.best.push_back(mine ? calls : 0);
    out.report.reasons.push_back(reason_of(residuals[b], sizes[b], limits.tolerance));
    out.report.first_converged.push_back(out.report.reasons.back() == Reason::converged ? out.report.best.back() : 0);
  }
  return out;
}

}  // namespace zstar::gradient
