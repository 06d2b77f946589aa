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

}  // namespace
