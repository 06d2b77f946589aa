#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const std::string& name, const FixedPointMap& f, const Tensor& z0, const solve::Options& o, const Settings& settings) {
  const auto solver = make_solver(name, settings);
  return solve::solve(*solver, name, f, State(z0), o);
}

TEST(Pulay, PeriodOneIsAndersonAcceleration) {
  const AffineMap f{matrix_of_norm(8, 0.9, 1), randn({2, 8}, 2)};
  const solve::Options o{.tolerance = 0, .max_evaluations = 7, .select = "last"};
  const Tensor z0 = torch::zeros({2, 8}, torch::kFloat64);
  const auto pulay = run("pulay", f.map(), z0, o, {{"period", std::int64_t{1}}, {"memory", std::int64_t{4}}});
  const auto anderson = run("anderson", f.map(), z0, o, {{"memory", std::int64_t{4}}});
  EXPECT_LT(relative_error(pulay.z[0], anderson.z[0]), 1e-10);
}

TEST(Pulay, StepsBetweenAreDampedOnes) {
  const AffineMap f{matrix_of_norm(6, 0.9, 3), randn({1, 6}, 4)};
  const auto out = run("pulay", f.map(), torch::zeros({1, 6}, torch::kFloat64), {.tolerance = 0, .max_evaluations = 4, .select = "last"},
                       {{"period", std::int64_t{4}}, {"beta", 0.5}});
  Tensor z = torch::zeros({1, 6}, torch::kFloat64);
  for (int k = 0; k < 3; ++k) z = 0.5 * (z + f(z));
  EXPECT_LT(relative_error(out.z[0], z), 1e-14);
}

TEST(Pulay, SolvesAnExpansiveMapThatItsPlainStepsDoNot) {
  const AffineMap f{torch::diag(torch::tensor({-1.6, -1.3, 0.2, 0.5}, torch::kFloat64)), randn({1, 4}, 5)};
  const auto out = run("pulay", f.map(), torch::zeros({1, 4}, torch::kFloat64), {.tolerance = 1e-9, .max_evaluations = 60}, {});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
}

}  // namespace
