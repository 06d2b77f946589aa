#include <gtest/gtest.h>

#include <zstar/abi/norm.hpp>
#include <zstar/testing/maps.hpp>
#include <zstar/testing/matchers.hpp>
#include <zstar/testing/parts.hpp>

namespace {

using namespace zstar::testing;

torch::Tensor normed(const torch::Tensor& weight) {
  const auto norm = make<zstar::Norm>(zstar::Kind::norm, "my_norm", "bound = 0.5");
  return norm->effective({norm->store(weight, {})[0].value}, {}, /*training=*/true);
}

TEST(MyNorm, ScalesALargeWeightDownToTheBound) {
  const torch::Tensor weight = randn({3, 4}, 1);

  EXPECT_NEAR(normed(weight).norm().item<double>(), 0.5, 1e-14);
  EXPECT_THAT(normed(weight) * weight.norm(), near(0.5 * weight, 1e-14));  // the direction stays
}

TEST(MyNorm, LeavesASmallWeightAlone) {
  const torch::Tensor weight = 0.01 * randn({3, 4}, 1);

  EXPECT_THAT(normed(weight), near(weight, 0.0));
}

}  // namespace
