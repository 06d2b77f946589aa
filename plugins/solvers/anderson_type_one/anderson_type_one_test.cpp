#include <gtest/gtest.h>

#include "tests/support/solving.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

TEST(AndersonTypeOne, WithOnePairIsBroydensGoodMethodWithOnePair) {
  const AffineMap f{matrix_of_norm(6, 0.8, 1), randn({2, 6}, 2)};
  const Tensor z0 = torch::zeros({2, 6}, torch::kFloat64);
  const solve::Options o{.tolerance = 0, .max_evaluations = 3, .select = "last"};
  const auto one = run("anderson_type_one", f.map(), z0, o, {{"memory", std::int64_t{1}}});
  const auto broyden = run("broyden", f.map(), z0, o, {{"memory", std::int64_t{5}}});
  EXPECT_LT(relative_error(one.z[0], broyden.z[0]), 1e-12);
}

TEST(AndersonTypeOne, SolvesAnAffineMapInDimensionPlusTwoSteps) {  // full orthogonalisation method, Fang & Saad
  const AffineMap f{matrix_of_norm(6, 0.9, 3), randn({3, 6}, 4)};
  const auto out = run("anderson_type_one", f.map(), torch::zeros({3, 6}, torch::kFloat64), {.tolerance = 0, .max_evaluations = 9},
                       {{"memory", std::int64_t{7}}, {"growth", 1e3}, {"condition", 1e14}});
  EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-6);
}

TEST(AndersonTypeOne, TheSafeguardConvergesWhereTheAcceleratedStepIsNotDefined) {  // a rotation: SᵀY may vanish
  const AffineMap f{torch::tensor({{0.0, -0.9}, {0.9, 0.0}}, torch::kFloat64), torch::ones({1, 2}, torch::kFloat64)};
  const auto out = run("anderson_type_one", f.map(), torch::zeros({1, 2}, torch::kFloat64), {.tolerance = 1e-8, .max_evaluations = 200});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
}

TEST(AndersonTypeOne, ATightSafeguardMakesDampedStepsOnly) {
  const AffineMap f{matrix_of_norm(6, 0.9, 5), randn({1, 6}, 6)};
  const auto out = run("anderson_type_one", f.map(), torch::zeros({1, 6}, torch::kFloat64), {.tolerance = 0, .max_evaluations = 5, .select = "last"},
                       {{"safeguard", 1e-9}, {"beta", 0.25}});
  Tensor z = f(torch::zeros({1, 6}, torch::kFloat64));
  for (int k = 0; k < 3; ++k) z = 0.75 * z + 0.25 * f(z);
  EXPECT_LT(relative_error(out.z[0], z), 1e-14);
}

}  // namespace
