#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const std::string& name, const FixedPointMap& f, std::int64_t batch, std::int64_t width, const Settings& settings = {}) {
  const auto solver = make_solver(name, settings);
  return solve::solve(*solver, name, f, State(torch::zeros({batch, width}, torch::kFloat64)), {.tolerance = 1e-10, .max_evaluations = 400, .stall_window = 0});
}

TEST(Kinsol, EveryMethodFindsTheFixedPoint) {
  const AffineMap f{matrix_of_norm(12, 0.8, 91), randn({2, 12}, 92)};
  for (const char* method : {"anderson", "picard", "newton_krylov"}) {
    const auto out = run("kinsol", f.map(), 2, 12, {{"method", std::string(method)}, {"memory", std::int64_t{8}}});
    for (const Reason reason : out.report.reasons) EXPECT_EQ(reason, Reason::converged) << method;
    EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-8) << method;
  }
}

TEST(Kinsol, AgreesWithOurAndersonOnATanhLayer) {
  const Tensor a = matrix_of_norm(20, 0.95, 93), c = randn({1, 20}, 94);
  const FixedPointMap f([a, c](const State& z) { return State(torch::tanh(z[0].mm(a) + c)); });
  const auto theirs = run("kinsol", f, 1, 20), ours = run("anderson", f, 1, 20);
  EXPECT_LT(relative_error(ours.z[0], theirs.z[0]), 1e-8);
  EXPECT_LE(std::abs(ours.report.calls - theirs.report.calls), 3);  // one method, two ways to solve its small problem
}

TEST(Kinsol, KeepsToItsBudget) {
  const AffineMap f{matrix_of_norm(6, 0.99, 95), randn({1, 6}, 96)};
  const auto solver = make_solver("kinsol");
  const auto out = solve::solve(*solver, "kinsol", f.map(), State(torch::zeros({1, 6}, torch::kFloat64)), {.tolerance = 1e-14, .max_evaluations = 5});
  EXPECT_EQ(out.report.calls, 5);
}

}  // namespace
