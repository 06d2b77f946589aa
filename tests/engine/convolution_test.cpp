// The convolution of models against LibTorch's own: values, gradients, second derivatives, formats; float64 and small images go to LibTorch.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <zstar/nn/winograd.hpp>

namespace {

using torch::Tensor;

struct Case {
  std::int64_t images, in, out, height, width;
  bool last;  ///< channels last
};

double relative(const Tensor& a, const Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

class Convolutions : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case c = GetParam();
    torch::manual_seed(1);
    x = torch::randn({c.images, c.in, c.height, c.width});
    if (c.last) x = x.contiguous(at::MemoryFormat::ChannelsLast);
    w = torch::randn({c.out, c.in, 3, 3}) / std::sqrt(9.0 * c.in);
    b = torch::randn({c.out});
    for (Tensor* t : {&x, &w, &b}) t->requires_grad_(true);
  }
  Tensor ours() const { return zstar::nn::conv2d(x, w, b, 1, 1); }
  Tensor exact() const { return torch::conv2d(x.to(torch::kDouble), w.to(torch::kDouble), b.to(torch::kDouble), 1, 1); }
  Tensor x, w, b;
};

TEST_P(Convolutions, AgreeWithLibTorch) {
  const Tensor y = ours(), truth = exact();
  EXPECT_LT(relative(y, truth), 1e-5);
  EXPECT_EQ(y.suggest_memory_format(), torch::conv2d(x, w, b, 1, 1).suggest_memory_format());
  const Tensor seed = torch::randn_like(y);
  const auto gradients = torch::autograd::grad({y}, {x, w, b}, {seed}), true_gradients = torch::autograd::grad({truth}, {x, w, b}, {seed.to(torch::kDouble)});
  for (std::size_t k = 0; k < gradients.size(); ++k) EXPECT_LT(relative(gradients[k], true_gradients[k]), 1e-5) << k;
}

TEST_P(Convolutions, HaveSecondDerivatives) {
  const auto second = [this](const Tensor& y) {
    const Tensor dx = torch::autograd::grad({y.pow(2).sum()}, {x}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({dx.pow(2).sum()}, {w})[0];
  };
  EXPECT_LT(relative(second(ours()), second(exact())), 1e-4);
}

TEST_P(Convolutions, NeedNoGraph) {
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(ours().requires_grad());
  EXPECT_LT(relative(zstar::nn::conv2d(x, w, {}, 1, 1), torch::conv2d(x, w, Tensor(), 1, at::IntArrayRef{1, 1})), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Convolutions,
                         testing::Values(Case{16, 24, 120, 32, 32, true}, Case{16, 120, 24, 32, 32, false}, Case{3, 33, 47, 29, 18, false}, Case{3, 33, 47, 29, 18, true},
                                         Case{1, 64, 64, 17, 16, false}, Case{40, 64, 96, 24, 24, true}, Case{1, 3, 8, 32, 32, false}, Case{2, 64, 64, 3, 3, false}));

TEST(Convolution, OfFloat64IsLibTorchs) {
  const Tensor x = torch::randn({2, 32, 16, 16}, torch::kDouble), w = torch::randn({32, 32, 3, 3}, torch::kDouble);
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x, w, {}, 1, 1), torch::conv2d(x, w, Tensor(), 1, at::IntArrayRef{1, 1})));
}

TEST(Convolution, OfOtherStridesPaddingsAndGroupsIsLibTorchs) {
  const Tensor x = torch::randn({2, 64, 32, 32}), w = torch::randn({64, 64, 3, 3}), grouped = torch::randn({64, 32, 3, 3});
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x, w, {}, 2, 1), torch::conv2d(x, w, Tensor(), 2, at::IntArrayRef{1, 1})));
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x, w, {}, 1, 0), torch::conv2d(x, w, Tensor(), 1, at::IntArrayRef{0, 0})));
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x, w, {}, 1, 2, 2), torch::conv2d(x, w, Tensor(), 1, at::IntArrayRef{2, 2}, 2)));
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x, grouped, {}, 1, 1, 1, 2), torch::conv2d(x, grouped, Tensor(), 1, at::IntArrayRef{1, 1}, 1, 2)));
}

TEST(Convolution, IsTheSameTwice) {
  const Tensor x = torch::randn({4, 32, 32, 32}), w = torch::randn({64, 32, 3, 3});
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x, w, {}, 1, 1), zstar::nn::conv2d(x, w, {}, 1, 1)));
}

}  // namespace
