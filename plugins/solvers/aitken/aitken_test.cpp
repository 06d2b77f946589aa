#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const FixedPointMap& f, const Tensor& z0, const solve::Options& o, const Settings& settings = {}) {
  const auto solver = make_solver("aitken", settings);
  return solve::solve(*solver, "aitken", f, State(z0), o);
}

TEST(Aitken, OneEigenvalueIsSolvedByTheSecondStep) {  // ω = 1/(1 − λ) is exact
  for (const double eigenvalue : {0.9, 0.5, -0.8, -4.0}) {
    const AffineMap f{eigenvalue * torch::eye(5, torch::kFloat64), randn({2, 5}, 1)};
    const auto out = run(f.map(), torch::zeros({2, 5}, torch::kFloat64), {.tolerance = 1e-12, .max_evaluations = 3, .divergence = 1e6});
    EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-11) << eigenvalue;  // rounding of two differences
  }
}

TEST(Aitken, OneUnknownIsTheSecantMethod) {
  const FixedPointMap f([](const State& z) { return State(z[0].cos()); });
  const auto out = run(f, torch::zeros({1, 1}, torch::kFloat64), {.tolerance = 1e-13, .max_evaluations = 12, .select = "last"});
  double x0 = 0, x1 = 1, g0 = std::cos(x0) - x0;  // secant steps on cos x − x from 0 and cos 0
  for (std::int64_t k = 2; k < out.report.calls; ++k) {
    const double g1 = std::cos(x1) - x1, x2 = x1 - g1 * (x1 - x0) / (g1 - g0);
    x0 = x1, g0 = g1, x1 = x2;
  }
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_LE(out.report.calls, 9);
  EXPECT_NEAR(out.z[0].item<double>(), x1, 1e-14);
}

TEST(Aitken, RotationsThatExpandAreSolvedWhereWithoutRelaxationTheyAreNot) {
  const AffineMap f{torch::tensor({{-1.5, -0.5}, {0.5, -1.5}}, torch::kFloat64), torch::ones({1, 2}, torch::kFloat64)};
  const auto out = run(f.map(), torch::zeros({1, 2}, torch::kFloat64), {.tolerance = 1e-9, .max_evaluations = 60});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-8);
}

TEST(Aitken, BoundsThatCrossAreRefused) {
  EXPECT_ANY_THROW(make_solver("aitken", {{"smallest", 2.0}, {"largest", 1.0}}));
}

}  // namespace
