#include "core/gradient/adjoint.hpp"

#include <stdexcept>

namespace zstar::gradient {
namespace {

/// Rows of v divided by their norms, so that the tolerance is relative to |v| and no loss is too small.
struct Scaled {
  explicit Scaled(const Tensor& v) : norm(v.norm(2, {1}, /*keepdim=*/true)) {
    const Tensor divisor = torch::where(norm > 0, norm, torch::ones_like(norm));
    unit = v / divisor;
  }
  Tensor norm, unit;  // [B, 1], [B, D]
};

bool failed(Reason reason) { return reason != Reason::converged && reason != Reason::floor; }

}  // namespace

Tensor AdjointRunner::solve(const AdjointProblem& problem, const Tensor& start) {
  const torch::NoGradGuard no_grad;
  const auto solver = solver_.make();
  solve::Options options = solver_.options;
  const bool scale = options_.adjoint_scale == "cotangent";
  const Tensor& v = problem.cotangent;
  const Scaled scaled(scale ? v : Tensor(torch::ones({1, 1}, v.options())));
  const Tensor right = scale ? scaled.unit : v;
  if (scale && options.stop == "relative") options.stop = "absolute";  // relative to |v|, which is 1
  Tensor u0 = start.defined() ? (scale ? start / torch::where(scaled.norm > 0, scaled.norm, torch::ones_like(scaled.norm)) : start)
                              : torch::zeros_like(v);
  const solve::PackedMap map = [&](const Tensor& u) { return problem.vjp(u).add_(right); };
  auto out = solve::solve_packed(*solver, solver_.name, map, u0, options);
  if (scale) {
    const Tensor norms = scaled.norm.to(torch::kFloat64).cpu().contiguous();
    for (std::size_t b = 0; b < out.report.residual.size(); ++b) {
      out.report.relative[b] = out.report.residual[b];
      out.report.residual[b] *= norms.data_ptr<double>()[b];
    }
    out.report.trace.relative = out.report.trace.absolute;
  }
  reports_.push_back(std::move(out.report));
  return scale ? out.z * scaled.norm : out.z;
}

Tensor AdjointRunner::run(const Adjoint& method, const AdjointProblem& problem) {
  const std::size_t before = reports_.size();
  Tensor u = method(problem, *this);
  if (reports_.size() == before || options_.failed_samples == "keep") return u;
  const Report& report = reports_.back();
  const Tensor lost = torch::zeros({static_cast<std::int64_t>(report.reasons.size()), 1}, torch::kBool);
  bool any = false;
  for (std::size_t b = 0; b < report.reasons.size(); ++b)
    if (failed(report.reasons[b])) lost[static_cast<std::int64_t>(b)][0] = any = true;
  if (!any) return u;
  if (options_.failed_samples == "abort")
    throw std::runtime_error("the adjoint solve with '" + report.method + "' failed: " +
                             solve::text_of(report.reasons[static_cast<std::size_t>(lost.argmax().item<std::int64_t>())]).sentence +
                             "; raise its max_evaluations or choose another [gradient] solver");
  const Tensor instead = options_.failed_samples == "zero" ? torch::zeros_like(u) : problem.cotangent;
  return torch::where(lost.to(u.device()), instead, u);
}

}  // namespace zstar::gradient
