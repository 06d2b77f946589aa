#include <unistd.h>

#include <fstream>

#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options tight{.tolerance = 1e-13, .max_evaluations = 300};

std::vector<Tensor> plain(const TanhMap& f, const Tensor& z0, int steps, double beta) {
  Tensor y = z0, z = z0;
  for (int k = 0; k < steps; ++k) {
    y = (1 - beta) * y + beta * f(z);
    z = (1 - beta) * z + beta * f(y);
  }
  return torch::autograd::grad({z.square().sum()}, f.captured());
}

double statistic(GradientMethod& method, const std::string& name) {
  for (const auto& [key, value] : query<Statistics>(method)->statistics())
    if (key == name) return value.item<double>();
  return NAN;
}

/// The gradients by `reversible`, and what the method says of itself.
std::pair<std::vector<Tensor>, std::shared_ptr<GradientMethod>> reversible(const FixedPointMap& map, const std::vector<Tensor>& leaves, const Tensor& z0, const Settings& settings) {
  std::shared_ptr<GradientMethod> method = make<GradientMethod>(Kind::gradient, "reversible", settings);
  gradient::Layer deq({choice("anderson", tight), choice("fixed_point", tight), method, make<GradientMethod>(Kind::gradient, "phantom"), {}});
  const auto got = torch::autograd::grad({deq.solve(map, State(z0)).z()[0].square().sum()}, leaves);
  return {got, method};
}

TEST(Reversible, IsTheGradientOfAllItsStepsForNamedTensorsAndClosures) {
  const TanhMap f;
  const Tensor z0 = randn({3, 6}, 8);
  const FixedPointMap hidden([&f](const State& z) { return State(f(z[0])); });
  const auto want = plain(f, z0, 12, 0.5);
  for (const FixedPointMap& map : {f.map(), hidden}) {
    const auto [got, method] = reversible(map, f.captured(), z0, {{"steps", std::int64_t{12}}, {"every", std::int64_t{12}}});
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_error(got[i], want[i]), 1e-9) << i;  // 2¹² ε and a margin
    EXPECT_LE(statistic(*method, "measured_error"), statistic(*method, "predicted_error"));
  }
}

TEST(Reversible, PredictsTheRoundingErrorAndStoresPairsInTime) {
  for (const auto dtype : {torch::kFloat32, torch::kFloat64})
    for (const double beta : {0.3, 0.5, 0.8}) {
      TanhMap f;
      for (Tensor* t : {&f.w, &f.u, &f.c, &f.x}) *t = t->detach().to(dtype).requires_grad_();
      const Tensor z0 = randn({3, 6}, 8).to(dtype);
      const auto [got, method] = reversible(f.map(), f.captured(), z0, {{"steps", std::int64_t{60}}, {"beta", beta}, {"tolerance", 1e-3}});
      EXPECT_LE(statistic(*method, "predicted_error"), 1e-3) << beta;
      EXPECT_LE(statistic(*method, "measured_error"), statistic(*method, "predicted_error")) << beta;
      EXPECT_GT(statistic(*method, "stored_pairs"), 1) << beta;
      EXPECT_LT(statistic(*method, "stored_pairs"), 61) << beta;
    }
}

TEST(Reversible, WithoutStoredPairsTheErrorGrowsWithTheSteps) {  // what the prediction is for
  TanhMap f;
  const Tensor z0 = randn({3, 6}, 8);
  double before = 0;
  for (const std::int64_t steps : {10, 20, 30}) {
    const double error = statistic(*reversible(f.map(), f.captured(), z0, {{"steps", steps}, {"beta", 0.8}, {"every", steps}}).second, "measured_error");
    EXPECT_GT(error, 100 * before) << steps;  // (1 − β)⁻¹ = 5 a step
    before = error;
  }
}

TEST(Reversible, RefusesASecondDerivativeWithASentence) {
  const TanhMap f;
  auto deq = layer("reversible", tight, tight);
  const Tensor loss = deq.solve(f.map(), State(torch::zeros({3, 6}, torch::kFloat64))).z()[0].square().sum();
  EXPECT_THROW(torch::autograd::grad({loss}, {f.w}, {}, true, /*create_graph=*/true), std::exception);
}

std::int64_t resident() {
  std::ifstream in("/proc/self/statm");
  std::int64_t total = 0, pages = 0;
  in >> total >> pages;
  return pages * ::sysconf(_SC_PAGESIZE);
}

TEST(Reversible, NothingLeaksOver300Steps) {
  const Tensor b = torch::rand({8, 5000}, torch::kFloat64).requires_grad_();  // 0.32 MB a state
  auto deq = layer("reversible", tight, tight, "anderson", "fixed_point", {{"steps", std::int64_t{3}}});
  std::int64_t before = 0;
  for (int step = 0; step < 300; ++step) {
    const FixedPointMap f([b](const State& z) { return State(0.3 * z[0].cos() + b); });
    const Tensor loss = deq.solve(f, State(torch::zeros_like(b.detach()))).z()[0].sum();
    if (step % 2) torch::autograd::grad({loss}, {b});
    if (step == 50) before = resident();
  }
  EXPECT_LT(resident() - before, 20 << 20);  // one state kept a step would be 80 MB
}

}  // namespace
