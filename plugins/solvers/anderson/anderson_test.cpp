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
  std::vector<double> errors;
  for (const double s : {1.0, 1e-6, 1e6}) {
    const AffineMap scaled{f.a, f.b * s};
    const auto out = run(scaled.map(), torch::zeros({1, 20}, torch::kFloat64), o);
    EXPECT_EQ(out.report.reasons[0], Reason::converged);
    calls.push_back(out.report.calls);
    errors.push_back(relative_error(out.z[0], scaled.fixed_point()));
  }
  EXPECT_EQ(calls[0], calls[1]);
  EXPECT_EQ(calls[0], calls[2]);
  EXPECT_LE(calls[0], plain.report.calls);
  EXPECT_LT(errors[0], 5e-9);  // ‖z − z⋆‖ ≤ 1e-9 ‖f(z)‖ / (1 − 0.8)
  for (const double error : errors) EXPECT_NEAR(error / errors[0], 1, 1e-2);  // what rounding of another scale moves
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

TEST(Anderson, E9WithoutARidgeDependentColumnsAreDroppedAndAConvergedSampleStays) {
  const Tensor u = randn({5, 1}, 7) / randn({5, 1}, 7).norm();
  const AffineMap f{0.9 * u.mm(u.t()), torch::cat({randn({1, 5}, 8), torch::zeros({1, 5}, torch::kFloat64)})};  // rank 1: the second difference depends on the first
  const Tensor z0 = torch::cat({randn({1, 5}, 9), torch::zeros({1, 5}, torch::kFloat64)});  // sample 1 at its solution: its differences are 0
  const auto solver = make_solver("anderson", {{"lambda", 0.0}});
  const auto out = solve::solve(*solver, "anderson", f.map(), State(z0), {.tolerance = 0, .max_evaluations = 30, .stall_window = 0, .floor = false});
  EXPECT_LT(relative_error(out.z[0][0], f.fixed_point()[0]), 1e-13);
  EXPECT_EQ(out.report.reasons[1], Reason::converged);
  EXPECT_TRUE(out.z[0][1].equal(z0[1]));
  EXPECT_TRUE(out.z[0].isfinite().all().item<bool>());
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

/// Iterates 1 … count from 0, and the gains of the steps.
std::pair<std::vector<Tensor>, Tensor> course(const AffineMap& f, std::int64_t count, const Settings& settings) {
  std::vector<std::int64_t> at;
  for (std::int64_t k = 1; k <= count; ++k) at.push_back(k);
  const auto solver = make_solver("anderson", settings);
  const auto out = solve::solve(*solver, "anderson", f.map(), State(f.zeros()), {.tolerance = 0, .max_evaluations = count + 1, .select = "last", .stall_window = 0}, at);
  std::vector<Tensor> all;
  for (const State& z : out.samples) all.push_back(z[0]);
  return {all, out.report.statistics.at(0).second};
}

TEST(Anderson, Y35TheMixingThatIsAskedForIsThatOfTheSteps) {
  const AffineMap f{matrix_of_norm(6, 0.9, 7), randn({2, 6}, 8)};
  for (const double beta : {1.0, 0.4}) {
    const Tensor z1 = course(f, 1, {{"beta", beta}}).first[0];
    EXPECT_LT(relative_error(z1, beta * f(f.zeros())), 1e-14) << "from zero: (1 − β) 0 + β f(0)";
  }
}

/// Budgets too small for mixing, of a call or of a slice: nothing is returned that was not evaluated.
TEST(Anderson, Y40ABudgetOfOneOrTwoGivesTheBestOfWhatWasEvaluated) {
  const AffineMap f{matrix_of_norm(6, 0.5, 9), randn({2, 6}, 10)};
  const auto residual = [&](const Tensor& z) { return (f(z) - z).norm(2, 1); };
  for (const std::int64_t budget : {1, 2}) {
    const auto out = run(f.map(), f.zeros(), {.tolerance = 1e-12, .max_evaluations = budget});
    EXPECT_EQ(out.report.calls, budget);
    EXPECT_TRUE(out.z[0].allclose(budget == 1 ? f.zeros() : f(f.zeros()), 0, 1e-14)) << budget;
    for (std::int64_t i = 0; i < 2; ++i) EXPECT_NEAR(out.report.residual[static_cast<std::size_t>(i)], residual(out.z[0])[i].item<double>(), 1e-13) << budget;
  }
  const solve::Options six{.tolerance = 1e-12, .max_evaluations = 6};
  gradient::Layer sliced(layer("phantom", six, six, "anderson", "fixed_point", {}, {.states = 3, .form = "sliced"}));  // two evaluations each
  const auto e = sliced.solve(f.map(), State(f.zeros()));
  EXPECT_EQ(e.states.size(), 3u);
  EXPECT_LT(residual(e.z()[0]).max().item<double>(), 0.1 * residual(f.zeros()).max().item<double>()) << "every slice goes on from the one before";
}

TEST(Anderson, DampingFollowsTheGain) {  // the first step with a choice, by hand: β = 0.9 − θ/2
  const AffineMap f{matrix_of_norm(12, 0.9, 19), randn({3, 12}, 20)};
  const auto [z, gains] = course(f, 2, {{"adapt", std::string("damping")}});
  const Tensor z0 = f.zeros(), r0 = f(z0) - z0, z1 = f(z0), r1 = f(z1) - z1, d = r1 - r0;
  const Tensor gamma = (d * r1).sum(1, true) / (d * d).sum(1, true);
  const Tensor mean_z = z1 - gamma * (z1 - z0), mean_r = r1 - gamma * d, gain = mean_r.norm(2, {1}, true) / r1.norm(2, {1}, true);
  EXPECT_LT(relative_error(gains.narrow(1, 0, 1), gain), 1e-9);
  EXPECT_LT(relative_error(z[1], mean_z + (0.9 - 0.5 * gain) * mean_r), 1e-9);
  EXPECT_GT(relative_error(z[1], mean_z + mean_r), 1e-3);  // which β = 1 would give
}

TEST(Anderson, MemoryIsHalvedAfterAStepOfLittleGain) {
  // A cyclic shift: k pairs reduce the residual to √(k/(k+1)) of what k − 1 pairs left.
  const AffineMap f{0.999 * torch::eye(30, torch::kFloat64).roll({1}, {0}), torch::eye(30, torch::kFloat64).narrow(0, 0, 1)};
  for (const auto& [without, with] : {std::pair("none", "memory"), std::pair("damping", "both")}) {
    const auto [whole, gains] = course(f, 16, {{"adapt", std::string(without)}, {"memory", std::int64_t{20}}});
    const auto halved = course(f, 16, {{"adapt", std::string(with)}, {"memory", std::int64_t{20}}}).first;
    std::size_t first = 0;  // column j is of the step after evaluation j + 2
    while (first + 3 < whole.size() && gains[0][static_cast<std::int64_t>(first)].item<double>() <= 0.95) ++first;
    ASSERT_LT(first + 3, whole.size()) << "no step of this map has a gain above 0.95";
    EXPECT_LT(relative_error(halved[first + 1], whole[first + 1]), 1e-14) << with;   // iterate first + 2 is of that step
    EXPECT_GT(relative_error(halved[first + 2], whole[first + 2]), 1e-6) << with;    // from there on fewer pairs are known
  }
}

TEST(Anderson, AfterARestartTheStepIsPlain) {
  const AffineMap f{matrix_of_norm(12, 0.9, 19), randn({3, 12}, 20)};
  const auto kept = course(f, 8, {}).first, again = course(f, 8, {{"restart", std::int64_t{7}}}).first;
  EXPECT_TRUE(again[6].equal(kept[6]));
  EXPECT_LT(relative_error(again[7], f(again[6])), 1e-15);
  EXPECT_GT(relative_error(kept[7], f(kept[6])), 1e-5);
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
