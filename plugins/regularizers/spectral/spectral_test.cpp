#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"
#include "zstar/abi/regularizer.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

Solved at(const FixedPointMap& f, const Tensor& z) {
  Equilibrium e;
  e.states = {State(z)};
  return {f, e};
}

double penalty(const Tensor& a, const Settings& settings) {
  const AffineMap f{a, torch::zeros({2, a.size(0)}, torch::kFloat64)};
  return make<Regularizer>(Kind::regularizer, "spectral", settings)->penalty(at(f.map(), f.zeros()), at::detail::createCPUGenerator(1)).item<double>();
}

TEST(Spectral, NormIsTheLargestSingularValue) {
  const Tensor a = matrix_of_norm(6, 1.3, 2);
  EXPECT_NEAR(penalty(a, {{"iterations", std::int64_t{200}}}), 1.3 * 1.3, 1e-6);
  EXPECT_NEAR(penalty(a, {{"iterations", std::int64_t{200}}, {"target", 0.9}}), 0.4 * 0.4, 1e-6);
  EXPECT_EQ(penalty(a, {{"iterations", std::int64_t{200}}, {"target", 1.4}}), 0.0);
}

TEST(Spectral, RadiusIsRightForComplexPairsAndBelowTheNorm) {
  const Tensor a = 0.9 * torch::tensor({{2.0, 5.0}, {-1.0, -2.0}}, torch::kFloat64);  // radius 0.9, norm 5.2
  EXPECT_NEAR(penalty(a, {{"of", std::string("radius")}, {"iterations", std::int64_t{400}}}), 0.81, 0.02);  // the k-th root of the condition of the eigenvectors
}

TEST(Spectral, GradientOfTheNormAgreesWithCentralDifferences) {
  const auto value = [](const Tensor& w) {
    const FixedPointMap f([w](const State& z) { return State(z[0].mm(w.t())); });
    return make<Regularizer>(Kind::regularizer, "spectral", {{"iterations", std::int64_t{200}}})->penalty(at(f, torch::zeros({1, 5}, torch::kFloat64)), at::detail::createCPUGenerator(1));
  };
  Tensor w = randn({5, 5}, 3).requires_grad_();
  const Tensor got = torch::autograd::grad({value(w)}, {w})[0], direction = randn({5, 5}, 4);
  const double h = 1e-5, want = (value(w.detach() + h * direction) - value(w.detach() - h * direction)).item<double>() / (2 * h);
  EXPECT_NEAR((got * direction).sum().item<double>(), want, 1e-5 * std::abs(want));  // h² and the iteration's own error
}

TEST(Spectral, AZeroJacobianCostsNothing) {
  EXPECT_NEAR(penalty(torch::zeros({4, 4}, torch::kFloat64), {}), 0.0, 1e-20);
}

}  // namespace
