#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>
#include <torch/torch.h>

#include "fused_norm.hpp"
#include "zstar/testing/maps.hpp"

namespace {

using torch::Tensor;
using zstar_mdeq::Around;
using zstar_mdeq::group_norm;
using zstar_mdeq::plain_group_norm;

/// One combination of what stands around the norm, with numbers of its own. Width 35 leaves a rest behind every vector length.
struct Case {
  Tensor x, affine, add, skip, mask;
  Around around;

  Case(int bits, torch::ScalarType dtype) {
    const std::vector<std::int64_t> shape{2, 6, 5, 7};
    const auto random = [&](std::vector<std::int64_t> sizes, std::uint64_t seed) {
      const Tensor t = zstar::testing::randn(sizes, seed).to(dtype);
      return t.dim() == 4 && t.size(3) > 1 ? t.contiguous(torch::MemoryFormat::ChannelsLast) : t;
    };
    x = (random(shape, 1) * 3 + 1).requires_grad_();
    affine = random({2, 6}, 2).requires_grad_();
    if (bits & 1) around.mask = mask = (random({2, 6, 1, 1}, 3) > 0).to(dtype) * 2;
    if (bits & 2) around.add = add = random(shape, 4).requires_grad_();
    if (bits & 4) around.skip = skip = random(shape, 5).requires_grad_();
    around.relu = (bits & 8) != 0;
  }
  std::vector<Tensor> inputs() const {
    std::vector<Tensor> all{x, affine};
    for (const Tensor& t : {add, skip})
      if (t.defined()) all.push_back(t);
    return all;
  }
};

double error(const Tensor& got, const Tensor& want) { return ((got - want).abs().max() / want.abs().max().clamp_min(1e-30)).item<double>(); }

class FusedNorm : public ::testing::TestWithParam<int> {};

TEST_P(FusedNorm, AgreesWithItsPlainTwin) {
  for (const auto& [dtype, tolerance] : {std::pair(torch::kFloat64, 1e-13), std::pair(torch::kFloat32, 3e-6), std::pair(torch::kBFloat16, 2e-2)}) {  // some ε
    const Case c(GetParam(), dtype);
    const Tensor got = group_norm(c.x, 3, c.affine, c.around), want = plain_group_norm(c.x, 3, c.affine, c.around);
    EXPECT_LT(error(got, want), tolerance);
    const torch::NoGradGuard no_grad;
    EXPECT_TRUE(torch::equal(group_norm(c.x, 3, c.affine, c.around), got));
  }
}

TEST_P(FusedNorm, ItsGradientsAgreeToo) {
  const Case c(GetParam(), torch::kFloat64);
  const Tensor v = zstar::testing::randn({2, 6, 5, 7}, 9);
  const auto got = torch::autograd::grad({group_norm(c.x, 3, c.affine, c.around)}, c.inputs(), {v});
  const auto want = torch::autograd::grad({plain_group_norm(c.x, 3, c.affine, c.around)}, c.inputs(), {v});
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(error(got[i], want[i]), 1e-12) << i;
}

/// In an unrolled solve the input of an evaluation depends on scale and shift of the one before.
TEST_P(FusedNorm, OnTheGraphTwiceItsDifferentiableGradientsAreThoseOfTheChain) {
  const Case c(GetParam(), torch::kFloat64);
  const auto gradients = [&](auto f, bool create_graph) {
    const Tensor y = f(f(c.x, 3, c.affine, c.around), 3, c.affine, c.around);
    return torch::autograd::grad({y}, c.inputs(), {zstar::testing::randn({2, 6, 5, 7}, 9)}, true, create_graph);
  };
  const auto want = gradients(plain_group_norm, false), got = gradients(group_norm, true);
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(error(got[i], want[i]), 1e-11) << i;
}

TEST_P(FusedNorm, TheGradientOfEachInputCanBeAskedForAlone) {
  const Case c(GetParam(), torch::kFloat64);
  const Tensor v = zstar::testing::randn({2, 6, 5, 7}, 9);
  const std::vector<Tensor> inputs = c.inputs();
  const auto all = torch::autograd::grad({plain_group_norm(c.x, 3, c.affine, c.around)}, inputs, {v});  // asked for one alone, LibTorch 2.11 may write where nothing is
  for (std::size_t i = 0; i < inputs.size(); ++i)
    EXPECT_LT(error(torch::autograd::grad({group_norm(c.x, 3, c.affine, c.around)}, {inputs[i]}, {v})[0], all[i]), 1e-12) << i;
}

TEST_P(FusedNorm, HasSecondDerivatives) {
  const Case c(GetParam(), torch::kFloat64);
  const Tensor v = zstar::testing::randn({2, 6, 5, 7}, 9), w = zstar::testing::randn({2, 6, 5, 7}, 10);
  const auto second = [&](const auto& f) {
    const Tensor first = torch::autograd::grad({f(c.x, 3, c.affine, c.around)}, {c.x}, {v}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({(first * w).sum()}, {c.x, c.affine});
  };
  const auto got = second(group_norm), want = second(plain_group_norm);
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(error(got[i], want[i]), 1e-10) << i;
}

INSTANTIATE_TEST_SUITE_P(Around, FusedNorm, ::testing::Range(0, 16));

TEST(FusedNormAlone, WhatItCannotTakeGoesToThePlainTwin) {
  const Case c(15, torch::kFloat32);
  EXPECT_LT(error(group_norm(c.x.detach().contiguous(), 3, c.affine, c.around), group_norm(c.x, 3, c.affine, c.around)), 3e-6);
  EXPECT_EQ(group_norm(c.x.detach().slice(0, 0, 0), 3, c.affine.detach()).size(0), 0);
}

/// 1e4 ± 1: the square of the mean is 1e8 times the variance.
TEST(FusedNormAlone, KeepsItsDigitsFarFromZero) {
  const Tensor x = (zstar::testing::randn({1, 2, 40, 40}, 1) + 1e4).contiguous(torch::MemoryFormat::ChannelsLast), affine = torch::tensor({{1., 1.}, {0., 0.}}, torch::kFloat64);
  const Tensor got = group_norm(x.to(torch::kFloat32), 1, affine.to(torch::kFloat32)), want = plain_group_norm(x, 1, affine);
  EXPECT_LT((got - want).abs().max().item<double>(), 2e-3);  // 1e4 has 1e-3 between neighbours in float32
}

TEST(FusedNormAlone, NotANumberIsNotHidden) {
  Tensor x = torch::ones({1, 2, 2, 2}).contiguous(torch::MemoryFormat::ChannelsLast);
  x[0][0][0][0] = NAN;
  EXPECT_TRUE(group_norm(x, 1, torch::ones({2, 2}), {.relu = true}).isnan().all().item<bool>());
}

}  // namespace
