// A convolution whose input is made again in backward: values, gradients, second derivatives; within another checkpoint, too.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <zstar/nn/remade.hpp>

namespace {

using torch::Tensor;
using torch::autograd::variable_list;

double apart(const Tensor& a, const Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

/// Sizes that go Winograd's way in float32, and such that do not.
class Remade : public ::testing::TestWithParam<torch::Dtype> {
 protected:
  void SetUp() override {
    torch::manual_seed(2);
    const auto dtype = GetParam();
    x = torch::randn({2, 32, 20, 24}, dtype).requires_grad_(), w = (torch::randn({40, 32, 3, 3}, dtype) / 17).requires_grad_(),
    b = torch::randn({40}, dtype).requires_grad_();
  }
  Tensor image() const { return torch::relu(x.sin() + 0.1); }
  Tensor remade() const {
    return zstar::nn::conv2d_of([this] { return image(); }, w, b);
  }
  Tensor kept() const { return torch::conv2d(image(), w, b, 1, at::IntArrayRef{1, 1}); }
  double tolerance() const { return GetParam() == torch::kFloat32 ? 1e-5 : 1e-13; }
  Tensor x, w, b;
};

TEST_P(Remade, AgreesWithWhatIsKept) {
  const Tensor y = remade(), truth = kept(), seed = torch::randn_like(truth);
  EXPECT_LT(apart(y, truth), tolerance());
  const auto got = torch::autograd::grad({y}, {x, w, b}, {seed}), want = torch::autograd::grad({truth}, {x, w, b}, {seed});
  for (std::size_t k = 0; k < want.size(); ++k) EXPECT_LT(apart(got[k], want[k]), tolerance()) << k;
}

TEST_P(Remade, HasSecondDerivatives) {
  const auto second = [this](const Tensor& y) {
    const Tensor dx = torch::autograd::grad({y.pow(2).sum()}, {x}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({dx.pow(2).sum()}, {x, w});
  };
  const auto got = second(remade()), want = second(kept());
  for (std::size_t k = 0; k < want.size(); ++k) EXPECT_LT(apart(got[k], want[k]), 10 * tolerance()) << k;
}

/// There its value is looked at, while the graph around it is made again.
TEST_P(Remade, HasAValueWithinAnotherCheckpoint) {
  const auto around = [this](auto&& inside) {
    return zstar::nn::checkpoint([inside] { return std::vector<Tensor>{inside().square()}; }, torch::kCPU)[0];
  };
  const auto got = torch::autograd::grad({around([this] { return remade(); }).sum()}, {x, w, b}),
             want = torch::autograd::grad({kept().square().sum()}, {x, w, b});
  for (std::size_t k = 0; k < want.size(); ++k) EXPECT_LT(apart(got[k], want[k]), tolerance()) << k;
}

TEST_P(Remade, NeedsNoGraphAndNoBias) {
  const torch::NoGradGuard no_grad;
  EXPECT_LT(apart(remade(), kept()), tolerance());
  const Tensor five = torch::randn({8, 32, 5, 1}, GetParam());
  EXPECT_LT(apart(zstar::nn::conv2d_of([this] { return x; }, five, {}), torch::conv2d(x, five, Tensor(), 1, at::IntArrayRef{2, 0})), tolerance());
}

TEST_P(Remade, TakesOddKernelsOfAnySizesWithoutBiasAndAGradientOfAnyStrides) {
  const Tensor kernel = torch::randn({8, 32, 5, 1}, GetParam()).requires_grad_(),
               seed = torch::randn({2, 24, 20, 8}, GetParam()).permute({0, 3, 2, 1});
  const Tensor y = zstar::nn::conv2d_of([this] { return image(); }, kernel, {}),
               truth = torch::conv2d(image(), kernel, Tensor(), 1, at::IntArrayRef{2, 0});
  const auto got = torch::autograd::grad({y}, {x, kernel}, {seed}), want = torch::autograd::grad({truth}, {x, kernel}, {seed});
  for (std::size_t k = 0; k < want.size(); ++k) EXPECT_LT(apart(got[k], want[k]), tolerance()) << k;
  EXPECT_THROW(zstar::nn::conv2d_of([this] { return x; }, torch::randn({8, 32, 2, 1}, GetParam()), {}), c10::Error);
}

INSTANTIATE_TEST_SUITE_P(Types, Remade, ::testing::Values(torch::kFloat32, torch::kFloat64));

}  // namespace
