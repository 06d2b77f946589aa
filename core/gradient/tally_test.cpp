/// \file Every gradient method leaves a report with a residual or without, and a reason.
#include <cmath>

#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options tight{.tolerance = 1e-13, .max_evaluations = 300};
const State z0(torch::zeros({3, 6}, torch::kFloat64));

AffineMap affine() { return {matrix_of_norm(6, 0.7, 2), randn({3, 6}, 3).requires_grad_()}; }

struct Backward {
  Equilibrium e;
  Tensor v, u;
  const Report& report() const { return e.backward->back(); }
  /// ‖v + Jᵀu − u‖ of sample b.
  double residual(const AffineMap& f, std::int64_t b) const { return (v + u.mm(f.a) - u)[b].norm().item<double>(); }
};

/// One whole backward pass of ⟨v, z⟩. ∂f/∂b is the identity, so that the gradient of b is the adjoint.
Backward backward(const AffineMap& f, const std::string& method, const Settings& settings, bool residual) {
  auto deq = layer(method, tight, tight, "anderson", "fixed_point", settings, {.residual = residual});
  Backward run{deq.solve(f.map(), z0), randn({3, 6}, 5), {}};
  f.b.mutable_grad() = Tensor();
  (run.v * run.e.z()[0]).sum().backward();
  run.u = f.b.grad();
  return run;
}

TEST(Tally, MethodsThatLeaveTheAdjointToAutogradReportTheirProductsAndReason) {
  const AffineMap f = affine();
  const std::vector<std::pair<std::string, Settings>> methods{{"phantom", {{"steps", std::vector<std::int64_t>{4}}}}, {"jacobian_free", {}},
                                                              {"truncated", {{"steps", std::int64_t{9}}, {"tracked", std::int64_t{4}}}}};
  for (const auto& [method, settings] : methods) {
    const Backward run = backward(f, method, settings, false);
    ASSERT_EQ(run.e.backward->size(), 1u) << method;
    EXPECT_EQ(run.report().calls, method == "jacobian_free" ? 1 : 4) << method;
    EXPECT_EQ(run.report().batch(), 3) << method;
    for (std::size_t b = 0; b < 3; ++b) {
      EXPECT_EQ(run.report().reasons[b], Reason::budget) << method;
      EXPECT_TRUE(std::isnan(run.report().residual[b])) << method;  // nothing is claimed that was not measured
      EXPECT_EQ(run.report().best[b], 0) << method;
    }
  }
}

TEST(Tally, TheResidualOfAnyMethodCostsOneProduct) {
  const AffineMap f = affine();
  struct Case {
    std::string method;
    Settings settings;
    std::int64_t products;
  };
  const std::vector<Case> methods{{"phantom", {{"steps", std::vector<std::int64_t>{4}}}, 4},
                                  {"phantom", {{"steps", std::vector<std::int64_t>{5}}, {"beta", 0.6}}, 5},
                                  {"jacobian_free", {}, 1},
                                  {"unrolled", {{"steps", std::int64_t{7}}, {"beta", 0.8}}, 7},
                                  {"truncated", {{"steps", std::int64_t{9}}, {"tracked", std::int64_t{4}}}, 4},
                                  {"reversible", {{"steps", std::int64_t{6}}}, 12}};
  for (const auto& [method, settings, products] : methods) {
    const Backward run = backward(f, method, settings, true);
    for (std::size_t b = 0; b < 3; ++b) {
      EXPECT_NEAR(run.report().residual[b], run.residual(f, static_cast<std::int64_t>(b)), 1e-12) << method;
      EXPECT_NEAR(run.report().relative[b], run.report().residual[b] / run.v[static_cast<std::int64_t>(b)].norm().item<double>(), 1e-12) << method;
      EXPECT_EQ(run.report().reasons[b], Reason::budget) << method;  // of a few steps from zero, too
    }
    EXPECT_EQ(run.report().calls, products + 1) << method;
  }
}

TEST(Tally, WhatIsMeasuredHasConvergedWithinTheToleranceOfTheAdjoint) {
  const AffineMap f = affine();
  for (const char* method : {"unrolled", "reversible", "truncated"}) {
    Settings settings{{"steps", std::int64_t{200}}};
    if (std::string(method) == "truncated") settings.push_back({"tracked", std::int64_t{200}});
    const Backward run = backward(f, method, settings, true);
    for (std::size_t b = 0; b < 3; ++b) {
      EXPECT_LT(run.residual(f, static_cast<std::int64_t>(b)), 1e-12) << method;
      EXPECT_EQ(run.report().reasons[b] == Reason::converged, run.report().relative[b] <= 1e-13) << method;
      EXPECT_EQ(run.report().tolerance, 1e-13) << method;
    }
  }
}

/// u = v + Jᵀv, without a word.
class TwoTerms final : public GradientMethod {
 public:
  std::vector<State> attach(const FixedPointMap& f, const State& z, std::int64_t, std::int64_t, GradientServices& services) override {
    return {services.implicit(f, z, [](const AdjointProblem& p, AdjointServices&) { return p.cotangent + p.vjp(p.cotangent); }, JacobianAt::state)};
  }
};

/// u = v, and nothing of it by the services of the layer.
class Alone final : public GradientMethod {
 public:
  std::vector<State> attach(const FixedPointMap& f, const State& z, std::int64_t, std::int64_t, GradientServices&) override { return {f(z)}; }
};

gradient::Layer layer_of(std::shared_ptr<GradientMethod> method, const gradient::Options& options) {
  gradient::LayerParts parts{choice("anderson", tight), choice("fixed_point", tight), std::move(method), make<GradientMethod>(Kind::gradient, "phantom"), options};
  parts.gradient_name = "silent";
  return gradient::Layer(std::move(parts));
}

TEST(Tally, AMethodThatRecordsNothingHasAReportToo) {
  const AffineMap f = affine();
  const Tensor v = randn({3, 6}, 5);
  for (const bool solves : {false, true})
    for (const bool residual : {false, true}) {
      std::shared_ptr<GradientMethod> method;
      if (solves) method = std::make_shared<TwoTerms>();
      else method = std::make_shared<Alone>();
      auto deq = layer_of(method, {.residual = residual});
      const Equilibrium e = deq.solve(f.map(), z0);
      f.b.mutable_grad() = Tensor();
      (v * e.z()[0]).sum().backward();
      const Tensor u = f.b.grad(), r = v + u.mm(f.a) - u;
      ASSERT_EQ(e.backward->size(), 1u);
      const Report& report = e.backward->front();
      EXPECT_EQ(report.method, "silent");
      EXPECT_EQ(report.calls, (solves ? 1 : 0) + (residual ? 1 : 0));
      for (std::size_t b = 0; b < 3; ++b) {
        EXPECT_EQ(report.reasons[b], Reason::budget);
        if (residual) EXPECT_NEAR(report.residual[b], r[static_cast<std::int64_t>(b)].norm().item<double>(), 1e-12);
        else EXPECT_TRUE(std::isnan(report.residual[b]));
      }
    }
}

TEST(Tally, ASolverThatReturnsWhatItHasNotEvaluatedIsMeasured) {
  const AffineMap f = affine();
  for (const bool residual : {false, true}) {
    auto deq = layer("implicit", tight, {.tolerance = 1e-6, .max_evaluations = 30}, "anderson", "torchdeq_fixed_point", {}, {.residual = residual});
    const Equilibrium e = deq.solve(f.map(), z0);
    const Tensor v = randn({3, 6}, 5), u = torch::autograd::grad({(v * e.z()[0]).sum()}, {f.b})[0];
    for (std::int64_t b = 0; b < 3; ++b) {
      const double r = (v + u.mm(f.a) - u)[b].norm().item<double>(), said = e.backward->back().residual[static_cast<std::size_t>(b)];
      if (residual) EXPECT_NEAR(said, r, 1e-12);
      else EXPECT_TRUE(std::isnan(said));
    }
  }
}

TEST(Tally, AFailedSampleOfAMethodThatRecordsNothingIsGoverned) {
  const AffineMap f{1.5 * torch::eye(6, torch::kFloat64), randn({3, 6}, 3).requires_grad_()};  // v + Jᵀv is worse than no adjoint at all
  auto deq = layer_of(std::make_shared<TwoTerms>(), {.failed_samples = "zero"});
  const Tensor u = torch::autograd::grad({deq.solve(f.map(), z0).z()[0].sum()}, {f.b})[0];
  EXPECT_EQ(u.abs().max().item<double>(), 0);
}

TEST(Tally, ASeriesThatGrewHasDiverged) {
  const AffineMap f{1.5 * torch::eye(6, torch::kFloat64), randn({3, 6}, 3).requires_grad_()};
  const Backward run = backward(f, "phantom", {{"steps", std::vector<std::int64_t>{3}}}, true);
  for (std::size_t b = 0; b < 3; ++b) {
    EXPECT_EQ(run.report().reasons[b], Reason::diverged);
    EXPECT_NEAR(run.report().relative[b], 1.5 * 1.5 * 1.5, 1e-12);
  }
}

TEST(Tally, AWholeIterationHasConvergedWhereItsStatesHave) {
  const AffineMap f = affine();
  for (const char* method : {"unrolled", "reversible"})
    for (const std::int64_t steps : {3, 200}) {
      const Backward run = backward(f, method, {{"steps", steps}}, false);
      EXPECT_EQ(run.report().reasons, run.e.forward.back().reasons) << method;
      EXPECT_EQ(run.report().reasons[0] == Reason::converged || run.report().reasons[0] == Reason::floor, steps == 200) << method;
    }
}

TEST(Tally, EachBackwardPassHasItsReportAndSecondDerivativesStay) {
  const TanhMap f;
  for (const bool residual : {false, true}) {
    auto deq = layer("phantom", tight, tight, "anderson", "fixed_point", {{"steps", std::vector<std::int64_t>{6}}, {"every", std::int64_t{2}}}, {.residual = residual});
    const Equilibrium e = deq.solve(f.map(), z0);
    ASSERT_EQ(e.states.size(), 3u);
    Tensor loss = torch::zeros({}, torch::kFloat64);
    for (const State& z : e.states) loss = loss + z[0].square().sum();
    for (std::size_t k = 1; k <= 2; ++k) {
      loss.backward({}, /*retain_graph=*/true);
      EXPECT_EQ(e.backward->size(), k);
      EXPECT_EQ(std::isnan(e.backward->back().residual[0]), !residual);
    }
    const Tensor first = torch::autograd::grad({loss}, {f.w}, {}, true, /*create_graph=*/true)[0];
    EXPECT_NO_THROW(torch::autograd::grad({first.square().sum()}, {f.w}));
  }
}

TEST(Tally, APolicyForFailedSamplesThatCannotActIsRefused) {
  for (const char* method : {"phantom", "jacobian_free", "unrolled", "truncated", "reversible"}) {
    EXPECT_NO_THROW(layer(method, tight, tight)) << method;
    EXPECT_THROW(layer(method, tight, tight, "anderson", "fixed_point", {}, {.failed_samples = "abort"}), OptionError) << method;
  }
  EXPECT_NO_THROW(layer("jacobian_free", tight, tight, "anderson", "fixed_point", {{"measure", true}}, {.failed_samples = "abort"}));
  EXPECT_NO_THROW(layer("neumann", tight, tight, "anderson", "fixed_point", {}, {.failed_samples = "zero"}));
}

}  // namespace
