// The convolution of models against LibTorch's own: values, gradients, second derivatives, formats; float64 and small images go to LibTorch.
#include <thread>

#include <ATen/Parallel.h>
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
                                         Case{1, 64, 64, 17, 16, false}, Case{40, 64, 96, 24, 24, true}, Case{1, 3, 8, 32, 32, false}, Case{2, 64, 64, 3, 3, false},
                                         Case{8, 128, 640, 8, 8, true}, Case{3, 300, 250, 9, 10, false}));  // the last two: weights larger than images

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

TEST(Convolution, TakesACotangentThatIsToBeNegated) {
  const torch::NoGradGuard no_grad;
  const Tensor x = torch::randn({2, 64, 20, 24}), w = torch::randn({64, 64, 3, 3}), dy = torch::randn({2, 64, 20, 24});
  const auto gradient = [&](const Tensor& cotangent) { return zstar::nn::conv2d_gradients(x, w, cotangent, {1, 1}, true, false).first; };
  EXPECT_LT(relative(gradient(torch::_neg_view(dy)), -gradient(dy)), 1e-5);
}

/// A tensor as a model may hand it over, of sizes that Winograd's algorithm takes.
class Views : public testing::Test {
 protected:
  static Tensor images() { return torch::randn({2, 32, 20, 24}); }
  static void expect_agreement(const Tensor& x, const Tensor& w, const std::string& what) {
    const Tensor a = x.detach().requires_grad_(), b = w.detach().requires_grad_();
    const Tensor y = zstar::nn::conv2d(a, b, {}, 1, 1), truth = torch::conv2d(a, b, Tensor(), 1, at::IntArrayRef{1, 1});
    EXPECT_LT(relative(y, truth), 1e-5) << what;
    EXPECT_EQ(y.suggest_memory_format(), truth.suggest_memory_format()) << what;
    const auto g = torch::autograd::grad({y.sum()}, {a, b}), true_g = torch::autograd::grad({truth.sum()}, {a, b});  // their seed has strides of zero
    for (std::size_t k = 0; k < 2; ++k) EXPECT_LT(relative(g[k], true_g[k]), 1e-5) << what << ' ' << k;
  }
  Tensor w = torch::randn({40, 32, 3, 3}) / 17;
};

TEST_F(Views, OfAnyStridesAreTaken) {
  const Tensor x = images(), last = x.contiguous(at::MemoryFormat::ChannelsLast), wide = torch::randn({2, 64, 20, 24});
  expect_agreement(x.transpose(2, 3), w, "transposed");
  expect_agreement(x.flip(3).slice(2, 3, 19), w, "rows in the middle");
  expect_agreement(wide.slice(1, 0, 64, 2), w, "every second channel");
  expect_agreement(wide.contiguous(at::MemoryFormat::ChannelsLast).narrow(1, 7, 32), w, "some channels of pixels");
  expect_agreement(last.narrow(0, 1, 1), w, "one image of pixels");
  expect_agreement(x.narrow(0, 0, 1).expand({3, 32, 20, 24}), w, "one image three times");
  expect_agreement(x[0].unsqueeze(3).permute({3, 0, 1, 2}), w, "one image, its axis last in memory");
  expect_agreement(x.as_strided({1, 32, 20, 24}, {5, 480, 24, 1}), w, "one image, its stride anything");
  expect_agreement(x, w.transpose(2, 3), "weight transposed");
  expect_agreement(x, torch::randn({40, 64, 3, 3}).narrow(1, 3, 32), "weight of some channels");
}

TEST_F(Views, EmptyBatchesAreEmptyAndHaveGradients) {
  const Tensor none = torch::empty({0, 32, 20, 24}).requires_grad_(), weight = w.clone().requires_grad_();
  const Tensor y = zstar::nn::conv2d(none, weight, torch::zeros({40}), 1, 1);
  EXPECT_EQ(y.sizes(), (at::IntArrayRef{0, 40, 20, 24}));
  y.sum().backward();
  EXPECT_TRUE(torch::equal(weight.grad(), torch::zeros_like(weight)));
}

TEST_F(Views, AnImageThatIsNotANumberLeavesTheOthersAsTheyAre) {
  const Tensor x = torch::randn({5, 32, 21, 23}), clean = zstar::nn::conv2d(x, w, {}, 1, 1);
  Tensor spoilt = x.clone();
  spoilt[2].fill_(NAN);
  const Tensor y = zstar::nn::conv2d(spoilt, w, {}, 1, 1);
  EXPECT_TRUE(y[2].isnan().all().item<bool>());
  for (const std::int64_t i : {0, 1, 3, 4}) EXPECT_TRUE(torch::equal(y[i], clean[i])) << i;
}

TEST_F(Views, InferenceModeIsTaken) {
  const c10::InferenceMode inference;
  const Tensor x = images(), b = torch::randn({40});
  EXPECT_LT(relative(zstar::nn::conv2d(x, w, b, 1, 1), torch::conv2d(x, w, b, 1, at::IntArrayRef{1, 1})), 1e-5);
}

TEST_F(Views, ABiasThatDoesNotFitIsRefusedAsByLibTorch) {
  EXPECT_THROW(zstar::nn::conv2d(images(), w, torch::ones({1}), 1, 1), c10::Error);
  EXPECT_THROW(zstar::nn::conv2d(images(), w, torch::ones({40}, torch::kDouble), 1, 1), std::exception);
}

/// Values and gradients in numbers of threads that change, in threads of one's own and in a parallel region.
TEST_F(Views, AnyThreadsAgree) {
  const Tensor x = images(), seed = torch::randn({2, 40, 20, 24});
  const auto all = [&] {
    const Tensor a = x.detach().requires_grad_(), b = w.detach().requires_grad_(), y = zstar::nn::conv2d(a, b, {}, 1, 1);
    auto found = torch::autograd::grad({y}, {a, b}, {seed});
    return found.push_back(y.detach()), found;
  };
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = all();
  const auto expect_same = [&one](const std::vector<Tensor>& found, const char* what) {
    for (std::size_t k = 0; k < one.size(); ++k) EXPECT_LT(relative(found[k], one[k]), 1e-6) << what << ' ' << k;
  };
  at::set_num_threads(2);
  expect_same(all(), "two");
  std::vector<std::vector<Tensor>> each(3);
  std::vector<std::thread> threads;
  for (auto& found : each) threads.emplace_back([&all, &found] { found = all(); });
  for (auto& thread : threads) thread.join();
  for (const auto& found : each) expect_same(found, "a thread of its own");
  std::vector<std::vector<Tensor>> inside(2);
  at::parallel_for(0, 2, 1, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t i = first; i < end; ++i) inside[static_cast<std::size_t>(i)] = all();
  });
  for (const auto& found : inside) expect_same(found, "a parallel region");
  at::set_num_threads(before);
}

TEST(Convolution, IsTheSameTwice) {
  const Tensor x = torch::randn({4, 32, 32, 32}), w = torch::randn({64, 32, 3, 3});
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x, w, {}, 1, 1), zstar::nn::conv2d(x, w, {}, 1, 1)));
}

}  // namespace
