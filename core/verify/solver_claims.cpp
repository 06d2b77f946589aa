/// \file Checks of solvers: what they claim, proven or measured.
#include "core/verify/solver_subject.hpp"

namespace zstar::verify {
namespace {

using testing::AffineMap;

void accelerates(SolverSubject& s, Scope& scope) {
  const AffineMap f = testing::stiff(2, 40, 0.99, s.seed() + 40);
  const solve::Options o{.tolerance = 1e-6, .max_evaluations = 2000, .stall_window = 0};
  const auto plain = plain_solver();
  const double needed = most_evaluations(s.solve(f, State(f.zeros()), o).report);
  const double share = needed / most_evaluations(solve::solve(*plain, "plain", f, State(f.zeros()), o).report);
  scope.note("evaluations", needed);
  scope.note("share of plain iteration", share);
  if (!s.claims<Claims>().accelerates) scope.skip("it does not claim to accelerate; measured: " + text(100 * share) + " % of plain iteration");
  scope.expect(share <= 0.7, "it claims to accelerate, and needs " + text(100 * share) + " % of the evaluations of plain iteration on a stiff map");
}

void expansive(SolverSubject& s, Scope& scope) {
  const bool claimed = s.claims<Claims>().expansive;
  const solve::Options o{.tolerance = 1e-8, .max_evaluations = 200};
  bool solved = true;
  for (const auto& [where, f] : {std::pair("an expansive map", testing::expansive(2, 8, 3.0, s.seed() + 41)),
                                 std::pair("a rotation of radius 1.5", testing::rotation(2, 3, 1.5, 1.5707963267948966, s.seed() + 42))}) {
    const auto out = s.solve(f, State(f.zeros()), o);
    scope.note(std::string("evaluations on ") + where, most_evaluations(out.report));
    if (claimed) expect_converged(scope, out.report, where);
    for (const Reason reason : out.report.reasons) solved = solved && reason == Reason::converged;
  }
  if (!claimed) scope.skip(std::string("it does not claim to solve expansive maps; measured: ") + (solved ? "it does" : "it does not"));
}

/// The solver after `count` proposals on f, with the last changes of z and of g = f(z) − z.
struct Stepped {
  std::unique_ptr<Solver> solver;
  InverseJacobian* estimate = nullptr;
  Tensor dz, dg;

  Stepped(SolverSubject& s, const AffineMap& f, int count) : solver(s.solver()), estimate(query<InverseJacobian>(*solver)) {
    if (!estimate || query<Driver>(*solver)) return;
    const torch::NoGradGuard no_grad;
    solver->begin(f.batch(), f.width());
    Tensor z = f.zeros(), before, g_before;
    for (int k = 0; k < count; ++k) {
      const Tensor fz = f(z), g = fz - z;
      if (k > 0) dz = z - before, dg = g - g_before;
      before = z, g_before = g;
      z = solver->propose(z, fz).contiguous();
    }
  }
};

void secant(SolverSubject& s, Scope& scope) {
  const bool claimed = s.claims<Claims>().secant;
  const Stepped t(s, testing::contraction(3, 8, 0.8, s.seed() + 43), 6);
  if (!t.dz.defined()) {
    scope.expect(!claimed, "it claims the secant equation, and exports no estimate of (J − I)⁻¹");
    scope.skip("it exports no estimate of (J − I)⁻¹");
  }
  const double error = row_difference(t.estimate->apply(t.dg), t.dz);
  scope.note("error", error);
  if (!claimed) scope.skip("it does not claim the secant equation; measured: relative error " + text(error));
  scope.expect(error <= 1e-8, "H Δg differs from Δz by " + text(error));  // float64, and six updates of condition below 1e6
}

void transpose(SolverSubject& s, Scope& scope) {
  const Stepped t(s, testing::contraction(3, 8, 0.8, s.seed() + 44), 6);
  if (!t.dz.defined()) scope.skip("it exports no estimate of (J − I)⁻¹");
  const Tensor v = testing::randn({3, 8}, s.seed() + 45), w = testing::randn({3, 8}, s.seed() + 46);
  const Tensor hv = t.estimate->apply(v), hw = t.estimate->apply_transpose(w);
  const double error = ((hv * w).sum(1) - (v * hw).sum(1)).abs().max().item<double>() / (hv.norm() * w.norm()).item<double>();
  scope.note("error", error);
  scope.expect(error <= 1e-9, "⟨H v, w⟩ and ⟨v, Hᵀ w⟩ differ by " + text(error));
  scope.expect(!hv.requires_grad() && !hw.requires_grad(), "the estimate is on an autograd graph");
}

}  // namespace

std::vector<Check<SolverSubject>> solver_claim_checks() {
  return {{"accelerates", "claimed: at most 70 % of the evaluations of plain iteration on a stiff map", accelerates},
          {"expansive", "claimed: solves an expansive map and a rotation of radius 1.5", expansive},
          {"secant", "claimed: H maps the last change of g to the last change of z", secant},
          {"transpose", "H and Hᵀ of an exported estimate belong together", transpose}};
}

}  // namespace zstar::verify
