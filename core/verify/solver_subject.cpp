#include "core/verify/solver_subject.hpp"

#include <algorithm>
#include <cmath>

#include "core/solve/packing.hpp"

namespace zstar::verify {
namespace {

Tensor rows_of(const State& z) { return solve::Packing(z).pack(z).detach(); }

/// What f was given and what it returned, with copies: a solver owns neither.
struct Watch {
  std::vector<std::pair<Tensor, Tensor>> seen;  // tensor, its value then
  bool graph = false;

  void look(const State& state) {
    for (const Tensor& t : state) {
      graph = graph || t.requires_grad();
      if (seen.size() < 64) seen.emplace_back(t, t.detach().clone());
    }
  }
  bool changed() const {
    for (const auto& [now, then] : seen)
      if (!torch::isclose(now.detach(), then, 0.0, 0.0, /*equal_nan=*/true).all().item<bool>()) return true;
    return false;
  }
};

/// f under watch. The result cannot be restricted to rows.
FixedPointMap watched(const FixedPointMap& f, const std::shared_ptr<Watch>& watch) {
  return {[f, watch](const State& z) {
    watch->look(z);
    State y = f(z);
    watch->look(y);
    return y;
  }};
}

}  // namespace

Tensor residuals_of(const FixedPointMap& f, const State& z) {
  const torch::NoGradGuard no_grad;
  const Tensor y = rows_of(f(z)).to(torch::kFloat64), x = rows_of(z).to(torch::kFloat64);
  return torch::stack({(y - x).norm(2, {1}), y.norm(2, {1})});
}

double row_difference(const Tensor& a, const Tensor& b) {
  if (a.sizes() != b.sizes()) return INFINITY;
  if (a.numel() == 0) return 0;
  const Tensor difference = (a - b).flatten(1).norm(2, {1}) / b.flatten(1).norm(2, {1}).clamp_min(1e-300);
  return difference.nan_to_num(INFINITY).max().item<double>();
}

double most_evaluations(const Report& report) {
  return static_cast<double>(*std::max_element(report.evaluations.begin(), report.evaluations.end()));
}

void expect_converged(Scope& scope, const Report& report, const std::string& where) {
  for (std::size_t b = 0; b < report.reasons.size(); ++b)
    if (report.reasons[b] != Reason::converged)
      scope.fail("sample " + std::to_string(b) + " of " + where + " ended as '" + solve::text_of(report.reasons[b]).name + "' after " +
                 std::to_string(report.evaluations[b]) + " evaluations, relative residual " + text(report.relative[b]));
}

solve::Outcome SolverSubject::solve(const FixedPointMap& f, const State& z0, const solve::Options& options, Solver* with,
                                    const std::vector<std::int64_t>& sample_at) {
  const auto watch = std::make_shared<Watch>();
  std::vector<Tensor> before;
  for (const Tensor& t : z0) before.push_back(t.clone());
  const auto fresh = with ? nullptr : solver();
  solve::Outcome out = solve::solve(with ? *with : *fresh, name(), options.finished == "compact" ? f : watched(f, watch), z0, options, sample_at);
  for (std::size_t i = 0; i < before.size(); ++i)
    if (!before[i].equal(z0[i])) note(Law::untouched, "tensor " + std::to_string(i) + " of z0 was modified");
  if (watch->changed()) note(Law::untouched, "an iterate, or what f returned for it, was modified afterwards");
  if (watch->graph) note(Law::no_graph, "f was given an iterate that requires gradients, or returned one on a graph");
  judge(f, z0, options, out);
  return out;
}

void SolverSubject::judge(const FixedPointMap& f, const State& z0, const solve::Options& options, const solve::Outcome& out) {
  const Report& r = out.report;
  if (r.calls > options.max_evaluations)
    note(Law::budget, std::to_string(r.calls) + " calls of f were made, " + std::to_string(options.max_evaluations) + " were allowed");
  for (std::size_t i = 0; i < out.z.size(); ++i) {
    if (out.z[i].requires_grad()) note(Law::no_graph, "the state that was returned requires gradients");
    if (out.z[i].sizes() != z0[i].sizes() || out.z[i].scalar_type() != z0[i].scalar_type())
      note(Law::untouched, "tensor " + std::to_string(i) + " came back in another shape or dtype");
    if (!out.z[i].isfinite().all().item<bool>()) note(Law::finite, "the state that was returned is not finite");
  }
  if (r.calls == 0 || options.max_evaluations == 0) return;
  const Tensor found = residuals_of(f, out.z);
  const double epsilon = solve::Packing(z0).epsilon();
  for (std::int64_t b = 0; b < r.batch(); ++b) {
    const double said = r.residual[static_cast<std::size_t>(b)], is = found[0][b].item<double>(), size = found[1][b].item<double>();
    if (std::isnan(said) || std::isnan(is)) continue;  // f is not finite there: nothing is said of it
    if (std::abs(said - is) > 1e-6 * is + 16 * epsilon * size)  // one is rounded in the dtype of the state, the other summed in float64
      note(Law::honest, "the report says ‖f(z) − z‖ = " + text(said) + " of the state returned, it is " + text(is));
  }
}

Tensor SolverSubject::iterate(const FixedPointMap& f, const Tensor& z0, std::int64_t steps, Solver* with) const {
  const auto fresh = with ? nullptr : solver();
  const solve::Options unstopped{.tolerance = 0, .max_evaluations = steps + 1, .select = "last", .stall_window = 0, .divergence = 1e300};
  return solve::solve(with ? *with : *fresh, name(), f, State(z0), unstopped, {steps}).samples.front()[0];
}

const std::vector<Check<SolverSubject>>& solver_checks() {
  static const std::vector<Check<SolverSubject>> all = [] {
    std::vector<Check<SolverSubject>> checks = solver_problem_checks();
    for (const auto& more : {solver_claim_checks(), solver_contract_checks()}) checks.insert(checks.end(), more.begin(), more.end());
    return checks;
  }();
  return all;
}

}  // namespace zstar::verify
