#include <gtest/gtest.h>

#include "tests/support/parts.hpp"
#include "zstar/residual_window.hpp"

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

TEST(Anderson, ReportsTheGainOfEveryStep) {
  const AffineMap f{matrix_of_norm(8, 0.95, 17), randn({2, 8}, 18)};
  const auto out = run(f.map(), torch::zeros({2, 8}, torch::kFloat64), {.tolerance = 1e-8, .max_evaluations = 60});
  ASSERT_EQ(out.report.statistics.size(), 1u);
  const Tensor gain = out.report.statistics[0].second;
  EXPECT_EQ(out.report.statistics[0].first, "gain");
  EXPECT_EQ(gain.size(0), 2);
  EXPECT_EQ(gain.size(1), out.report.calls - 2);  // none at the first evaluation, none after the last
  EXPECT_TRUE((gain >= 0).all().item<bool>());
  EXPECT_LE(gain.max().item<double>(), 1 + 1e-9);  // α = newest is among the choices
}

TEST(Anderson, EveryWayOfForgettingStillConverges) {
  const AffineMap f{matrix_of_norm(12, 0.9, 19), randn({3, 12}, 20)};
  for (const Settings& settings : {Settings{{"adapt", std::string("damping")}}, Settings{{"adapt", std::string("memory")}}, Settings{{"adapt", std::string("both")}},
                                   Settings{{"restart", std::int64_t{7}}}, Settings{{"delay", std::int64_t{4}}}}) {
    const auto out = run(f.map(), torch::zeros({3, 12}, torch::kFloat64), {.tolerance = 1e-8, .max_evaluations = 200}, settings);
    for (const Reason reason : out.report.reasons) EXPECT_EQ(reason, Reason::converged) << settings[0].name;
    EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-6) << settings[0].name;
  }
}

TEST(Anderson, AHistoryInBfloat16ReachesTheSameToleranceInAFewEvaluationsMore) {
  for (std::uint64_t seed = 200; seed < 205; ++seed) {
    const Tensor a = matrix_of_norm(40, 0.95, seed).to(torch::kFloat32), b = randn({4, 40}, seed + 50).to(torch::kFloat32);
    const FixedPointMap f([a, b](const State& z) { return State(torch::tanh(z[0].mm(a) + b)); });
    for (const double beta : {1.0, 0.8}) {
      const auto calls = [&](const char* history) {
        const auto out = run(f, torch::zeros({4, 40}), {.tolerance = 1e-5, .max_evaluations = 100}, {{"history", std::string(history)}, {"beta", beta}});
        for (const Reason reason : out.report.reasons) EXPECT_EQ(reason, Reason::converged) << history << beta << seed;
        return out.report.calls;
      };
      EXPECT_LE(calls("bfloat16"), calls("state") + 4) << beta << seed;
    }
  }
}

TEST(Anderson, DelayedStepsArePlain) {
  const AffineMap f{matrix_of_norm(5, 0.9, 21), randn({1, 5}, 22)};
  const auto solver = make_solver("anderson", {{"delay", std::int64_t{3}}});
  const auto out = solve::solve(*solver, "anderson", f.map(), State(torch::zeros({1, 5}, torch::kFloat64)), {.tolerance = 0, .max_evaluations = 6}, {1, 2, 3, 4, 5});
  Tensor z = torch::zeros({1, 5}, torch::kFloat64);
  for (std::size_t k = 0; k < 4; ++k) EXPECT_TRUE((z = f(z)).equal(out.samples[k][0])) << k;  // three delayed, and the first of the history
  EXPECT_FALSE(f(z).equal(out.samples[4][0]));
}

TEST(Anderson, WeightsByLoopsAgreeWithTheirPlainForm) {
  ResidualWindow window(solve::local_products(), 5);
  for (int k = 0; k < 8; ++k) {
    window.push(randn({4, 9}, 60 + static_cast<std::uint64_t>(k)), randn({4, 9}, 80 + static_cast<std::uint64_t>(k)));
    if (k == 5) window.forget(torch::tensor({true, false, false, true}));
    EXPECT_LT((window.weights(1e-14, 1e-13) - window.weights_by_aten(1e-14, 1e-13)).abs().max().item<double>(), 1e-9) << k;  // well-conditioned columns
  }
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
