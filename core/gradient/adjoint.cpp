#include "core/gradient/adjoint.hpp"

#include <algorithm>
#include <stdexcept>

#include "core/gradient/gmres.hpp"
#include "core/gradient/tally.hpp"
#include "zstar/abi/linear.hpp"
#include "zstar/adjoint_report.hpp"

namespace zstar::gradient {
namespace {

/// Rows of v divided by their norms, so that the tolerance is relative to |v| and no loss is too small.
struct Scaled {
  explicit Scaled(const Tensor& v) : norm(v.norm(2, {1}, /*keepdim=*/true)) {
    divisor = torch::where(norm > 0, norm, torch::ones_like(norm));
    unit = v / divisor;
  }
  Tensor norm, divisor, unit;  // [B, 1], [B, 1], [B, D]
};

}  // namespace

bool AdjointRunner::failed(Reason reason) const {
  return reason != Reason::converged && reason != Reason::floor && (by_solver_ || reason != Reason::budget);
}

void AdjointRunner::record(Report report) {
  by_solver_ = false;
  if (report.tolerance == 0) {
    report.tolerance = solver_.options.tolerance;
    for (std::size_t b = 0; b < report.reasons.size(); ++b)
      if (report.reasons[b] == Reason::budget && report.relative[b] <= report.tolerance) report.reasons[b] = Reason::converged, report.first_converged[b] = report.evaluations[b];
  }
  reports_.push_back(std::move(report));
}

/// What to do about a sample that failed: never what has just failed, nor an option that its method has not.
std::string AdjointRunner::remedy(Reason reason) const {
  if (reason == Reason::nonfinite) return solve::text_of(reason).remedy;
  if (by_solver_ && reason == Reason::budget) return "raise max_evaluations or the tolerance of [gradient] solver, or choose another solver there";
  const std::string other = solver_.name == "gmres" ? "broyden" : "gmres";
  return (by_solver_ ? "use" : "use [gradient] name = \"implicit\" with") + (" [gradient] solver = { name = \"" + other + "\" }, which needs no contraction");
}

Tensor AdjointRunner::solve(const AdjointProblem& problem, const Tensor& start) {
  const torch::NoGradGuard no_grad;
  by_solver_ = true;
  const auto solver = solver_.make();
  if (auto* linear = query<LinearSolver>(*solver)) linear->told({problem.declared.symmetric, problem.estimate, problem.samples_independent});
  solve::Options options = solver_.options;
  const bool scale = options_.adjoint_scale == "cotangent";
  const Tensor& v = problem.cotangent;
  const Scaled scaled(scale ? v : Tensor(torch::ones({1, 1}, v.options())));
  const Tensor right = scale ? scaled.unit : v;
  if (scale && options.stop == "relative") options.stop = "absolute", options.measure = "l2";  // relative to |v|, which is 1
  const Tensor from = start.defined() ? start : starts_.adjoint(keys_, v);
  const Tensor u0 = from.defined() ? (scale ? from / scaled.divisor : from) : torch::zeros_like(v);
  // With rows scaled one by one, the map is S⁻¹ Jᵀ S; where no sample depends on another that is Jᵀ again.
  const bool mixed = scale && !problem.samples_independent && v.size(0) > 1;
  const solve::PackedMap map = [&](const Tensor& u) {
    return mixed ? problem.vjp(u * scaled.divisor).div_(scaled.divisor).add_(right) : problem.vjp(u).add_(right);
  };
  auto out = solve::solve_packed(*solver, solver_.name, map, u0, options);
  if (scale) {
    const Tensor norms = scaled.norm.to(torch::kFloat64).cpu().contiguous();
    for (std::size_t b = 0; b < out.report.residual.size(); ++b) {
      out.report.relative[b] = out.report.residual[b];
      out.report.residual[b] *= norms.data_ptr<double>()[b];
    }
    out.report.trace.relative = out.report.trace.absolute;
  }
  const Tensor u = scale ? out.z * scaled.norm : out.z;
  if (options_.residual && std::all_of(out.report.best.begin(), out.report.best.end(), [](std::int64_t k) { return k == 0; })) {  // not an iterate that was evaluated
    const Report found = report_of(problem, u, out.report.calls);
    out.report.residual = found.residual, out.report.relative = found.relative, out.report.best = found.best, out.report.calls = found.calls;
  }
  starts_.keep_adjoint(keys_, u, out.report);
  reports_.push_back(std::move(out.report));
  return u;
}

Report AdjointRunner::report_of(const AdjointProblem& problem, const Tensor& u, std::int64_t products) const {
  const Tensor& v = problem.cotangent;
  if (!options_.residual && options_.failed_samples == "keep") return unmeasured(method_, v.size(0), products);
  const torch::NoGradGuard no_grad;
  return adjoint_report(solve::local_products(), method_, v + problem.vjp(u) - u, v, {.products = products + 1, .tolerance = solver_.options.tolerance});
}

Tensor AdjointRunner::run(const Adjoint& method, const AdjointProblem& problem) {
  const std::size_t before = reports_.size();
  std::int64_t products = 0;
  AdjointProblem counted = problem;
  counted.vjp = [&products, &problem](const Tensor& u) { return ++products, problem.vjp(u); };
  const Tensor u = method(counted, *this);
  if (reports_.size() == before) record(report_of(problem, u, products));
  if (options_.failed_samples == "keep") return u;
  const std::vector<Reason> reasons = reports_.back().reasons;
  const Tensor lost = torch::zeros({static_cast<std::int64_t>(reasons.size()), 1}, torch::kBool);
  for (std::size_t b = 0; b < reasons.size(); ++b) lost.data_ptr<bool>()[b] = failed(reasons[b]);
  if (!lost.any().item<bool>()) return u;
  return instead(problem, u, lost.to(u.device()));
}

Tensor AdjointRunner::instead(const AdjointProblem& problem, const Tensor& u, const Tensor& lost) {
  const std::string& policy = options_.failed_samples;
  if (policy == "abort") {
    const Report& report = reports_.back();
    const auto first = std::find_if(report.reasons.begin(), report.reasons.end(), [this](Reason r) { return failed(r); });
    throw std::runtime_error("the adjoint solve with '" + report.method + "' failed: " + solve::text_of(*first).sentence + "; " + remedy(*first));
  }
  if (policy == "gmres") return by_gmres(problem, u, lost);
  if (policy == "one_step") return torch::where(lost, problem.cotangent, u);
  const Tensor kept = torch::where(lost, torch::zeros_like(u), u);
  if (policy == "zero") return kept;
  const double batch = static_cast<double>(u.size(0)), left = batch - static_cast<double>(lost.sum().item<std::int64_t>());
  return left > 0 ? kept * (batch / left) : kept;  // the mean over the batch becomes that over the samples left
}

/// Samples whose result is no better than none begin at zero.
Tensor AdjointRunner::by_gmres(const AdjointProblem& problem, const Tensor& u, const Tensor& lost) {
  const Tensor found = torch::where(u.isfinite(), u, torch::zeros_like(u));
  auto solution = gmres(products(), problem, found, lost, {solver_.options.tolerance, solver_.options.max_evaluations});
  reports_.push_back(std::move(solution.report));
  return torch::where(lost, solution.u, u);
}

}  // namespace zstar::gradient
