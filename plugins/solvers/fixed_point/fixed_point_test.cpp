#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const FixedPointMap& f, const Tensor& z0, const solve::Options& o, double beta = 1.0) {
  const auto solver = make_solver("fixed_point", {{"beta", beta}});
  return solve::solve(*solver, "fixed_point", f, State(z0), o);
}

FixedPointMap scalar(double a, double b) {
  return {[=](const State& z, const std::vector<Tensor>&) { return State(a * z[0] + b); }, {}, true};
}

TEST(FixedPoint, E1KeepsTheLastFiniteStateOfASampleThatTurnsNaN) {
  int calls = 0;
  const FixedPointMap f([&calls](const State& z) {
    Tensor y = z[0] / 2 + 1;
    if (++calls == 10) y[0] = std::nan("");
    return State(y);
  });

  const auto out = run(f, torch::zeros({2, 3}, torch::kFloat64), {.tolerance = 1e-3, .max_evaluations = 12});

  EXPECT_EQ(out.report.reasons[0], Reason::nonfinite);
  EXPECT_EQ(out.report.reasons[1], Reason::converged);
  EXPECT_TRUE(std::isfinite(out.report.residual[0]));
  EXPECT_TRUE(torch::isfinite(out.z[0]).all().item<bool>());
  EXPECT_LT((out.z[0] - 2).abs().max().item<double>(), 0.01);
}

TEST(FixedPoint, E2AcceptsResidualsAboveEveryBound) {
  const auto out = run(scalar(0.5, 1e10), torch::zeros({1, 1}, torch::kFloat64), {.tolerance = 1e-9, .max_evaluations = 6});

  EXPECT_NEAR(out.z[0].item<double>(), 2e10 - 2e10 / 32, 1);  // z_5 of the closed form
  EXPECT_NEAR(out.report.residual[0], 1e10 / 32, 1);
}

TEST(FixedPoint, E3SamplesStopOneByOne) {
  const Tensor rates = torch::tensor({{0.1}, {0.99}}, torch::kFloat64);
  const FixedPointMap f([rates](const State& z, const std::vector<Tensor>& c) { return State(c[0] * z[0] + 1); }, {{rates, 0}}, true);
  for (const char* finished : {"mask", "compact"}) {
    const auto out = run(f, torch::zeros({2, 1}, torch::kFloat64), {.tolerance = 1e-3, .max_evaluations = 200, .finished = finished});
    EXPECT_EQ(out.report.evaluations[0], 4) << finished;  // residual 0.1^(k−1), image near 1.11
    EXPECT_GT(out.report.evaluations[1], 100) << finished;
    EXPECT_EQ(out.report.reasons[0], Reason::converged) << finished;
  }
}

TEST(FixedPoint, E4DampingDoesNotScaleTheResidual) {
  for (const double beta : {1.0, 0.5, 0.1, 0.01}) {
    const auto out = run(scalar(0.9, 1), torch::zeros({1, 1}, torch::kFloat64),
                         {.tolerance = 1e-3, .max_evaluations = 20000, .stop = "absolute", .stall_window = 0}, beta);
    EXPECT_LE(std::abs(out.z[0].item<double>() - 10), 1e-3 / (1 - 0.9) + 1e-9) << beta;
  }
}

TEST(FixedPoint, E5TheResidualBelongsToTheReturnedState) {
  const double c = 1.2;
  const AffineMap f{torch::tensor({{0.0, -c}, {c, 0.0}}, torch::kFloat64), torch::ones({1, 2}, torch::kFloat64)};
  const auto out = run(f.map(), torch::zeros({1, 2}, torch::kFloat64), {.tolerance = 1e-3, .max_evaluations = 10});
  EXPECT_NEAR(out.report.residual[0], (f(out.z[0]) - out.z[0]).norm().item<double>(), 1e-14);
}

TEST(FixedPoint, E6KeepsToBudgetsOfZeroOneAndTwo) {
  for (const std::int64_t budget : {0, 1, 2}) {
    for (const char* name : {"fixed_point", "anderson", "broyden"}) {
      const auto solver = make_solver(name);
      const auto out = solve::solve(*solver, name, scalar(0.5, 1), State(torch::zeros({1, 1}, torch::kFloat64)),
                                    {.tolerance = 1e-12, .max_evaluations = budget});
      EXPECT_EQ(out.report.calls, budget) << name;
      if (budget == 0) continue;
      EXPECT_NEAR(out.report.residual[0], std::abs(1 - 0.5 * out.z[0].item<double>()), 1e-15) << name;
    }
  }
}

TEST(FixedPoint, E17KeepsShapesAndTreatsAStateWithoutBatchAsOneSample) {
  const FixedPointMap f([](const State& z) { return State::one_sample({z[0] / 2 + 1}); });
  const auto solver = make_solver("anderson");
  for (const auto& sizes : {std::vector<std::int64_t>{}, {4}, {2, 3}}) {
    const auto out = solve::solve(*solver, "anderson", f, State::one_sample({torch::zeros(sizes, torch::kFloat64)}), {.tolerance = 1e-10});
    EXPECT_EQ(out.z[0].sizes().vec(), sizes);
    EXPECT_EQ(out.report.batch(), 1);
    EXPECT_LT((out.z[0] - 2).abs().max().item<double>(), 1e-8);
  }
}

TEST(FixedPoint, E18AnEmptyBatchNeedsNoEvaluation) {
  const auto out = run(scalar(0.5, 1), torch::zeros({0, 3}, torch::kFloat64), {});
  EXPECT_EQ(out.report.calls, 0);
  EXPECT_EQ(out.z[0].size(0), 0);
}

TEST(FixedPoint, E27RefusesAMapThatChangesAShape) {
  const FixedPointMap f([](const State& z) { return State(z[0].sum(1)); });
  EXPECT_THROW(run(f, torch::zeros({3, 3}), {}), std::invalid_argument);
}

TEST(FixedPoint, LowPrecisionEndsAtItsFloor) {  // E16
  const FixedPointMap f([](const State& z) { return State(z[0] / 3 + 200); });
  for (const auto dtype : {torch::kBFloat16, torch::kFloat32}) {
    const auto out = run(f, torch::zeros({2, 2000}, torch::TensorOptions(dtype)), {.tolerance = 0, .max_evaluations = 200});
    EXPECT_LT(out.report.calls, 60);
    EXPECT_EQ(out.z[0].scalar_type(), dtype);
    EXPECT_NEAR(out.z[0].mean().item<double>(), 300, 2);
  }
}

}  // namespace
