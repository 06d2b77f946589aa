#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"
#include "zstar/abi/regularizer.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

TEST(Jacobian, ProbesOfAnOrthogonalBasisGiveTheExactFrobeniusNorm) {
  const TanhMap f(1, 6);
  const Tensor z = randn({1, 6}, 20);
  Equilibrium e;
  e.states = {State(z)};
  const auto regularizer = make<Regularizer>(Kind::regularizer, "jacobian");
  auto* probed = query<Probed>(*regularizer);
  ASSERT_NE(probed, nullptr);
  std::vector<State> basis;
  for (int i = 0; i < 6; ++i) basis.push_back(State(torch::eye(6, torch::kFloat64).narrow(0, i, 1) * std::sqrt(6.0)));

  const Tensor got = probed->penalty({f.map(), e}, basis);

  const Tensor slope = 1 - f(z).square();  // tanh' at the point
  const Tensor jacobian = slope.t() * f.w;
  EXPECT_NEAR(got.item<double>(), jacobian.square().sum().item<double>() / 6, 1e-12);
  EXPECT_NO_THROW(torch::autograd::grad({got}, {f.w}));
}

Solved at(const TanhMap& f, const Tensor& z) {
  Equilibrium e;
  e.states = {State(z)};
  return {f.map(), e};
}

/// Σ_b ‖J_b‖²_F / (B D) by the formula of the map.
double frobenius(const TanhMap& f, const Tensor& z) {
  double sum = 0;
  for (std::int64_t b = 0; b < z.size(0); ++b) sum += ((1 - f(z)[b].square()).unsqueeze(1) * f.w).square().sum().item<double>();
  return sum / static_cast<double>(z.numel());
}

TEST(Jacobian, E36IsExactForSmallStatesAndSaysSo) {
  const TanhMap f;
  const Tensor z = randn({3, 6}, 20);
  const auto regularizer = make<Regularizer>(Kind::regularizer, "jacobian", {{"exact_below", std::int64_t{6}}});
  const Tensor got = regularizer->penalty(at(f, z), at::detail::getDefaultCPUGenerator());
  EXPECT_NEAR(got.item<double>(), frobenius(f, z), 1e-12);
  EXPECT_EQ(query<Statistics>(*regularizer)->statistics()[0].second.item<double>(), 0.0);
}

TEST(Jacobian, E36ExactValueOfTwoTensorsOfDifferentAxes) {
  const zstar::testing::TwoStates f{zstar::testing::contraction(3, 4, 0.7)};
  Equilibrium e;
  e.states = {f.zeros()};
  const auto regularizer = make<Regularizer>(Kind::regularizer, "jacobian", {{"exact_below", std::int64_t{10}}});
  const Tensor got = regularizer->penalty({f.map(), e}, at::detail::getDefaultCPUGenerator());
  const double one = f.p.a.square().sum().item<double>() + 4 * 2 * 0.05 * 0.05 + 2.0 / 9 + 2 * 4 / 1600.0;  // the four blocks of J
  EXPECT_NEAR(got.item<double>(), one / 6, 1e-12);
}

TEST(Jacobian, E36SpreadOfTheProbesIsTheStandardErrorOfTheEstimate) {
  const TanhMap f;
  const Tensor z = randn({3, 6}, 20);
  const auto generator = at::detail::createCPUGenerator(3);
  for (const char* distribution : {"normal", "rademacher"}) {
    const auto regularizer = make<Regularizer>(Kind::regularizer, "jacobian", {{"probes", std::int64_t{400}}, {"distribution", std::string(distribution)}});
    const double got = regularizer->penalty(at(f, z), generator).item<double>(), error = query<Statistics>(*regularizer)->statistics()[0].second.item<double>();
    EXPECT_NEAR(got, frobenius(f, z), 4 * error) << distribution;  // four standard errors
    EXPECT_LT(error, 0.1 * got) << distribution;
  }
}

TEST(Jacobian, E36WorksInHalfPrecision) {  // accumulated in float32: a square of 500 alone is beyond float16 (65504)
  const FixedPointMap f([](const State& s) { return State(s[0] * 500.0); });
  for (const auto& [dtype, epsilon] : {std::pair(torch::kFloat16, 9.8e-4), std::pair(torch::kBFloat16, 7.8e-3)})
    for (const Settings& settings : {Settings{{"distribution", std::string("rademacher")}}, Settings{{"exact_below", std::int64_t{4}}}}) {
      Equilibrium e;
      e.states = {State(torch::full({2, 4}, 30.0, torch::TensorOptions(dtype)))};
      const Tensor got = make<Regularizer>(Kind::regularizer, "jacobian", settings)->penalty({f, e}, at::detail::getDefaultCPUGenerator());
      EXPECT_NEAR(got.to(torch::kFloat64).item<double>(), 250000, 250000 * epsilon) << dtype;
      const Tensor normal = make<Regularizer>(Kind::regularizer, "jacobian")->penalty({f, e}, at::detail::getDefaultCPUGenerator());
      EXPECT_TRUE(std::isfinite(normal.to(torch::kFloat64).item<double>())) << dtype;
    }
}

}  // namespace
