#include <gtest/gtest.h>

#include "tests/support/solving.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

TEST(DiagonalBroyden, OneUnknownIsTheSecantMethod) {  // exact on an affine map at the third evaluation
  for (const double a : {0.9, -3.0, 1.5}) {
    const AffineMap f{torch::full({1, 1}, a, torch::kFloat64), torch::ones({1, 1}, torch::kFloat64)};
    const auto out = run("diagonal_broyden", f.map(), torch::zeros({1, 1}, torch::kFloat64), {.tolerance = 1e-12, .max_evaluations = 3}, {{"smallest", 1e-6}});
    EXPECT_EQ(out.report.reasons[0], Reason::converged) << a;
  }
}

TEST(DiagonalBroyden, LearnsADiagonalThatPlainIterationCannotSolve) {
  const AffineMap f{torch::diag(torch::tensor({-4.0, 0.9, 0.0}, torch::kFloat64)), torch::ones({1, 3}, torch::kFloat64)};
  const auto out = run("diagonal_broyden", f.map(), torch::zeros({1, 3}, torch::kFloat64), {.tolerance = 1e-8, .max_evaluations = 300, .stall_window = 0});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-6);
}

TEST(DiagonalBroyden, TheUpdateIsTheDiagonalOfBroydens) {
  const AffineMap f{matrix_of_norm(5, 0.8, 1), randn({1, 5}, 2)};
  const Tensor z0 = torch::zeros({1, 5}, torch::kFloat64), z1 = f(z0);
  const Tensor s = z1 - z0, y = (f(z1) - z1) - (f(z0) - z0);
  const Tensor jacobian = -torch::eye(5, torch::kFloat64) + (y + s).t().mm(s) / (s * s).sum();
  const auto out = run("diagonal_broyden", f.map(), z0, {.tolerance = 0, .max_evaluations = 3, .select = "last"}, {{"smallest", 1e-9}});
  EXPECT_LT(relative_error(out.z[0], z1 - (f(z1) - z1) / jacobian.diagonal().unsqueeze(0)), 1e-13);
}

TEST(DiagonalBroyden, ExportsItsDiagonalAsInverseJacobian) {  // one unknown a sample: the secant is the Jacobian
  const Tensor a = torch::tensor({{0.9}, {-3.0}, {1.5}}, torch::kFloat64), v = randn({3, 1}, 5);
  const FixedPointMap f([a](const State& z) { return State(a * z[0] + 1); });
  const auto solver = make_solver("diagonal_broyden", {{"smallest", 0.2}, {"growth", 100.0}});
  auto* estimate = query<InverseJacobian>(*solver);
  ASSERT_NE(estimate, nullptr);
  solver->begin(3, 1);
  EXPECT_TRUE(estimate->apply(v).equal(-v));  // nothing is known
  solve::solve(*solver, "diagonal_broyden", f, State(torch::zeros({3, 1}, torch::kFloat64)), {.tolerance = 0, .max_evaluations = 3, .select = "last", .stall_window = 0});
  const Tensor want = v / torch::tensor({{-0.2}, {-4.0}, {0.5}}, torch::kFloat64);  // −0.1 is below `smallest`
  EXPECT_LT(relative_error(estimate->apply(v), want), 1e-12);
  EXPECT_LT(relative_error(estimate->apply_transpose(v), want), 1e-12);
}

TEST(Klement, SolvesUnknownsOfAllKindsAtOnce) {  // independent affine equations: exact once each secant is learnt
  const AffineMap f{torch::diag(torch::tensor({-4.0, 0.85, 0.0, 1.5, -0.3}, torch::kFloat64)), torch::ones({1, 5}, torch::kFloat64)};
  const auto out = run("klement", f.map(), torch::zeros({1, 5}, torch::kFloat64), {.tolerance = 1e-12, .max_evaluations = 12}, {{"change", 100.0}, {"growth", 100.0}});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_LE(out.report.calls, 4);
  EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-11);
}

TEST(Klement, ConvergesSuperlinearlyOnElementwiseMaps) {
  const FixedPointMap f([](const State& z) { return State(1.5 * z[0].cos() - 0.3 * z[0]); });
  const auto out = run("klement", f, torch::linspace(-0.5, 1.5, 7, torch::kFloat64).unsqueeze(0), {.tolerance = 1e-13, .max_evaluations = 25});
  EXPECT_TRUE(out.report.reasons[0] == Reason::converged || out.report.reasons[0] == Reason::floor);
  EXPECT_LT(out.report.residual[0], 1e-12);
}

TEST(Klement, GivesUpNothingThatPlainIterationSolves) {
  const AffineMap f{matrix_of_norm(8, 0.5, 3), randn({2, 8}, 4)};
  const auto out = run("klement", f.map(), torch::zeros({2, 8}, torch::kFloat64), {.tolerance = 1e-8, .max_evaluations = 100});
  for (const Reason reason : out.report.reasons) EXPECT_EQ(reason, Reason::converged);
}

TEST(Klement, ExportsItsDiagonalAsInverseJacobian) {  // an elementwise affine map: the secants are the Jacobian
  const Tensor a = torch::tensor({{-4.0, 0.85, 0.0, 1.5, -0.3}, {0.5, -0.5, 0.25, 0.0, 0.75}}, torch::kFloat64);
  const FixedPointMap f([a](const State& z) { return State(a * z[0] + 1); });
  const auto solver = make_solver("klement", {{"change", 100.0}, {"growth", 100.0}});
  auto* estimate = query<InverseJacobian>(*solver);
  ASSERT_NE(estimate, nullptr);
  const Tensor v = randn({2, 5}, 5);
  solver->begin(2, 5);
  EXPECT_TRUE(estimate->apply(v).equal(-v));  // nothing is known
  solve::solve(*solver, "klement", f, State(torch::zeros({2, 5}, torch::kFloat64)), {.tolerance = 0, .max_evaluations = 3, .stall_window = 0});
  EXPECT_LT(relative_error(estimate->apply(v), v / (a - 1)), 1e-12);
  EXPECT_LT(relative_error(estimate->apply_transpose(v), v / (a - 1)), 1e-12);
}

}  // namespace
