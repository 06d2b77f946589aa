#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include <zstar/abi/regularizer.hpp>
#include <zstar/testing/parts.hpp>

namespace {

TEST(MyRegularizer, IsTheMeanSquareBeyondWhatIsFree) {
  const auto part = zstar::testing::make<zstar::Regularizer>(zstar::Kind::regularizer, "my_regularizer", "free = 1.0");
  const torch::Tensor z = torch::tensor({{3.0, -0.5}, {-2.0, 1.0}}).requires_grad_();
  zstar::Solved solved;
  solved.equilibrium.states = {zstar::State(z)};

  const torch::Tensor penalty = part->penalty(solved, {});

  EXPECT_DOUBLE_EQ(penalty.item<double>(), (2.0 * 2.0 + 1.0 * 1.0) / 4);
  EXPECT_TRUE(torch::autograd::grad({penalty}, {z})[0].equal(torch::tensor({{1.0, 0.0}, {-0.5, 0.0}})));
}

}  // namespace
