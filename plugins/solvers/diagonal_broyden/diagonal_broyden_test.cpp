#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const FixedPointMap& f, const Tensor& z0, const solve::Options& o, const Settings& settings = {}) {
  const auto solver = make_solver("diagonal_broyden", settings);
  return solve::solve(*solver, "diagonal_broyden", f, State(z0), o);
}

TEST(DiagonalBroyden, OneUnknownIsTheSecantMethod) {  // exact on an affine map at the third evaluation
  for (const double a : {0.9, -3.0, 1.5}) {
    const AffineMap f{torch::full({1, 1}, a, torch::kFloat64), torch::ones({1, 1}, torch::kFloat64)};
    const auto out = run(f.map(), torch::zeros({1, 1}, torch::kFloat64), {.tolerance = 1e-12, .max_evaluations = 3}, {{"smallest", 1e-6}});
    EXPECT_EQ(out.report.reasons[0], Reason::converged) << a;
  }
}

TEST(DiagonalBroyden, LearnsADiagonalThatPlainIterationCannotSolve) {
  const AffineMap f{torch::diag(torch::tensor({-4.0, 0.9, 0.0}, torch::kFloat64)), torch::ones({1, 3}, torch::kFloat64)};
  const auto out = run(f.map(), torch::zeros({1, 3}, torch::kFloat64), {.tolerance = 1e-8, .max_evaluations = 300, .stall_window = 0});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-6);
}

TEST(DiagonalBroyden, TheUpdateIsTheDiagonalOfBroydens) {
  const AffineMap f{matrix_of_norm(5, 0.8, 1), randn({1, 5}, 2)};
  const Tensor z0 = torch::zeros({1, 5}, torch::kFloat64), z1 = f(z0);
  const Tensor s = z1 - z0, y = (f(z1) - z1) - (f(z0) - z0);
  const Tensor jacobian = -torch::eye(5, torch::kFloat64) + (y + s).t().mm(s) / (s * s).sum();
  const auto out = run(f.map(), z0, {.tolerance = 0, .max_evaluations = 3, .select = "last"}, {{"smallest", 1e-9}});
  EXPECT_LT(relative_error(out.z[0], z1 - (f(z1) - z1) / jacobian.diagonal().unsqueeze(0)), 1e-13);
}

}  // namespace
