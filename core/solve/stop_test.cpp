#include <algorithm>
#include <cmath>
#include <cstdio>

#include <gtest/gtest.h>

#include "core/solve/solve.hpp"
#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

/// z ↦ rate z + 1 for samples of different rates; counts the rows that it is asked for.
struct Rates {
  explicit Rates(const Tensor& rates) : map([rows = rows](const State& z, const std::vector<Tensor>& t) {
    *rows += z[0].size(0);
    return State(z[0] * t[0] + 1);
  }, {{rates, 0}}, true) {}
  std::shared_ptr<std::int64_t> rows = std::make_shared<std::int64_t>(0);
  FixedPointMap map;
};

TEST(Stop, CompactCostsWhatTheSamplesNeed) {  // one of 64 needs about 1000 evaluations, the others about 10
  Tensor rates = torch::full({64, 1}, 0.2, torch::kFloat64);
  rates[17][0] = 0.987;
  const solve::Options o{.tolerance = 1e-6, .max_evaluations = 5000, .finished = "compact", .stall_window = 0};
  const Rates f(rates);

  const auto solver = make_solver("fixed_point");
  const auto out = solve::solve(*solver, "fixed_point", f.map, State(torch::zeros({64, 4}, torch::kFloat64)), o);

  std::int64_t needs = 0;
  for (std::size_t b = 0; b < 64; ++b) {
    EXPECT_EQ(out.report.reasons[b], Reason::converged) << b;
    needs += out.report.evaluations[b];
  }
  EXPECT_GT(out.report.evaluations[17], 700);
  EXPECT_LT(out.report.evaluations[0], 12);
  EXPECT_LE(static_cast<double>(*f.rows), 1.1 * static_cast<double>(needs));
}

TEST(Stop, SamplesLeaveOnceFourFifthsAreLeft) {
  Tensor rates = torch::full({10, 1}, 0.9, torch::kFloat64);
  rates.narrow(0, 0, 3).fill_(0.1);  // three of ten are done early: seven are fewer than four fifths
  const Rates f(rates);
  const auto solver = make_solver("fixed_point");
  const auto out = solve::solve(*solver, "fixed_point", f.map, State(torch::zeros({10, 2}, torch::kFloat64)),
                                {.tolerance = 1e-6, .max_evaluations = 500, .finished = "compact"});
  std::int64_t needs = 0;
  for (const std::int64_t n : out.report.evaluations) needs += n;
  EXPECT_EQ(*f.rows, needs);
}

TEST(Stop, TheFloorIsFoundNotBurnt) {
  for (const auto dtype : {torch::kFloat32, torch::kFloat64, torch::kBFloat16})
    for (const std::int64_t width : {8, 512}) {
      const Tensor a = matrix_of_norm(width, 0.6, 31).to(dtype), c = randn({3, width}, 32).to(dtype);
      const FixedPointMap f([a, c](const State& z) { return State(torch::tanh(z[0].mm(a) + c)); });
      const auto solver = make_solver("fixed_point");
      const auto out = solve::solve(*solver, "fixed_point", f, State(torch::zeros_like(c)), {.tolerance = 1e-17, .max_evaluations = 1000});
      for (const Reason reason : out.report.reasons) EXPECT_TRUE(reason == Reason::floor || reason == Reason::stalled || reason == Reason::converged) << dtype;
      EXPECT_LT(out.report.calls, 150) << dtype << ' ' << width;  // log(ε)/log(0.6) = 71 for float64, and what it takes to see it
      const auto all = solve::solve(*solver, "fixed_point", f, State(torch::zeros_like(c)),
                                    {.tolerance = 0, .max_evaluations = 200, .stall_window = 0, .floor = false});
      EXPECT_EQ(all.report.calls, all.report.relative[0] == 0 ? all.report.calls : 200);
    }
}

/// The worst sample of a solve that no tolerance ends.
struct End {
  Reason reason;
  std::int64_t evaluations;
  double relative;
};

End unstopped(const std::string& name, torch::ScalarType dtype, std::int64_t width, double largest) {
  const AffineMap f = AffineMap{zstar::testing::symmetric(width, 0, largest, 33), randn({3, width}, 34)}.to(dtype);
  const auto out = solve::solve(*make_solver(name), name, f.map(), State(f.zeros()), {.tolerance = 0, .max_evaluations = 6000});
  const auto worst = std::max_element(out.report.relative.begin(), out.report.relative.end()) - out.report.relative.begin();
  return {out.report.reasons[static_cast<std::size_t>(worst)], out.report.calls, *std::max_element(out.report.relative.begin(), out.report.relative.end())};
}

TEST(Stop, NoSolverSpendsItsBudgetAtTheFloor) {  // the table of docs/stopping.md: residuals in ε, for eigenvalues of J from 0 to `largest`
  const std::tuple<const char*, torch::ScalarType, double> dtypes[] = {{"float64", torch::kFloat64, std::ldexp(1, -52)}, {"float32", torch::kFloat32, std::ldexp(1, -23)}, {"bfloat16", torch::kBFloat16, std::ldexp(1, -7)}};
  for (const auto& [word, dtype, epsilon] : dtypes)
    for (const std::int64_t width : {32, 512})
      for (const double largest : {0.5, 0.9, 0.99}) {
        std::printf("| %s | %d | %g |", word, static_cast<int>(width), 1 / (1 - largest));
        for (const char* name : {"fixed_point", "anderson", "broyden"}) {
          const End end = unstopped(name, dtype, width, largest);
          std::printf(" %s %d, %.2g ε |", solve::text_of(end.reason).name, static_cast<int>(end.evaluations), end.relative / epsilon);
          EXPECT_NE(end.reason, Reason::budget) << name << ' ' << word << width << largest;
          EXPECT_TRUE(end.reason != Reason::floor || end.relative <= 4 * epsilon) << name << ' ' << word << width << largest;
        }
        std::printf("\n");
      }
}

TEST(Stop, ATurningIterationStalls) {
  const AffineMap f{torch::tensor({{0.0, -1.0}, {1.0, 0.0}}, torch::kFloat64), torch::ones({1, 2}, torch::kFloat64)};
  const auto solver = make_solver("fixed_point");
  const auto out = solve::solve(*solver, "fixed_point", f.map(), State(torch::zeros({1, 2}, torch::kFloat64)), {.tolerance = 1e-6, .max_evaluations = 1000});
  EXPECT_EQ(out.report.reasons[0], Reason::stalled);
  EXPECT_EQ(out.report.calls, 31);  // the first, and a window without progress
}

TEST(Stop, AnyAndAllLookAtBothResiduals) {
  const FixedPointMap f([](const State& z) { return State(z[0] * 0.5 + 500.0); });  // relative residuals are far below absolute ones
  const auto calls = [&](const char* stop) {
    const auto solver = make_solver("fixed_point");
    return solve::solve(*solver, "fixed_point", f, State(torch::zeros({1, 4}, torch::kFloat64)),
                        {.tolerance = 1e-3, .max_evaluations = 200, .stop = stop, .absolute_tolerance = 1e-3}).report.calls;
  };
  EXPECT_EQ(calls("any"), calls("relative"));
  EXPECT_EQ(calls("all"), calls("absolute"));
  EXPECT_LT(calls("any"), calls("all"));
}

TEST(Stop, WhatConvergedIsWithinTheToleranceThatWasAskedFor) {  // E5: relative residuals fall although absolute ones do not
  const FixedPointMap drifting([](const State& z) { return State(z[0] + 1.0 + 0.001 * z[0].abs()); });
  for (const char* select : {"best", "last"})
    for (const char* finished : {"mask", "compact", "whole"}) {
      const auto solver = make_solver("fixed_point");
      const auto out = solve::solve(*solver, "fixed_point", drifting, State(torch::zeros({2, 4}, torch::kFloat64)),
                                    {.tolerance = 0.1, .max_evaluations = 60, .finished = finished, .select = select, .stall_window = 0});
      const Tensor fz = drifting(out.z)[0];
      const auto relative = ((fz - out.z[0]).norm(2, {1}) / fz.norm(2, {1}));
      for (std::int64_t b = 0; b < 2; ++b) {
        EXPECT_EQ(out.report.reasons[static_cast<std::size_t>(b)], Reason::converged) << select << ' ' << finished;
        EXPECT_LE(out.report.relative[static_cast<std::size_t>(b)], 0.1) << select << ' ' << finished;
        EXPECT_NEAR(out.report.relative[static_cast<std::size_t>(b)], relative[b].item<double>(), 1e-12) << select << ' ' << finished;
      }
    }
}

TEST(Stop, RootMeanSquaresDoNotDependOnTheWidth) {
  const auto calls = [](std::int64_t width, const char* measure) {
    const FixedPointMap f([](const State& z) { return State(z[0] * 0.5 + 1.0); });
    const auto solver = make_solver("fixed_point");
    return solve::solve(*solver, "fixed_point", f, State(torch::zeros({1, width}, torch::kFloat64)),
                        {.tolerance = 1e-3, .max_evaluations = 200, .stop = "absolute", .measure = measure}).report.calls;
  };
  EXPECT_EQ(calls(4, "rms"), calls(4096, "rms"));
  EXPECT_LT(calls(4, "l2"), calls(4096, "l2"));
}

TEST(Stop, ResidualsReadBackNowAndThenFindTheSameBest) {
  const AffineMap f{matrix_of_norm(6, 0.8, 33), randn({3, 6}, 34)};
  const auto run = [&](std::int64_t every) {
    const auto solver = make_solver("anderson");
    return solve::solve(*solver, "anderson", f.map(), State(torch::zeros({3, 6}, torch::kFloat64)), {.tolerance = 1e-8, .max_evaluations = 60, .check_every = every});
  };
  const auto each = run(1), spaced = run(5);
  for (std::size_t b = 0; b < 3; ++b) EXPECT_LE(spaced.report.residual[b], each.report.residual[b] * (1 + 1e-9)) << "more steps are never worse";
  EXPECT_LE(spaced.report.calls, (each.report.calls + 4) / 5 * 5);
  EXPECT_EQ(spaced.report.first_converged, each.report.first_converged);
}

}  // namespace
