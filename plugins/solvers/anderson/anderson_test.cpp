#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const FixedPointMap& f, const Tensor& z0, const solve::Options& o, const Settings& settings = {}) {
  const auto solver = make_solver("anderson", settings);
  return solve::solve(*solver, "anderson", f, State(z0), o);
}

TEST(Anderson, SolvesAnAffineMapInDimensionPlusOneSteps) {  // Walker & Ni 2011, equivalence with GMRES
  const AffineMap f{matrix_of_norm(6, 0.99, 1), randn({3, 6}, 2)};

  const auto out = run(f.map(), torch::zeros({3, 6}, torch::kFloat64), {.tolerance = 0, .max_evaluations = 9}, {{"memory", std::int64_t{7}}});

  EXPECT_LT((out.z[0] - f.fixed_point()).abs().max().item<double>(), 1e-8);  // conditioning of the last columns
}

TEST(Anderson, E7MemoryOneIsOneSecant) {
  const FixedPointMap f([](const State& z) { return State(z[0].cos()); });
  const auto out = run(f, torch::zeros({4, 1}, torch::kFloat64), {.tolerance = 1e-12}, {{"memory", std::int64_t{1}}});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_LE(out.report.calls, 12);
}

TEST(Anderson, E8IsInvariantUnderScalingAndBeatsPlainIteration) {
  const AffineMap f{matrix_of_norm(20, 0.8, 3), randn({1, 20}, 4)};
  const solve::Options o{.tolerance = 1e-9, .max_evaluations = 200};
  const auto picard = make_solver("fixed_point");
  const auto plain = solve::solve(*picard, "fixed_point", f.map(), State(torch::zeros({1, 20}, torch::kFloat64)), o);
  std::vector<std::int64_t> calls;
  for (const double s : {1.0, 1e-6, 1e6}) {
    const AffineMap scaled{f.a, f.b * s};
    const auto out = run(scaled.map(), torch::zeros({1, 20}, torch::kFloat64), o);
    EXPECT_EQ(out.report.reasons[0], Reason::converged);
    calls.push_back(out.report.calls);
  }
  EXPECT_EQ(calls[0], calls[1]);
  EXPECT_EQ(calls[0], calls[2]);
  EXPECT_LE(calls[0], plain.report.calls);
}

TEST(Anderson, E9AConvergedSampleStaysWhereItIs) {
  const AffineMap f{matrix_of_norm(5, 0.9, 5), randn({2, 5}, 6)};
  Tensor z0 = torch::zeros({2, 5}, torch::kFloat64);
  z0[0] = f.fixed_point()[0];

  const auto out = run(f.map(), z0, {.tolerance = 1e-10, .max_evaluations = 60});

  EXPECT_EQ(out.report.evaluations[0], 1);
  EXPECT_TRUE(out.z[0][0].equal(z0[0]));
  EXPECT_EQ(out.report.reasons[1], Reason::converged);
}

TEST(Anderson, SamplesAreSolvedAsIfTheyWereAlone) {
  const AffineMap f{matrix_of_norm(8, 0.95, 7), randn({3, 8}, 8)};
  const solve::Options o{.tolerance = 1e-8, .max_evaluations = 60};
  for (const char* finished : {"mask", "compact"}) {
    solve::Options own = o;
    own.finished = finished;
    const auto all = run(f.map(), torch::zeros({3, 8}, torch::kFloat64), own);
    for (std::int64_t b = 0; b < 3; ++b) {
      const AffineMap one{f.a, f.b.narrow(0, b, 1)};
      const auto alone = run(one.map(), torch::zeros({1, 8}, torch::kFloat64), own);
      EXPECT_LT((alone.z[0][0] - all.z[0][b]).abs().max().item<double>(), 1e-12) << finished;
      EXPECT_EQ(alone.report.evaluations[0], all.report.evaluations[static_cast<std::size_t>(b)]) << finished;
    }
  }
}

}  // namespace
