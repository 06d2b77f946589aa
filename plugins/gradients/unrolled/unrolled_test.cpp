#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options tight{.tolerance = 1e-13, .max_evaluations = 300};
const Tensor z0 = torch::zeros({3, 6}, torch::kFloat64);

TEST(Unrolled, IsTheGradientOfItsStepsFromTheStart) {
  const TanhMap f;
  for (const bool checkpoint : {false, true}) {
    auto deq = layer("unrolled", tight, tight, "anderson", "fixed_point", {{"steps", std::int64_t{7}}, {"beta", 0.8}}, {.checkpoint = checkpoint});
    const Equilibrium e = deq.solve(f.map(), State(z0));
    Tensor z = z0;
    for (int k = 0; k < 7; ++k) z = 0.2 * z + 0.8 * f(z);
    EXPECT_LT(relative_error(e.z()[0], z), 1e-14);
    EXPECT_EQ(e.gradient_evaluations, 7);
    const auto got = torch::autograd::grad({e.z()[0].square().sum()}, f.captured()), want = torch::autograd::grad({z.square().sum()}, f.captured());
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_error(got[i], want[i]), 1e-13) << i;
  }
}

TEST(Unrolled, ReportsTheResidualOfTheStateThatCameOut) {
  const TanhMap f;
  auto deq = layer("unrolled", {.tolerance = 1e-3}, tight, "anderson", "fixed_point", {{"steps", std::int64_t{40}}});
  const Equilibrium e = deq.solve(f.map(), State(z0));
  const Tensor residual = (f(e.fixed_point[0]) - e.fixed_point[0]).norm(2, {1});
  for (std::int64_t b = 0; b < 3; ++b) EXPECT_NEAR(e.forward[0].residual[static_cast<std::size_t>(b)], residual[b].item<double>(), 1e-14);
  EXPECT_EQ(e.forward[0].reasons[0], Reason::converged);
  EXPECT_EQ(e.forward[0].evaluations[0], 41);
}

TEST(Unrolled, HandsOutStatesOnTheWayAndEndsEarly) {
  const TanhMap f;
  EXPECT_EQ(layer("unrolled", tight, tight, "anderson", "fixed_point", {{"steps", std::int64_t{7}}, {"every", std::int64_t{3}}}).solve(f.map(), State(z0)).states.size(), 3u);
  EXPECT_LT(layer("unrolled", tight, tight, "anderson", "fixed_point", {{"steps", std::int64_t{400}}, {"tolerance", 1e-6}}).solve(f.map(), State(z0)).gradient_evaluations, 100);
}

TEST(Unrolled, CannotSampleASolveThatDoesNotRun) {
  EXPECT_THROW(layer("unrolled", tight, tight, "anderson", "fixed_point", {}, {.states = 3}), OptionError);
}

TEST(Truncated, DifferentiatesTheLastStepsAlone) {
  const TanhMap f;
  auto deq = layer("truncated", tight, tight, "anderson", "fixed_point", {{"steps", std::int64_t{9}}, {"tracked", std::int64_t{4}}});
  const auto got = torch::autograd::grad({deq.solve(f.map(), State(z0)).z()[0].square().sum()}, f.captured());
  Tensor z = z0;
  for (int k = 0; k < 5; ++k) z = f(z).detach();
  for (int k = 0; k < 4; ++k) z = f(z);
  const auto want = torch::autograd::grad({z.square().sum()}, f.captured());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_error(got[i], want[i]), 1e-13) << i;
}

TEST(Truncated, ErrorFallsWithTheTrackedStepsAsTheSeriesDoes) {
  const TanhMap f;
  const Tensor v = randn({3, 6}, 5);
  const Tensor want = unrolled_gradients(f.map(), z0, v, {f.w}, 300)[0];
  double before = INFINITY;
  for (const std::int64_t k : {1, 4, 16}) {
    auto deq = layer("truncated", tight, tight, "anderson", "fixed_point", {{"steps", std::int64_t{200}}, {"tracked", k}});
    const double error = relative_error(torch::autograd::grad({(v * deq.solve(f.map(), State(z0)).z()[0]).sum()}, {f.w})[0], want);
    EXPECT_LT(error, 0.6 * before) << k;  // ‖J‖ ≤ 0.8
    before = error;
  }
}

TEST(Truncated, RefusesMoreTrackedStepsThanThereAre) {
  EXPECT_THROW(make<GradientMethod>(Kind::gradient, "truncated", {{"steps", std::int64_t{3}}, {"tracked", std::int64_t{4}}}), OptionError);
}

}  // namespace
