#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const FixedPointMap& f, const Tensor& z0, const solve::Options& o, const Settings& settings = {}) {
  const auto solver = make_solver("klement", settings);
  return solve::solve(*solver, "klement", f, State(z0), o);
}

TEST(Klement, SolvesUnknownsOfAllKindsAtOnce) {  // independent affine equations: exact once each secant is learnt
  const AffineMap f{torch::diag(torch::tensor({-4.0, 0.85, 0.0, 1.5, -0.3}, torch::kFloat64)), torch::ones({1, 5}, torch::kFloat64)};
  const auto out = run(f.map(), torch::zeros({1, 5}, torch::kFloat64), {.tolerance = 1e-12, .max_evaluations = 12}, {{"change", 100.0}, {"growth", 100.0}});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_LE(out.report.calls, 4);
  EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-11);
}

TEST(Klement, ConvergesSuperlinearlyOnElementwiseMaps) {
  const FixedPointMap f([](const State& z) { return State(1.5 * z[0].cos() - 0.3 * z[0]); });
  const auto out = run(f, torch::linspace(-0.5, 1.5, 7, torch::kFloat64).unsqueeze(0), {.tolerance = 1e-13, .max_evaluations = 25});
  EXPECT_TRUE(out.report.reasons[0] == Reason::converged || out.report.reasons[0] == Reason::floor);
  EXPECT_LT(out.report.residual[0], 1e-12);
}

TEST(Klement, GivesUpNothingThatPlainIterationSolves) {
  const AffineMap f{matrix_of_norm(8, 0.5, 3), randn({2, 8}, 4)};
  const auto out = run(f.map(), torch::zeros({2, 8}, torch::kFloat64), {.tolerance = 1e-8, .max_evaluations = 100});
  for (const Reason reason : out.report.reasons) EXPECT_EQ(reason, Reason::converged);
}

}  // namespace
