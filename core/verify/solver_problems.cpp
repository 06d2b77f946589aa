/// \file Checks of solvers: problems of known difficulty.
#include <cmath>

#include "core/verify/solver_subject.hpp"

namespace zstar::verify {
namespace {

using testing::AffineMap;

constexpr double tolerance = 1e-9;
const solve::Options ample{.tolerance = tolerance, .max_evaluations = 600};

/// Fails unless every row is as near to the solution as its residual proves: ‖z − z⋆‖ ≤ ‖f(z) − z‖ / (1 − ‖A‖).
void expect_solution(Scope& scope, const AffineMap& f, double norm, const Tensor& z) {
  const Tensor error = (z.to(torch::kFloat64) - f.fixed_point()).norm(2, {1}), residual = residuals_of(f, State(z))[0];
  const double worst = (error - residual / (1 - norm)).max().item<double>();
  scope.note("error", error.max().item<double>());
  scope.expect(worst <= 1e-12 * f.fixed_point().norm().item<double>(), "the state is further from the solution than its residual allows, by " + text(worst));
}

void affine(SolverSubject& s, Scope& scope) {
  const AffineMap f = testing::contraction(3, 8, 0.7, s.seed());
  const auto out = s.solve(f, State(f.zeros()), ample);
  scope.note("evaluations", most_evaluations(out.report));
  expect_converged(scope, out.report, "a contraction of factor 0.7");
  expect_solution(scope, f, 0.7, out.z[0]);
}

void constant(SolverSubject& s, Scope& scope) {
  const AffineMap f = testing::constant(2, 5, s.seed() + 6);
  const auto out = s.solve(f, State(f.zeros()), ample);
  scope.note("evaluations", most_evaluations(out.report));
  expect_converged(scope, out.report, "a map with a zero Jacobian");
  expect_solution(scope, f, 0, out.z[0]);
}

void at_solution(SolverSubject& s, Scope& scope) {
  AffineMap f = testing::contraction(2, 6, 0.7, s.seed() + 1);
  const Tensor z = torch::round(f.b * 64) / 64;  // exact in binary, so that f(z) = z to the last bit below
  f.a = torch::zeros_like(f.a), f.b = z;
  const auto out = s.solve(f, State(z), ample);
  scope.expect(out.report.calls == 1, "started at the solution, it made " + std::to_string(out.report.calls) + " calls of f; one shows it");
  scope.expect(out.z[0].equal(z), "started at the solution, it left it");
}

void one_converged(SolverSubject& s, Scope& scope) {
  AffineMap f = testing::contraction(3, 6, 0.7, s.seed() + 2);
  f.b[1].zero_();  // its solution is 0, exactly
  const Tensor z0 = testing::randn({3, 6}, s.seed() + 3);
  z0[1].zero_();
  const auto out = s.solve(f, State(z0), ample);
  expect_converged(scope, out.report, "a batch with one sample at its solution");
  scope.expect(out.z[0][1].abs().max().item<double>() == 0, "the sample that began at its solution was moved from there");
  expect_solution(scope, f, 0.7, out.z[0]);
}

void rotation(SolverSubject& s, Scope& scope) {
  const AffineMap f = testing::rotation(2, 3, 0.9, 1.5707963267948966, s.seed());
  const auto out = s.solve(f, State(f.zeros()), ample);
  scope.note("evaluations", most_evaluations(out.report));
  scope.note("residual", residuals_of(f, out.z)[0].max().item<double>());
  for (const Reason reason : out.report.reasons) scope.expect(reason != Reason::nonfinite, "iterates of a rotation of radius 0.9 became infinite");
  const double share = (residuals_of(f, out.z)[0] / f.b.norm(2, {1})).max().item<double>();  // ‖f(0) − 0‖ = ‖b‖
  scope.expect(share <= 1e-3, "600 evaluations leave " + text(share) + " of the first residual; plain iteration leaves less than 1e-27");
}

void stiff(SolverSubject& s, Scope& scope) {
  const AffineMap f = testing::stiff(2, 40, 0.99, s.seed() + 1);
  const auto out = s.solve(f, State(f.zeros()), {.tolerance = 1e-8, .max_evaluations = 300});
  scope.note("evaluations", most_evaluations(out.report));
  const Tensor found = residuals_of(f, out.z);
  const double worst = (found[0] / found[1]).max().item<double>();
  scope.note("relative residual", worst);
  const bool accelerates = s.claims<Claims>().accelerates;
  const std::int64_t by_plain_in = accelerates ? 428 : 300;  // 30 % fewer are claimed: 0.7 × 428 = 300
  const auto plain = plain_solver();
  const Tensor left = residuals_of(f, solve::solve(*plain, "plain", f, State(f.zeros()), {.tolerance = 1e-8, .max_evaluations = by_plain_in}).z);
  const double by_plain = (left[0] / left[1]).max().item<double>();
  const std::string asked = accelerates ? "one that claims to accelerate must leave no more than" : "ten times as much is allowed as";
  scope.expect(worst <= (accelerates ? 1 : 10) * by_plain, "300 evaluations on a stiff map leave a relative residual of " + text(worst) + "; " + asked + " plain iteration in " +
                                                               std::to_string(by_plain_in) + ", which leaves " + text(by_plain));  // damping by a half costs it a factor of 5 here
}

void without_solution(SolverSubject& s, Scope& scope, std::uint64_t seed) {
  const AffineMap f = testing::without_solution(2, 4, seed);
  const auto out = s.solve(f, State(f.zeros()), {.tolerance = 1e-6, .max_evaluations = 80, .stop = "absolute"});
  // Where z is so large that z + b rounds to z, the residual is 0 in this arithmetic, and a report may say so.
  const Tensor lost = f(out.z[0]).eq(out.z[0]).all(1);
  for (const Reason reason : out.report.reasons) scope.expect(reason != Reason::nonfinite, "iterates became infinite on a map that is finite everywhere");
  for (std::int64_t b = 0; b < out.report.batch(); ++b)
    scope.expect(out.report.reasons[static_cast<std::size_t>(b)] != Reason::converged || lost[b].item<bool>(), "z + b with b ≠ 0 was reported as solved");
}

/// Several draws: what a solver makes of a change that is rounding alone is another thing at each.
void no_solution(SolverSubject& s, Scope& scope) {
  for (std::uint64_t draw = 0; draw < 8; ++draw) without_solution(s, scope, s.seed() + 5 + 100 * draw);
}

void nonfinite(SolverSubject& s, Scope& scope) {
  const AffineMap f = testing::contraction(3, 6, 0.7, s.seed() + 4);
  for (const std::int64_t call : {1, 2, 5}) {
    const std::string where = "a batch whose sample 1 is NaN from call " + std::to_string(call) + " on";
    const auto out = s.solve(testing::nan_from(f, 1, call), State(f.zeros()), ample);
    scope.expect(out.report.reasons[1] == Reason::nonfinite, where + ": its reason is '" + solve::text_of(out.report.reasons[1]).name + "'");
    for (const std::size_t b : {0u, 2u}) scope.expect(out.report.reasons[b] == Reason::converged, where + ": the others did not converge");
    scope.expect(out.z[0].isfinite().all().item<bool>(), where + ": the state returned is not finite");
    const Tensor well = torch::tensor({0, 2}, torch::kInt64);
    expect_solution(scope, {f.a, f.b.index_select(0, well)}, 0.7, out.z[0].index_select(0, well));
  }
}

void memory_one(SolverSubject& s, Scope& scope) {
  const OptSpec* memory = nullptr;
  for (const OptSpec& o : s.options())
    if (o.name == "memory" && o.type == OptType::integer) memory = &o;
  if (!memory) scope.skip("it has no option 'memory'");
  const auto least = static_cast<std::int64_t>(std::max(1.0, memory->low));
  scope.note("memory", static_cast<double>(least));
  const AffineMap f = testing::contraction(3, 8, 0.7, s.seed() + 7);
  const auto solver = s.solver({{"memory", least}});
  const auto out = s.solve(f, State(f.zeros()), ample, solver.get());
  scope.note("evaluations", most_evaluations(out.report));
  expect_converged(scope, out.report, "a contraction, with the least memory");
  expect_solution(scope, f, 0.7, out.z[0]);
}

void budgets(SolverSubject& s, Scope& scope) {
  const AffineMap f = testing::contraction(2, 6, 0.7, s.seed() + 8);
  const Tensor z0 = testing::randn({2, 6}, s.seed() + 9), first = residuals_of(f, State(z0))[0];
  for (const std::int64_t n : {0, 1, 2, 3}) {
    const auto out = s.solve(f, State(z0), {.tolerance = 1e-12, .max_evaluations = n});
    const std::string where = "with a budget of " + std::to_string(n);
    scope.expect(out.report.calls <= n, where + ", f was called " + std::to_string(out.report.calls) + " times");
    if (n <= 1) scope.expect(out.z[0].equal(z0), where + ", the only state whose residual can be known is z0; another came back");
    const Tensor worse = residuals_of(f, out.z)[0] - first;
    scope.expect(worse.max().item<double>() <= 1e-12, where + ", the state returned is worse than z0");
    for (const Reason reason : out.report.reasons) scope.expect(reason == Reason::budget, where + ", the reason is not 'budget'");
  }
}

void small_shapes(SolverSubject& s, Scope& scope) {
  for (const auto& [batch, n] : {std::pair(1, 6), std::pair(4, 1), std::pair(1, 1)}) {
    const AffineMap f = testing::contraction(batch, n, 0.7, s.seed() + 10);
    const std::string where = std::to_string(batch) + " × " + std::to_string(n);
    const auto out = s.solve(f, State(f.zeros()), ample);
    expect_converged(scope, out.report, "a batch of " + where);
    expect_solution(scope, f, 0.7, out.z[0]);
  }
}

void empty_batch(SolverSubject& s, Scope& scope) {
  const AffineMap f = testing::contraction(1, 6, 0.7, s.seed());
  const auto out = s.solve({[&f](const State& z, const std::vector<Tensor>&) { return State(z[0].mm(f.a.t())); }, {}, true},
                           State(torch::zeros({0, 6}, torch::kFloat64)), ample);
  scope.expect(out.report.calls == 0, "an empty batch needed calls of f");
  scope.expect(out.z[0].sizes() == at::IntArrayRef({0, 6}), "an empty batch came back in another shape");
}

void several_tensors(SolverSubject& s, Scope& scope) {
  testing::TwoStates f{testing::contraction(3, 5, 0.7, s.seed() + 11)};
  expect_converged(scope, s.solve(f, f.zeros(), ample).report, "a state of two float64 tensors");
  f.q_dtype = torch::kFloat32;  // f rounds to float32: residuals below 1e-7 are noise
  const auto mixed = s.solve(f, f.zeros(), {.tolerance = 1e-5, .max_evaluations = 600});
  expect_converged(scope, mixed.report, "a state of a float64 and a float32 tensor");
  scope.expect(mixed.z[1].scalar_type() == torch::kFloat32, "the float32 tensor came back in another dtype");
}

/// f in a dtype of its own, to a tolerance a few times its rounding. Where a CPU has no product in it, f is rounded to it.
void in_dtype(SolverSubject& s, Scope& scope, torch::ScalarType dtype, double attainable) {
  const AffineMap exact = testing::contraction(3, 8, 0.5, s.seed() + 12);
  const FixedPointMap f = dtype == torch::kFloat16 ? testing::rounded(exact, dtype) : exact.to(dtype);
  const auto out = s.solve(f, State(exact.zeros().to(dtype)), {.tolerance = attainable, .max_evaluations = 200});
  for (std::size_t b = 0; b < out.report.reasons.size(); ++b)
    scope.expect(out.report.reasons[b] == Reason::converged || out.report.reasons[b] == Reason::floor,
                 "sample " + std::to_string(b) + " ended as '" + solve::text_of(out.report.reasons[b]).name + "', relative residual " + text(out.report.relative[b]));
  scope.expect(out.z[0].scalar_type() == dtype, "the state came back in another dtype");
  const double error = row_difference(out.z[0].to(torch::kFloat64), exact.fixed_point());
  scope.note("error", error);
  scope.expect(error <= 8 * attainable, "relative error " + text(error) + " of the solution, expected at most " + text(8 * attainable));
}
void float32(SolverSubject& s, Scope& scope) { in_dtype(s, scope, torch::kFloat32, 1e-6); }
void bfloat16(SolverSubject& s, Scope& scope) { in_dtype(s, scope, torch::kBFloat16, 2e-2); }
void float16(SolverSubject& s, Scope& scope) { in_dtype(s, scope, torch::kFloat16, 2.5e-3); }

void scaling(SolverSubject& s, Scope& scope) {
  const AffineMap f = testing::contraction(2, 12, 0.8, s.seed() + 13);
  std::vector<double> needed;
  for (const double scale : {1e-6, 1.0, 1e6}) {
    const AffineMap scaled{f.a, f.b * scale};
    const auto out = s.solve(scaled, State(f.zeros()), {.tolerance = 1e-8, .max_evaluations = 600});
    expect_converged(scope, out.report, "a contraction with states of size " + text(scale));
    needed.push_back(most_evaluations(out.report));
  }
  scope.note("evaluations", needed[1]);
  for (const double n : needed)  // rounding may move the last step
    scope.expect(std::abs(n - needed[1]) <= 2, "states scaled by 1e-6, 1, 1e6 need " + text(needed[0]) + ", " + text(needed[1]) + ", " + text(needed[2]) + " evaluations");
}

}  // namespace

std::vector<Check<SolverSubject>> solver_problem_checks() {
  return {{"affine", "reaches the known solution of a contraction", affine},
          {"constant", "solves a map with a zero Jacobian", constant},
          {"at_solution", "leaves a solution where it is", at_solution},
          {"one_converged", "leaves a sample alone that has converged already", one_converged},
          {"rotation", "makes progress on a rotation of radius 0.9", rotation},
          {"stiff", "on a stiff map, at most ten times the residual of plain iteration; that of 428 evaluations for 300 where acceleration is claimed", stiff},
          {"no_solution", "does not report a solution where there is none", no_solution},
          {"nonfinite", "a sample that turns NaN keeps its last finite state, and the others converge", nonfinite},
          {"memory_one", "converges with the least memory", memory_one},
          {"budgets", "keeps to budgets of 0 to 3 evaluations and returns the best state", budgets},
          {"small_shapes", "one sample, one unknown", small_shapes},
          {"empty_batch", "an empty batch", empty_batch},
          {"several_tensors", "states of several tensors, shapes and dtypes", several_tensors},
          {"float32", "float32 states", float32},
          {"bfloat16", "bfloat16 states", bfloat16},
          {"float16", "float16 states", float16},
          {"scaling", "is indifferent to the unit of the state", scaling}};
}

}  // namespace zstar::verify
