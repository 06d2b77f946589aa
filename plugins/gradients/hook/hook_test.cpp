#include <unistd.h>

#include <fstream>

#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options tight{.tolerance = 1e-13, .max_evaluations = 300};
const Tensor z0 = torch::zeros({3, 6}, torch::kFloat64);

TEST(Hook, AgreesWithUnrollingInEveryCapturedTensorAndInClosures) {
  const TanhMap f;
  const Tensor v = randn({3, 6}, 5);
  const FixedPointMap hidden([&f](const State& z) { return State(f(z[0])); });
  auto deq = layer("hook", tight, tight);
  const auto want = unrolled_gradients(f.map(), z0, v, f.captured(), 300);
  for (const FixedPointMap& map : {f.map(), hidden}) {
    const auto got = torch::autograd::grad({(v * deq.solve(map, State(z0)).z()[0]).sum()}, f.captured());
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_error(got[i], want[i]), 1e-10) << i;  // both solved to 1e-13
  }
}

TEST(Hook, E32EveryBackwardOfOneGraphGivesTheSameGradient) {
  const TanhMap f;
  auto deq = layer("hook", tight, tight);
  const Tensor loss = deq.solve(f.map(), State(z0)).z()[0].square().sum();
  const Tensor first = torch::autograd::grad({loss}, {f.w}, {}, /*retain_graph=*/true)[0];
  const Tensor second = torch::autograd::grad({loss}, {f.w}, {}, /*retain_graph=*/true)[0];
  EXPECT_TRUE(first.equal(second));
}

TEST(Hook, E33OneLayerMayBeCalledTwiceBeforeBackward) {
  const TanhMap f;
  auto deq = layer("hook", tight, tight);
  const auto gradient = [&](bool first, bool second) {
    Tensor loss = torch::zeros({}, torch::kFloat64);
    if (first) loss = loss + deq.solve(f.map(), State(z0)).z()[0].square().sum();
    if (second) loss = loss + deq.solve(f.map(), State(z0)).z()[0].pow(3).sum();
    return torch::autograd::grad({loss}, {f.w})[0];
  };
  EXPECT_LT(relative_error(gradient(true, true), gradient(true, false) + gradient(false, true)), 1e-12);
}

TEST(Hook, E34SolvesWithoutGradientInTrainingMode) {
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(layer("hook", tight, tight).solve(TanhMap().map(), State(z0)).z()[0].requires_grad());
}

TEST(Hook, NothingFlowsIntoTheStateAndBackwardEvaluatesNothing) {
  const TanhMap f;
  auto evaluations = std::make_shared<int>(0);
  const FixedPointMap counted([&f, evaluations](const State& z) { return ++*evaluations, State(f(z[0])); });
  auto deq = layer("hook", tight, tight);
  const Equilibrium e = deq.solve(counted, State(z0));
  const int before = *evaluations;
  e.z()[0].sum().backward();
  EXPECT_EQ(*evaluations, before);
  EXPECT_TRUE(f.w.grad().defined());
  EXPECT_FALSE(z0.grad().defined());
}

TEST(Hook, RefusesASecondDerivativeAndAFreedGraphWithASentence) {
  const TanhMap f;
  auto deq = layer("hook", tight, tight);
  const Tensor loss = deq.solve(f.map(), State(z0)).z()[0].square().sum();
  EXPECT_THROW(torch::autograd::grad({loss}, {f.w}, {}, true, /*create_graph=*/true), std::exception);
  torch::autograd::grad({loss}, {f.w});
  EXPECT_THROW(torch::autograd::grad({loss}, {f.w}), std::exception);
}

std::int64_t resident() {
  std::ifstream in("/proc/self/statm");
  std::int64_t total = 0, pages = 0;
  in >> total >> pages;
  return pages * ::sysconf(_SC_PAGESIZE);
}

TEST(Hook, NothingLeaksOver300Steps) {
  const Tensor b = torch::rand({8, 5000}, torch::kFloat64).requires_grad_();  // 0.32 MB a state
  auto deq = layer("hook", {.tolerance = 1e-6}, {.tolerance = 1e-6}, "anderson", "broyden");
  std::int64_t before = 0;
  for (int step = 0; step < 300; ++step) {
    const FixedPointMap f([b](const State& z) { return State(0.3 * z[0].cos() + b); });
    const Tensor loss = deq.solve(f, State(torch::zeros_like(b.detach()))).z()[0].sum();
    if (step % 2) torch::autograd::grad({loss}, {b});  // every other graph is dropped without a backward pass
    if (step == 50) before = resident();
  }
  EXPECT_LT(resident() - before, 20 << 20);  // one state kept a step would be 80 MB
}

}  // namespace
