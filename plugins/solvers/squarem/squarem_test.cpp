#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const FixedPointMap& f, const Tensor& z0, const solve::Options& o, const Settings& settings = {}) {
  const auto solver = make_solver("squarem", settings);
  return solve::solve(*solver, "squarem", f, State(z0), o);
}

TEST(Squarem, OneEigenvalueIsSolvedByTheFirstExtrapolation) {  // −α = 1/(1 − λ) in every scheme
  for (const char* scheme : {"first", "second", "third"})
    for (const double eigenvalue : {0.95, 0.5, -0.8}) {
      const AffineMap f{eigenvalue * torch::eye(4, torch::kFloat64), randn({2, 4}, 1)};
      const auto out = run(f.map(), torch::zeros({2, 4}, torch::kFloat64), {.tolerance = 1e-11, .max_evaluations = 3},
                           {{"scheme", std::string(scheme)}, {"longest", 100.0}});
      EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-10) << scheme << eigenvalue;
    }
}

TEST(Squarem, NeedsFarFewerEvaluationsThanPlainIterationOnASlowSpectrum) {
  const Tensor a = torch::diag(torch::linspace(0, 0.98, 30, torch::kFloat64));
  const AffineMap f{a, randn({1, 30}, 2)};
  const solve::Options o{.tolerance = 1e-8, .max_evaluations = 3000, .stall_window = 0};
  const auto fast = run(f.map(), torch::zeros({1, 30}, torch::kFloat64), o);
  const auto picard = make_solver("fixed_point");
  const auto slow = solve::solve(*picard, "fixed_point", f.map(), State(torch::zeros({1, 30}, torch::kFloat64)), o);
  EXPECT_EQ(fast.report.reasons[0], Reason::converged);
  EXPECT_LT(3 * fast.report.calls, slow.report.calls);
}

TEST(Squarem, AStepToWhereTheMapIsNotFiniteIsTakenBack) {
  const FixedPointMap f([](const State& z) {  // contracts to 1 − 0.05; infinite beyond 2
    const Tensor y = 0.95 * z[0] + 0.0475 + 0.004 * (z[0] - 0.95).square();
    return State(torch::where(z[0] > 0.97, torch::full_like(y, INFINITY), y));
  });
  const auto out = run(f, torch::zeros({1, 1}, torch::kFloat64), {.tolerance = 1e-10, .max_evaluations = 400, .stall_window = 0},
                       {{"longest", 1e3}, {"growth", 10.0}});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
}

}  // namespace
