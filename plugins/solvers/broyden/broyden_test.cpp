#include <gtest/gtest.h>

#include "tests/support/parts.hpp"
#include "zstar/testing/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const FixedPointMap& f, const Tensor& z0, const solve::Options& o, const Settings& settings = {}) {
  const auto solver = make_solver("broyden", settings);
  return solve::solve(*solver, "broyden", f, State(z0), o);
}

AffineMap stiff(std::int64_t batch, std::uint64_t seed = 9) {  // symmetric, eigenvalues 0 … 0.999
  const Tensor q = std::get<0>(torch::linalg_qr(randn({60, 60}, seed)));
  const Tensor eigenvalues = torch::linspace(0, 0.999, 60, torch::kFloat64);
  return {q.mm(torch::diag(eigenvalues)).mm(q.t()), randn({batch, 60}, seed + 1)};
}

TEST(Broyden, SolvesAnExpansiveMap) {
  const AffineMap f{matrix_of_norm(6, 3.0, 11), randn({3, 6}, 12)};
  const auto out = run(f.map(), torch::zeros({3, 6}, torch::kFloat64), {.tolerance = 1e-10, .max_evaluations = 60});
  EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-8);
}

TEST(Broyden, E10ReachesItsToleranceForOneSampleAndForTwoAlike) {
  const Settings full{{"memory", std::int64_t{200}}};
  const AffineMap two = stiff(2);
  // Rows one by one, for LibTorch rounds a product of one row otherwise than of two, and 60 unknowns and more make whole steps of that.
  const FixedPointMap f([&two](const State& z) {
    std::vector<Tensor> rows;
    for (std::int64_t b = 0; b < z[0].size(0); ++b) rows.push_back(two.a.mv(z[0][b]) + two.b[b]);
    return State(torch::stack(rows));
  });
  for (const double tolerance : {1e-2, 1e-3, 1e-5}) {
    const solve::Options o{.tolerance = tolerance, .max_evaluations = 200, .stop = "absolute"};
    const auto alone = run(f, torch::zeros({1, 60}, torch::kFloat64), o, full), pair = run(f, torch::zeros({2, 60}, torch::kFloat64), o, full);
    EXPECT_EQ(alone.report.reasons[0], Reason::converged) << tolerance;
    EXPECT_EQ(pair.report.reasons, (std::vector<Reason>{Reason::converged, Reason::converged})) << tolerance;
    EXPECT_EQ(alone.report.evaluations[0], pair.report.evaluations[0]) << tolerance;
  }
}

TEST(Broyden, E10HasRoomToSpareWhateverTheNumbers) {
  for (std::uint64_t seed = 100; seed < 120; ++seed) {
    const auto out = run(stiff(1, seed).map(), torch::zeros({1, 60}, torch::kFloat64), {.tolerance = 1e-5, .max_evaluations = 200, .stop = "absolute"},
                         {{"memory", std::int64_t{200}}});
    EXPECT_EQ(out.report.reasons[0], Reason::converged) << seed;
    EXPECT_LE(out.report.evaluations[0], 130) << seed;  // twice the dimension, and what finite precision adds
  }
}

TEST(Broyden, AHistoryInBfloat16ReachesTheSameToleranceInAFewEvaluationsMore) {
  for (std::uint64_t seed = 200; seed < 205; ++seed) {
    const Tensor a = matrix_of_norm(40, 0.95, seed).to(torch::kFloat32), b = randn({4, 40}, seed + 50).to(torch::kFloat32);
    const FixedPointMap f([a, b](const State& z) { return State(torch::tanh(z[0].mm(a) + b)); });
    for (const char* update : {"good", "bad"}) {
      const auto calls = [&](const char* history) {
        const auto out = run(f, torch::zeros({4, 40}), {.tolerance = 1e-5, .max_evaluations = 80}, {{"history", std::string(history)}, {"update", std::string(update)}});
        for (const Reason reason : out.report.reasons) EXPECT_EQ(reason, Reason::converged) << history << update << seed;
        return out.report.calls;
      };
      EXPECT_LE(calls("bfloat16"), calls("state") + 4) << update << seed;
    }
  }
}

TEST(Broyden, E11StaysFiniteForEveryMemory) {
  const AffineMap f = stiff(1);
  for (const char* update : {"good", "bad"})
    for (const std::int64_t memory : {1, 2, 3, 5, 10}) {
      const auto out = run(f.map(), torch::zeros({1, 60}, torch::kFloat64), {.tolerance = 1e-5, .max_evaluations = 100, .stop = "absolute", .stall_window = 0},
                           {{"memory", memory}, {"update", std::string(update)}});
      EXPECT_TRUE(std::isfinite(out.report.residual[0])) << update << memory;
      EXPECT_NE(out.report.reasons[0], Reason::nonfinite) << update << memory;
      EXPECT_NE(out.report.reasons[0], Reason::diverged) << update << memory;
      for (const double residual : out.report.trace.absolute) EXPECT_TRUE(std::isfinite(residual)) << update << memory;
    }
}

TEST(Broyden, E11ConvergesWithTenPairsAndRefusesNone) {
  const AffineMap f = stiff(1);
  for (const char* update : {"good", "bad"}) {
    const auto out = run(f.map(), torch::zeros({1, 60}, torch::kFloat64), {.tolerance = 1e-5, .max_evaluations = 200, .stop = "absolute", .stall_window = 0},
                         {{"memory", std::int64_t{10}}, {"update", std::string(update)}});
    EXPECT_EQ(out.report.reasons[0], Reason::converged) << update;
  }
  try {
    zstar::testing::make_solver("broyden", "memory = 0");
    FAIL() << "memory = 0 was accepted";
  } catch (const std::exception& refused) {
    EXPECT_NE(std::string(refused.what()).find("memory"), std::string::npos) << refused.what();
  }
}

/// The first `count` iterates after z0 = 0.
std::vector<Tensor> iterates(const AffineMap& f, std::int64_t count, const Settings& settings) {
  std::vector<std::int64_t> at;
  for (std::int64_t k = 1; k <= count; ++k) at.push_back(k);
  const auto solver = make_solver("broyden", settings);
  const auto out = solve::solve(*solver, "broyden", f.map(), State(f.zeros()), {.tolerance = 0, .max_evaluations = count + 1, .select = "last", .stall_window = 0, .divergence = 1e300}, at);
  std::vector<Tensor> all;
  for (const State& z : out.samples) all.push_back(z[0]);
  return all;
}

TEST(Broyden, BetaScalesTheFirstStepAndWhatFollows) {
  const AffineMap f{matrix_of_norm(6, 0.9, 31), randn({2, 6}, 32)};
  for (const char* update : {"good", "bad"}) {
    const auto whole = iterates(f, 3, {{"update", std::string(update)}}), half = iterates(f, 3, {{"update", std::string(update)}, {"beta", 0.5}});
    EXPECT_LT(relative_error(whole[0], f.b), 1e-15) << update;  // z1 = β f(0)
    EXPECT_LT(relative_error(half[0], 0.5 * f.b), 1e-15) << update;
    const Tensor s = half[0], y = (f(s) - s) - f.b;  // H = −½ I with the secant pair (s, y), by hand
    const Tensor hy = -0.5 * y, hg = -0.5 * (f(s) - s), g = f(s) - s;
    const auto dot = [](const Tensor& a, const Tensor& b) { return (a * b).sum(1, true); };
    const Tensor good = hg + (s - hy) * dot(s, hg) / dot(s, hy), bad = hg + (s - hy) * dot(y, g) / dot(y, y);
    EXPECT_LT(relative_error(half[1], s - (std::string(update) == "good" ? good : bad)), 1e-12) << update;
  }
}

TEST(Broyden, AFullMemoryOfTheGoodUpdateKeepsItsNewestPair) {
  const AffineMap f{matrix_of_norm(6, 0.5, 35), randn({2, 6}, 36)};
  const auto dot = [](const Tensor& a, const Tensor& b) { return (a * b).sum(1, true); };
  for (const bool search : {false, true})
    for (const double beta : {1.0, 0.7}) {
      const auto z = iterates(f, 4, {{"memory", std::int64_t{2}}, {"beta", beta}, {"line_search", search}});
      const Tensor g = f(z[2]) - z[2], s = z[2] - z[1], y = g - (f(z[1]) - z[1]), hy = -beta * y, hg = -beta * g;  // H = −β I and the pair (s, y)
      EXPECT_LT(relative_error(z[3], z[2] - (hg + (s - hy) * dot(s, hg) / dot(s, hy))), 1e-12) << search << beta;
    }
}

TEST(Broyden, PatienceForgetsThePairsOfASampleWithoutProgress) {
  const AffineMap f{matrix_of_norm(6, 3.0, 33), randn({1, 6}, 34)};  // the first full step makes the residual larger
  const Tensor z1 = f.b, g0 = f.b, g1 = f(z1) - z1;
  ASSERT_GT(g1.norm().item<double>(), g0.norm().item<double>());
  for (const char* update : {"good", "bad"}) {
    const auto learnt = iterates(f, 2, {{"update", std::string(update)}}), forgotten = iterates(f, 2, {{"update", std::string(update)}, {"patience", std::int64_t{1}}});
    EXPECT_LT(relative_error(forgotten[1], z1 + g1), 1e-14) << update;  // a plain step again
    EXPECT_GT(relative_error(learnt[1], z1 + g1), 1e-2) << update;
  }
}

/// z_k of the good update with the dense inverse matrix.
Tensor dense_good(const AffineMap& f, int steps) {
  const std::int64_t n = f.a.size(0);
  Tensor h = -torch::eye(n, torch::kFloat64), z = torch::zeros({n}, torch::kFloat64), g = f.b[0].clone();
  for (int k = 0; k < steps; ++k) {
    const Tensor s = -h.mv(g), next = z + s, image = f.a.mv(next) + f.b[0] - next, y = image - g, hy = h.mv(y);
    h = h + torch::outer(s - hy, h.t().mv(s)) / s.dot(hy);
    z = next, g = image;
  }
  return z;
}

TEST(Broyden, GoodIsTheDenseIteration) {
  const AffineMap f{matrix_of_norm(7, 0.9, 25), randn({1, 7}, 26)};
  const auto solver = make_solver("broyden");
  const auto out = solve::solve(*solver, "broyden", f.map(), State(torch::zeros({1, 7}, torch::kFloat64)), {.tolerance = 0, .max_evaluations = 9}, {1, 3, 6, 8});
  const int at[] = {1, 3, 6, 8};
  for (std::size_t k = 0; k < 4; ++k) EXPECT_LT(relative_error(out.samples[k][0][0], dense_good(f, at[k])), 1e-9) << at[k];
}

TEST(Broyden, StaysAccurateOverTwoHundredPairs) {
  const AffineMap f = stiff(1);
  const auto out = run(f.map(), torch::zeros({1, 60}, torch::kFloat64), {.tolerance = 1e-10, .max_evaluations = 200, .stop = "absolute", .stall_window = 0},
                       {{"memory", std::int64_t{200}}});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
}

TEST(Broyden, AChangeOfGThatIsRoundingTeachesNothing) {  // z + b: g is b everywhere, up to rounding
  for (std::uint64_t seed = 1; seed <= 40; ++seed)
    for (const torch::ScalarType dtype : {torch::kFloat64, torch::kFloat32})
      for (const char* update : {"good", "bad"})
        for (const bool search : {false, true}) {
          const AffineMap f = zstar::testing::without_solution(3, 5, seed).to(dtype);
          const auto out = run(f.map(), f.zeros(), {.tolerance = 1e-6, .max_evaluations = 80, .stop = "absolute"}, {{"update", std::string(update)}, {"line_search", search}, {"memory", std::int64_t{9}}});
          for (const Reason reason : out.report.reasons) EXPECT_NE(reason, Reason::nonfinite) << seed << dtype << update << search;
          EXPECT_TRUE(out.z[0].isfinite().all().item<bool>());
        }
}

TEST(Broyden, SamplesAreSolvedAsIfTheyWereAlone) {
  const AffineMap f{matrix_of_norm(8, 0.95, 27), randn({4, 8}, 28)};
  Tensor z0 = torch::zeros({4, 8}, torch::kFloat64);
  z0[1] = f.fixed_point()[1] + 1e-5;  // done early: the others go on beside frozen rows, or without them
  for (const char* update : {"good", "bad"})
    for (const char* finished : {"mask", "compact"}) {
      const Settings settings{{"update", std::string(update)}, {"memory", std::int64_t{9}}};
      const solve::Options o{.tolerance = 1e-9, .max_evaluations = 80, .finished = finished};
      const auto all = run(f.map(), z0, o, settings);
      for (std::int64_t b = 0; b < 4; ++b) {
        const AffineMap one{f.a, f.b.narrow(0, b, 1)};
        const auto alone = run(one.map(), z0.narrow(0, b, 1), o, settings);
        EXPECT_EQ(alone.report.evaluations[0], all.report.evaluations[static_cast<std::size_t>(b)]) << update << finished << b;
        EXPECT_LT((alone.z[0][0] - all.z[0][b]).abs().max().item<double>(), 1e-10) << update << finished << b;  // order of rounding in f
      }
    }
}

TEST(Broyden, LearnsFromStepsThatOthersChose) {  // each step damped after the fact: the secant equation holds all the same
  const AffineMap f{matrix_of_norm(5, 0.8, 29), randn({2, 5}, 30)};
  for (const char* update : {"good", "bad"}) {
    const auto solver = make_solver("broyden", {{"update", std::string(update)}});
    solver->begin(2, 5);
    Tensor z = torch::zeros({2, 5}, torch::kFloat64), before, image_before;
    for (int k = 0; k < 6; ++k) {
      const Tensor image = f(z), next = solver->propose(z, image);
      if (k > 0) {
        const Tensor s = z - before, y = (image - z) - image_before;
        EXPECT_LT(relative_error(query<InverseJacobian>(*solver)->apply(y), s), 1e-8) << update << k;
      }
      before = z, image_before = image - z;
      z = z + (k % 2 == 0 ? 0.7 : 1.0) * (next - z) + 0.05 * randn({2, 5}, 70 + static_cast<std::uint64_t>(k));
    }
  }
}

FixedPointMap from_residual(std::function<Tensor(const Tensor&)> g) {
  return {[g = std::move(g)](const State& z, const std::vector<Tensor>&) { return State(z[0] + g(z[0])); }, {}, true};
}

TEST(Broyden, E12TheLineSearchTreatsEverySampleAlone) {
  const FixedPointMap f = from_residual([](const Tensor& z) { return -3 * z.atan(); });
  const Settings search{{"line_search", true}};
  const solve::Options o{.tolerance = 1e-10, .max_evaluations = 60, .stop = "absolute"};
  const auto both = run(f, torch::tensor({{0.3}, {6.0}}, torch::kFloat64), o, search);
  const auto first = run(f, torch::tensor({{0.3}}, torch::kFloat64), o, search);
  const auto second = run(f, torch::tensor({{6.0}}, torch::kFloat64), o, search);
  EXPECT_NEAR(both.z[0][0].item<double>(), first.z[0].item<double>(), 1e-12);
  EXPECT_NEAR(both.z[0][1].item<double>(), second.z[0].item<double>(), 1e-12);
  EXPECT_EQ(both.report.reasons[1], Reason::converged);
}

TEST(Broyden, E13BacktracksFromWhereTheMapIsNotFinite) {
  const FixedPointMap f = from_residual([](const Tensor& z) { return -z.log(); });  // a full step leaves the domain
  const auto out = run(f, torch::tensor({{8.0}}, torch::kFloat64), {.tolerance = 1e-8, .max_evaluations = 80, .stop = "absolute"},
                       {{"line_search", true}});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_NEAR(out.z[0].item<double>(), 1.0, 1e-6);
  EXPECT_EQ(out.report.calls, out.report.evaluations[0]);  // trials are evaluations of the loop like all others
}

TEST(Broyden, ExportsItsInverseJacobian) {
  const AffineMap f{matrix_of_norm(5, 0.7, 13), randn({1, 5}, 14)};
  const auto solver = make_solver("broyden");
  solve::solve(*solver, "broyden", f.map(), State(torch::zeros({1, 5}, torch::kFloat64)), {.tolerance = 0, .max_evaluations = 14, .stall_window = 0});
  auto* estimate = query<InverseJacobian>(*solver);
  ASSERT_NE(estimate, nullptr);
  const Tensor v = randn({1, 5}, 15), w = randn({1, 5}, 16);
  EXPECT_NEAR((estimate->apply(v) * w).sum().item<double>(), (v * estimate->apply_transpose(w)).sum().item<double>(), 1e-9);
}

}  // namespace
