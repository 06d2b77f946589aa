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

TEST(DenoisingEnergy, IsTheFrobeniusNormOfTheJacobianOfAnAffineMap) {  // whatever σ is
  const AffineMap f{matrix_of_norm(6, 0.7, 2), randn({1, 6}, 3)};
  const Tensor z = f.fixed_point();
  for (const double sigma : {1e-3, 1.0}) {
    const auto regularizer = make<Regularizer>(Kind::regularizer, "denoising_energy", {{"sigma", sigma}});
    std::vector<State> basis;
    for (int i = 0; i < 6; ++i) basis.push_back(State(torch::eye(6, torch::kFloat64).narrow(0, i, 1) * std::sqrt(6.0)));
    const double got = query<Probed>(*regularizer)->penalty(at(f.map(), z), basis).item<double>();
    EXPECT_NEAR(got, f.a.square().sum().item<double>() / 6, 1e-9) << sigma;  // rounding over σ²
  }
}

TEST(DenoisingEnergy, IsDifferentiableWithoutReachingTheStateUnlessAsked) {
  const TanhMap f;
  const Tensor z = randn({3, 6}, 4).requires_grad_();
  for (const bool through : {false, true}) {
    const auto regularizer = make<Regularizer>(Kind::regularizer, "denoising_energy", {{"through_solution", through}});
    const Tensor penalty = regularizer->penalty(at(f.map(), z), at::detail::createCPUGenerator(1));
    const auto gradients = torch::autograd::grad({penalty}, {f.w, z}, {}, false, false, /*allow_unused=*/true);
    EXPECT_TRUE(gradients[0].defined());
    EXPECT_EQ(gradients[1].defined(), through);
  }
}

}  // namespace
