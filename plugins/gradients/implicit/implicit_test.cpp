#include <unistd.h>

#include <fstream>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options tight{.tolerance = 1e-13, .max_evaluations = 300};

TEST(Implicit, AgreesWithUnrollingInEveryCapturedTensor) {
  const TanhMap f;
  const Tensor z0 = torch::zeros({3, 6}, torch::kFloat64), v = randn({3, 6}, 5);
  auto deq = layer("implicit", tight, tight);

  const Equilibrium e = deq.solve(f.map(), State(z0));
  const auto got = torch::autograd::grad({(v * e.z()[0]).sum()}, f.captured());

  const auto want = unrolled_gradients(f.map(), z0, v, f.captured(), 300);
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_error(got[i], want[i]), 1e-10) << i;  // both solved to 1e-13
  ASSERT_EQ(e.backward->size(), 1u);
  EXPECT_EQ(e.backward->front().reasons[0], Reason::converged);
}

TEST(Implicit, E30GradientDoesNotDependOnTheScaleOfTheLoss) {
  const TanhMap f;
  const Tensor z0 = torch::zeros({3, 6}, torch::kFloat64), v = randn({3, 6}, 5);
  for (const char* solver : {"fixed_point", "anderson", "broyden"}) {
    auto deq = layer("implicit", tight, {.tolerance = 1e-6, .max_evaluations = 100}, "anderson", solver);
    std::vector<double> errors;
    for (const double scale : {1.0, 1e-4, 1e-8, 1e-12}) {
      const auto got = torch::autograd::grad({(v * deq.solve(f.map(), State(z0)).z()[0]).sum() * scale}, {f.w});
      errors.push_back(relative_error(got[0] / scale, unrolled_gradients(f.map(), z0, v, {f.w}, 300)[0]));
    }
    for (const double e : errors) EXPECT_NEAR(e, errors[0], 0.1 * errors[0] + 1e-12) << solver;
    EXPECT_LT(errors[0], 1e-4) << solver;
  }
}

TEST(Implicit, TheRelativeToleranceOfAnAdjointDoesNotDependOnItsMeasure) {
  const TanhMap f(3, 400);
  const Tensor z0 = torch::zeros({3, 400}, torch::kFloat64), v = randn({3, 400}, 5);
  for (const char* measure : {"l2", "rms"}) {
    auto deq = layer("implicit", tight, {.tolerance = 1e-5, .max_evaluations = 100, .measure = measure}, "anderson", "fixed_point");
    const Equilibrium e = deq.solve(f.map(), State(z0));
    torch::autograd::grad({(v * e.z()[0]).sum()}, {f.w});
    const Report& report = e.backward->front();
    for (std::size_t b = 0; b < 3; ++b) {
      EXPECT_EQ(report.reasons[b], Reason::converged) << measure;
      EXPECT_LE(report.relative[b], 1e-5) << measure;
    }
  }
}

TEST(Implicit, E31AFailedAdjointIsReportedAndBroydenSolvesIt) {
  const double r = 1.5;
  const AffineMap f{torch::tensor({{0.0, -r}, {r, 0.0}}, torch::kFloat64), randn({1, 2}, 3).requires_grad_()};
  const Tensor v = randn({1, 2}, 4);
  const auto error_with = [&](const char* solver) {
    auto deq = layer("implicit", tight, {.tolerance = 1e-10, .max_evaluations = 40}, "broyden", solver);
    const Equilibrium e = deq.solve(f.map(), State(torch::zeros({1, 2}, torch::kFloat64)));
    const Tensor got = torch::autograd::grad({(v * e.z()[0]).sum()}, {f.b})[0];
    const Tensor want = torch::linalg_solve(torch::eye(2, torch::kFloat64) - f.a.t(), v.squeeze(0)).unsqueeze(0);
    return std::pair(relative_error(got, want), e.backward->front().reasons[0]);
  };

  EXPECT_NE(error_with("fixed_point").second, Reason::converged);
  EXPECT_EQ(error_with("broyden").second, Reason::converged);
  EXPECT_LT(error_with("broyden").first, 1e-8);
}

TEST(Implicit, AFailedAdjointThatEndsTheRunHasARemedyForItsReason) {
  const AffineMap f{torch::tensor({{0.0, -1.5}, {1.5, 0.0}}, torch::kFloat64), randn({1, 2}, 3).requires_grad_()};
  const auto sentence = [&f](const char* solver, std::int64_t budget) -> std::string {
    auto deq = layer("implicit", tight, {.tolerance = 1e-10, .max_evaluations = budget}, "broyden", solver, {}, {.failed_samples = "abort"});
    try {
      torch::autograd::grad({deq.solve(f.map(), State(torch::zeros({1, 2}, torch::kFloat64))).z()[0].sum()}, {f.b});
    } catch (const std::exception& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(sentence("fixed_point", 100), ::testing::AllOf(::testing::HasSubstr("use [gradient] solver = { name = \"gmres\" }"), ::testing::Not(::testing::HasSubstr("max_evaluations"))));
  EXPECT_THAT(sentence("broyden", 1), ::testing::HasSubstr("raise max_evaluations"));
}

TEST(Implicit, E32EveryBackwardOfOneGraphGivesTheSameGradient) {
  const TanhMap f;
  auto deq = layer("implicit", tight, tight);
  const Tensor loss = deq.solve(f.map(), State(torch::zeros({3, 6}, torch::kFloat64))).z()[0].square().sum();

  const Tensor first = torch::autograd::grad({loss}, {f.w}, {}, /*retain_graph=*/true)[0];
  const Tensor second = torch::autograd::grad({loss}, {f.w}, {}, /*retain_graph=*/true)[0];

  EXPECT_TRUE(first.equal(second));
}

TEST(Implicit, E33OneLayerMayBeCalledTwiceBeforeBackward) {
  const TanhMap f;
  auto deq = layer("implicit", tight, tight);
  const State z0(torch::zeros({3, 6}, torch::kFloat64));
  const auto gradient = [&](int first, int second) {
    Tensor loss = torch::zeros({}, torch::kFloat64);
    if (first) loss = loss + deq.solve(f.map(), z0).z()[0].square().sum();
    if (second) loss = loss + deq.solve(f.map(), z0).z()[0].pow(3).sum();
    return torch::autograd::grad({loss}, {f.w})[0];
  };

  EXPECT_LT(relative_error(gradient(1, 1), gradient(1, 0) + gradient(0, 1)), 1e-12);
}

TEST(Implicit, E34SolvesWithoutGradientInTrainingMode) {
  const torch::NoGradGuard no_grad;
  auto deq = layer("implicit", tight, tight);
  EXPECT_FALSE(deq.solve(TanhMap().map(), State(torch::zeros({3, 6}, torch::kFloat64))).z()[0].requires_grad());
}

/// ∂/∂t of ‖∂L/∂x‖² for a loss L of the state, t = w, x: by the layer, and by differentiating `steps` steps twice.
std::vector<Tensor> second_derivatives(const TanhMap& f, const Tensor& z) {
  const Tensor first = torch::autograd::grad({z.pow(3).sum()}, {f.x}, {}, true, /*create_graph=*/true)[0];
  return torch::autograd::grad({first.square().sum()}, {f.w, f.x, f.u});
}

TEST(Implicit, E35SecondDerivativesOfAMapThatNamesItsTensorsAgreeWithUnrolling) {
  const TanhMap f;
  Tensor z = torch::zeros({3, 6}, torch::kFloat64);
  for (int k = 0; k < 200; ++k) z = f(z);
  const auto want = second_derivatives(f, z);
  for (const char* solver : {"fixed_point", "broyden", "gmres"}) {
    auto deq = layer("implicit", tight, tight, "anderson", solver);
    const auto got = second_derivatives(f, deq.solve(f.map(), State(torch::zeros({3, 6}, torch::kFloat64))).z()[0]);
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_error(got[i], want[i]), 1e-6) << solver << i;
  }
}

TEST(Implicit, E35SecondDerivativesWorkThroughSeveralLayers) {
  const TanhMap f, g(3, 4, 0.7, 40);  // g's injection is made of f's equilibrium
  const auto both = [&](const Tensor& first, const std::function<Tensor(const Tensor&)>& then) { return then(first.narrow(1, 0, 4)); };
  auto deq = layer("implicit", tight, tight);
  const Tensor zf = torch::zeros({3, 6}, torch::kFloat64), zg = torch::zeros({3, 4}, torch::kFloat64);
  const auto map = [&g](const Tensor& x) {
    TanhMap h = g;
    h.x = x;
    return h;
  };
  const Tensor got_z = both(deq.solve(f.map(), State(zf)).z()[0], [&](const Tensor& x) { return deq.solve(map(x).map(), State(zg)).z()[0]; });
  Tensor a = zf, b = zg;
  for (int k = 0; k < 150; ++k) a = f(a);
  const Tensor want_z = both(a, [&](const Tensor& x) {
    const TanhMap h = map(x);
    for (int k = 0; k < 150; ++k) b = h(b);
    return b;
  });
  const auto got = second_derivatives(f, got_z), want = second_derivatives(f, want_z);
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_error(got[i], want[i]), 1e-6) << i;
}

TEST(Implicit, E35RefusesASecondDerivativeOfAMapThatHidesItsTensors) {
  const TanhMap f;
  auto deq = layer("implicit", tight, tight);
  const FixedPointMap hidden([&f](const State& z) { return State(f(z[0])); });
  const FixedPointMap half_hidden([&f](const State& z, const std::vector<Tensor>&) { return State(f(z[0])); }, {{f.w, std::nullopt}}, true);
  for (const FixedPointMap& map : {hidden, half_hidden}) {
    const Tensor loss = deq.solve(map, State(torch::zeros({3, 6}, torch::kFloat64))).z()[0].square().sum();
    try {
      torch::autograd::grad({loss}, {f.w}, {}, true, /*create_graph=*/true);
      FAIL();
    } catch (const std::exception& error) {
      EXPECT_NE(std::string(error.what()).find("second derivative"), std::string::npos);
    }
  }
}

TEST(Implicit, ATensorThatTheMapForgotToNameGetsItsGradientAllTheSame) {
  const TanhMap f;
  auto deq = layer("implicit", tight, tight);
  const FixedPointMap half_hidden([&f](const State& z, const std::vector<Tensor>& t) {
    return State(torch::tanh(z[0].mm(t[0].t()) + f.x.mm(f.u.t()) + f.c));
  }, {{f.w, std::nullopt}}, true);
  const Tensor v = randn({3, 6}, 5), z0 = torch::zeros({3, 6}, torch::kFloat64);
  const auto got = torch::autograd::grad({(v * deq.solve(half_hidden, State(z0)).z()[0]).sum()}, f.captured());
  const auto want = unrolled_gradients(f.map(), z0, v, f.captured(), 300);
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_error(got[i], want[i]), 1e-10) << i;
}

TEST(Implicit, ACapturedTensorThatChangedBeforeBackwardIsAnError) {
  const TanhMap f;
  auto deq = layer("implicit", tight, tight);
  const Tensor loss = deq.solve(f.map(), State(torch::zeros({3, 6}, torch::kFloat64))).z()[0].square().sum();
  {
    const torch::NoGradGuard no_grad;
    Tensor(f.w).add_(1.0);
  }
  EXPECT_THROW(torch::autograd::grad({loss}, {f.w}), std::exception);
}

TEST(Implicit, EvaluationModeCarriesGradientsWhenAsked) {  // E28
  const TanhMap f;
  auto deq = layer("implicit", tight, tight);
  const State z0(torch::zeros({3, 6}, torch::kFloat64));
  EXPECT_FALSE(deq.solve(f.map(), z0, {.training = false}).z()[0].requires_grad());
  EXPECT_TRUE(deq.solve(f.map(), z0, {.training = false, .gradient = true}).z()[0].requires_grad());
}

/// Memory of this process in use, bytes.
std::int64_t resident() {
  std::ifstream in("/proc/self/statm");
  std::int64_t total = 0, pages = 0;
  in >> total >> pages;
  return pages * ::sysconf(_SC_PAGESIZE);
}

TEST(Implicit, NothingLeaksOver300Steps) {
  const Tensor b = torch::rand({8, 5000}, torch::kFloat64).requires_grad_();  // 0.32 MB a state
  auto deq = layer("implicit", {.tolerance = 1e-6}, {.tolerance = 1e-6}, "anderson", "broyden");
  std::int64_t before = 0;
  for (int step = 0; step < 300; ++step) {
    const FixedPointMap f([](const State& z, const std::vector<Tensor>& c) { return State(0.3 * z[0].cos() + c[0]); }, {{b, 0}}, true);
    const Tensor loss = deq.solve(f, State(torch::zeros_like(b.detach()))).z()[0].square().sum();
    if (step % 3 == 2) {  // a second derivative makes graphs out of backward passes
      const Tensor first = torch::autograd::grad({loss}, {b}, {}, true, /*create_graph=*/true)[0];
      torch::autograd::grad({first.square().sum()}, {b});
    } else {
      torch::autograd::grad({loss}, {b});
    }
    if (step == 50) before = resident();
  }
  EXPECT_LT(resident() - before, 40 << 20);  // one state kept a step would be 80 MB; a sanitizer keeps some of what was freed
}

}  // namespace
