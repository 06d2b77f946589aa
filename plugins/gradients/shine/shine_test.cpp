#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options forward{.tolerance = 1e-12, .max_evaluations = 200};

struct Found {
  double error;
  Report report;
};

/// Relative error of u by `shine` for z ↦ z Aᵀ + b against the dense solution, and its report.
Found shine(const AffineMap& map, const Settings& settings, const std::string& solver = "broyden", const solve::Options& adjoint = {.tolerance = 1e-9, .max_evaluations = 60}) {
  const AffineMap f{map.a, map.b.clone().requires_grad_()};
  const Tensor v = randn(f.b.sizes(), 77);
  auto deq = layer("shine", forward, adjoint, solver, "gmres", settings);
  const Equilibrium e = deq.solve(f.map(), State(map.zeros()));
  const Tensor u = torch::autograd::grad({(v * e.z()[0]).sum()}, {f.b})[0];
  const Tensor want = torch::linalg_solve(torch::eye(f.width(), torch::kFloat64) - f.a.t(), v.t()).t();
  const Tensor residual = (v + u.mm(f.a) - u).norm(2, {1});
  const Report& report = e.backward->front();
  for (std::int64_t b = 0; b < v.size(0); ++b) EXPECT_NEAR(report.residual[static_cast<std::size_t>(b)], residual[b].item<double>(), 1e-9) << report.method;
  return {relative_error(u, want), report};
}

TEST(Shine, TakesTheEstimateOfTheForwardSolverForOneProduct) {
  const AffineMap f = zstar::testing::stiff(2, 12, 0.9);
  const Found bare = shine(f, {{"refine", std::int64_t{0}}, {"fallback", 0.0}});
  const Tensor v = randn(f.b.sizes(), 77), u = torch::linalg_solve(torch::eye(12, torch::kFloat64) - f.a.t(), v.t()).t();
  EXPECT_NE(bare.error, relative_error(v, u));  // not the one-step gradient; how good it is depends on the steps taken, its residual tells
  EXPECT_EQ(bare.report.calls, 1);
}

TEST(Shine, RefinementReducesTheErrorAndKnowsItsResidual) {
  const AffineMap f = zstar::testing::contraction(3, 20, 0.95);
  double before = INFINITY;
  for (const std::int64_t k : {0, 2, 5, 10, 20}) {
    const Found found = shine(f, {{"refine", k}, {"tolerance", 0.0}});
    double residual = 0;
    for (const double r : found.report.residual) residual += r;
    EXPECT_LT(residual, before) << k;
    before = residual;
  }
  EXPECT_LT(before, 1e-8);  // as many steps as unknowns
}

TEST(Shine, RefinedNeedsFewerProductsThanTheSolverFromZero) {
  const AffineMap f = zstar::testing::stiff(2, 30, 0.98);
  const Found found = shine(f, {{"refine", std::int64_t{30}}, {"tolerance", 1e-8}}, "chord");
  auto deq = layer("implicit", forward, {.tolerance = 1e-8, .max_evaluations = 80}, "chord", "gmres");
  const AffineMap g{f.a, f.b.clone().requires_grad_()};
  const Equilibrium e = deq.solve(g.map(), State(f.zeros()));
  torch::autograd::grad({(randn(f.b.sizes(), 77) * e.z()[0]).sum()}, {g.b});
  EXPECT_LT(found.error, 1e-5);
  EXPECT_LT(found.report.calls, e.backward->front().calls);
}

TEST(Shine, WorksWithEverySolverThatLeavesAnEstimateAndRefusesOthers) {
  const AffineMap f = zstar::testing::contraction(2, 8, 0.7);
  for (const char* solver : {"broyden", "chord", "diagonal_broyden", "klement"}) EXPECT_LT(shine(f, {{"refine", std::int64_t{8}}, {"tolerance", 0.0}}, solver).error, 1e-8) << solver;
  EXPECT_THROW(shine(f, {}, "fixed_point"), std::exception);
}

TEST(Shine, ServesSampledStatesUnderAnotherMethod) {
  const AffineMap map = zstar::testing::contraction(2, 8, 0.7), f{map.a, map.b.clone().requires_grad_()};
  for (const char* form : {"indexing", "sliced"}) {
    gradient::Layer deq({choice("broyden", {.tolerance = 0, .max_evaluations = 12}), choice("gmres", forward), make<GradientMethod>(Kind::gradient, "implicit"),
                         make<GradientMethod>(Kind::gradient, "shine"), {.states = 3, .form = form}});
    const Equilibrium e = deq.solve(f.map(), State(map.zeros()));
    Tensor loss = torch::zeros({}, torch::kFloat64);
    for (const State& z : e.states) loss = loss + z[0].square().sum();
    EXPECT_TRUE(torch::autograd::grad({loss}, {f.b})[0].isfinite().all().item<bool>()) << form;
    EXPECT_EQ(e.backward->size(), 3u) << form;
  }
}

TEST(Shine, ASampleThatTheLossDoesNotSeeDoesNotProlongTheRefinement) {
  const AffineMap f = zstar::testing::contraction(3, 20, 0.8);
  const auto products = [&](double weight) {
    const AffineMap g{f.a, f.b.clone().requires_grad_()};
    Tensor v = randn(f.b.sizes(), 77);
    v[1].mul_(weight);
    auto deq = layer("shine", forward, forward, "broyden", "gmres", {{"refine", std::int64_t{20}}, {"tolerance", 1e-2}});
    const Equilibrium e = deq.solve(g.map(), State(f.zeros()));
    const Tensor u = torch::autograd::grad({(v * e.z()[0]).sum()}, {g.b})[0];
    const Tensor residual = (v + u.mm(f.a) - u).norm(2, {1}), size = v.norm(2, {1});
    EXPECT_TRUE((residual <= 1.01e-2 * size).all().item<bool>()) << weight;  // each sample against its own
    return e.backward->front().calls;
  };
  EXPECT_LT(products(0), 21);
  EXPECT_LE(products(0), products(1));
  EXPECT_EQ(products(1e-9), products(1));  // relative to its own ‖v‖, whatever that is
}

TEST(Shine, FallsBackToTheOneStepGradientWhereTheEstimateIsLarge) {
  const AffineMap f = zstar::testing::stiff(2, 12, 0.9);
  const Tensor v = randn(f.b.sizes(), 77);
  const AffineMap g{f.a, f.b.clone().requires_grad_()};
  auto deq = layer("shine", forward, forward, "broyden", "gmres", {{"refine", std::int64_t{0}}, {"fallback", 1e-3}});
  const Tensor u = torch::autograd::grad({(v * deq.solve(g.map(), State(f.zeros())).z()[0]).sum()}, {g.b})[0];
  EXPECT_TRUE(u.equal(v));
}

TEST(Shine, SolveGoesOnWithTheSolverOfTheExperiment) {
  const Found found = shine(zstar::testing::contraction(2, 16, 0.95), {{"solve", true}});
  EXPECT_LT(found.error, 1e-7);
  EXPECT_EQ(found.report.method, "gmres");
}

}  // namespace
