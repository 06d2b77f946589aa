// Convolutions whose weights are kept in oneDNN's layout from one evaluation to the next: values, what is kept, until when.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <zstar/nn/packed.hpp>

namespace {

using torch::Tensor;
using zstar::nn::PackedWeights;
using Use = zstar::nn::PackedWeights::Use;

double off(const Tensor& a, const Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

Tensor images(std::int64_t channels, std::int64_t height, std::int64_t width) {
  return torch::randn({3, channels, height, width}).contiguous(at::MemoryFormat::ChannelsLast);
}

TEST(PackedWeights, MakeEachLayoutOfAWeightOnceAndAgainWhenItChanged) {
  PackedWeights packed;
  Tensor w = torch::ones({2, 2});
  int made = 0;
  const auto doubled = [&] { return ++made, w * 2; };
  for (int k = 0; k < 3; ++k) EXPECT_EQ(packed.of(w, std::string("a"), doubled).sum().item<double>(), 8);
  EXPECT_EQ(made, 1);
  packed.of(w, std::string("b"), doubled), packed.of(w, 7, doubled), packed.of(w.clone(), std::string("a"), doubled);
  EXPECT_EQ(made, 4);
  packed.of(w.detach(), std::string("a"), doubled);  // the same numbers
  EXPECT_EQ(made, 4);
  w.fill_(3);
  EXPECT_EQ(packed.of(w, std::string("a"), doubled).sum().item<double>(), 24);
  w.set_data(torch::ones({2, 2}));
  EXPECT_EQ(packed.of(w, std::string("a"), doubled).sum().item<double>(), 8);
  EXPECT_EQ(made, 6);
  const torch::InferenceMode inference;
  w = torch::ones({2, 2});
  for (int k = 0; k < 2; ++k) packed.of(w, std::string("a"), doubled);  // no version says whether it was written to
  EXPECT_EQ(made, 8);
}

TEST(PackedWeights, AreInUseWithoutAGraphAndLetGoWithOne) {
  PackedWeights outer, inner;
  const Tensor w = torch::ones({2});
  int made = 0;
  const auto make = [&] { return ++made, w; };
  {
    const torch::NoGradGuard no_grad;
    const Use first(outer);
    outer.of(w, 1, make);
    EXPECT_EQ(PackedWeights::current(), &outer);
    {
      const Use second(inner);
      EXPECT_EQ(PackedWeights::current(), &inner);
    }
    EXPECT_EQ(PackedWeights::current(), &outer);
    outer.of(w, 1, make);
    EXPECT_EQ(made, 1);
  }
  const Use graph(outer);
  EXPECT_EQ(PackedWeights::current(), nullptr);
  outer.of(w, 1, make);
  EXPECT_EQ(made, 2);
}

TEST(PackedWeights, OfAnEvaluationThatDoesNotComeAcrossThemAreLetGo) {
  const torch::NoGradGuard no_grad;
  PackedWeights packed;
  const Tensor w = torch::ones({2});
  std::vector<Tensor> of_one;
  int made = 0;
  for (int k = 0; k < 3; ++k) {
    const Use use(packed);
    packed.of(w, 1, [&] { return ++made, w; });
    of_one.push_back(packed.of(torch::ones({2}) * k, 1, [] { return torch::ones({2}); }));
  }
  EXPECT_EQ(made, 1);
  for (int k = 0; k < 2; ++k) EXPECT_EQ(of_one[k].use_count(), 1) << k;  // no one else has it
}

struct Layer {
  std::int64_t in, out, kernel, stride, padding, height, width;
};
class Packed : public ::testing::TestWithParam<Layer> {};

TEST_P(Packed, ConvolvesAsLibTorchDoes) {
  const torch::NoGradGuard no_grad;
  const Layer c = GetParam();
  torch::manual_seed(3);
  for (const auto& [dtype, tolerance] : {std::pair(torch::kFloat32, 1e-6), std::pair(torch::kBFloat16, 1e-2)}) {
    const Tensor x = images(c.in, c.height, c.width).to(dtype), w = torch::randn({c.out, c.in, c.kernel, c.kernel}).to(dtype), b = torch::randn({c.out}).to(dtype);
    const Tensor want = torch::conv2d(x, w, b, c.stride, at::IntArrayRef{c.padding, c.padding});
    PackedWeights packed;
    for (const Tensor& weight : {w, w.contiguous(at::MemoryFormat::ChannelsLast)})
      for (int k = 0; k < 2; ++k) {
        const Use packing(packed);
        const Tensor got = zstar::nn::conv2d(x, weight, b, c.stride, c.padding);
        EXPECT_EQ(got.sizes(), want.sizes());
        EXPECT_LT(off(got.to(torch::kFloat32), want.to(torch::kFloat32)), tolerance);
        EXPECT_LT(off(zstar::nn::conv2d(x, weight, {}, c.stride, c.padding).to(torch::kFloat32), (want - b.view({1, -1, 1, 1})).to(torch::kFloat32)), tolerance);
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Packed, ::testing::Values(Layer{64, 96, 3, 1, 1, 4, 4}, Layer{5, 7, 3, 2, 1, 9, 6}, Layer{16, 40, 1, 1, 0, 5, 5}, Layer{3, 8, 5, 2, 0, 11, 8},
                                                          Layer{1, 1, 3, 1, 1, 7, 7}));

/// A map that differentiates within its evaluation.
TEST(PackedAlone, LosesNoGradient) {
  const torch::NoGradGuard no_grad;
  PackedWeights packed;
  const Use use(packed);
  const torch::AutoGradMode grad(true);
  const Tensor x = images(8, 6, 6).requires_grad_(), w = torch::randn({8, 8, 3, 3});
  const Tensor got = torch::autograd::grad({zstar::nn::conv2d(x, w, {}, 1, 1).sum()}, {x})[0];
  EXPECT_LT(off(got, torch::autograd::grad({torch::conv2d(x, w, Tensor(), 1, at::IntArrayRef{1, 1}).sum()}, {x})[0]), 1e-6);
}

#ifdef ZSTAR_ONEDNN
TEST(PackedAlone, SeesThatAWeightWasWrittenTo) {
  const torch::NoGradGuard no_grad;
  PackedWeights packed;
  const Use packing(packed);
  const Tensor x = images(8, 6, 6);
  Tensor w = torch::randn({8, 8, 3, 3});
  ASSERT_TRUE(zstar::nn::packed::pays(x, w, {}, 1, 1));
  const Tensor before = zstar::nn::conv2d(x, w, {}, 1, 1);
  w.mul_(-1);
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x, w, {}, 1, 1), -before));
}
#endif

TEST(PackedAlone, LeavesToLibTorchWhatItCannotTake) {
  const torch::NoGradGuard no_grad;
  PackedWeights packed;
  const Use packing(packed);
  const Tensor x = images(4, 6, 6), w = torch::randn({6, 4, 3, 3});
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x.contiguous(), w, {}, 1, 1), torch::conv2d(x.contiguous(), w, Tensor(), 1, at::IntArrayRef{1, 1})));
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x.to(torch::kFloat64), w.to(torch::kFloat64), {}, 1, 1),
                           torch::conv2d(x.to(torch::kFloat64), w.to(torch::kFloat64), Tensor(), 1, at::IntArrayRef{1, 1})));
  const Tensor grouped = torch::randn({6, 2, 3, 3}), wide = torch::randn({6, 4, 9, 9});
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x, grouped, {}, 1, 1, 1, 2), torch::conv2d(x, grouped, Tensor(), 1, at::IntArrayRef{1, 1}, 1, 2)));
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x, w, {}, 1, 2, 2), torch::conv2d(x, w, Tensor(), 1, at::IntArrayRef{2, 2}, 2)));
  EXPECT_EQ(zstar::nn::conv2d(x.slice(0, 0, 0), w, {}, 1, 1).size(0), 0);
  EXPECT_THROW(zstar::nn::conv2d(x, wide, {}, 1, 1), c10::Error);                     // the kernel is larger than the image
  EXPECT_THROW(zstar::nn::conv2d(x, torch::randn({6, 5, 3, 3})), c10::Error);         // other channels
  EXPECT_THROW(zstar::nn::conv2d(x, w, torch::randn({5}), 1, 1), std::exception);     // a bias of another size
  EXPECT_THROW(zstar::nn::conv2d(x, w, torch::randn({6}, torch::kBFloat16), 1, 1), std::exception);
  EXPECT_THROW(zstar::nn::conv2d(x, w, {}, 0, 1), std::exception);
  EXPECT_THROW(zstar::nn::conv2d(x, w, {}, 1, -1), std::exception);
  EXPECT_THROW(zstar::nn::conv2d(x, w, {}, {1, 1, 1}, 1), std::exception);
}

}  // namespace
