#include <array>
#include <vector>

#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>
#include <torch/torch.h>

#include "fused_sum.hpp"
#include "zstar/testing/maps.hpp"

namespace {

using torch::Tensor;
using zstar_mdeq::plain_sum_of_branches;
using zstar_mdeq::sum_of_branches;
using Sizes = std::vector<std::array<std::int64_t, 2>>;

constexpr std::int64_t height = 7, width = 14;
constexpr std::int64_t channels = 35;  // leaves a rest behind every vector length

/// Heights and widths of the terms: none enlarged, the first, the last, all; by two, and by what is not a whole number.
const std::vector<Sizes> cases{{{7, 14}}, {{7, 14}, {4, 7}}, {{4, 7}, {7, 14}}, {{7, 14}, {7, 14}, {4, 7}, {2, 4}}, {{1, 1}, {3, 5}}, {{4, 7}}};

class FusedSum : public ::testing::TestWithParam<std::size_t> {
 protected:
  static std::vector<Tensor> terms(torch::ScalarType dtype) {
    std::vector<Tensor> all;
    for (const auto& [h, w] : cases[GetParam()])
      all.push_back(zstar::testing::randn({2, channels, h, w}, 1 + all.size()).to(dtype).contiguous(torch::MemoryFormat::ChannelsLast).requires_grad_());
    return all;
  }
  static Tensor cotangent(torch::ScalarType dtype) { return zstar::testing::randn({2, channels, height, width}, 9).to(dtype); }
};

TEST_P(FusedSum, IsItsPlainTwinToTheLastBit) {
  for (const auto dtype : {torch::kFloat64, torch::kFloat32, torch::kBFloat16}) {
    const std::vector<Tensor> t = terms(dtype);
    const Tensor want = plain_sum_of_branches(t, height, width), got = sum_of_branches(t, height, width);
    EXPECT_TRUE(torch::equal(got, want)) << dtype;
    const torch::NoGradGuard no_grad;
    EXPECT_TRUE(torch::equal(sum_of_branches(t, height, width), want)) << dtype;
  }
}

TEST_P(FusedSum, ItsGradientsAreToo) {
  for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
    const std::vector<Tensor> t = terms(dtype);
    const auto want = torch::autograd::grad({plain_sum_of_branches(t, height, width)}, t, {cotangent(dtype)});
    const auto got = torch::autograd::grad({sum_of_branches(t, height, width)}, t, {cotangent(dtype)});
    for (std::size_t i = 0; i < want.size(); ++i) {
      EXPECT_TRUE(torch::equal(got[i], want[i])) << dtype << ' ' << i;
      EXPECT_TRUE(torch::equal(torch::autograd::grad({sum_of_branches(t, height, width)}, {t[i]}, {cotangent(dtype)})[0], want[i])) << "asked for alone: " << i;
    }
  }
}

TEST_P(FusedSum, HasSecondDerivatives) {
  const std::vector<Tensor> t = terms(torch::kFloat64);
  const auto second = [&](const auto& f) {
    std::vector<Tensor> squares;
    for (const Tensor& x : t) squares.push_back(x * x);
    const auto first = torch::autograd::grad({f(squares, height, width)}, t, {cotangent(torch::kFloat64)}, true, /*create_graph=*/true);
    Tensor total = first[0].sum();
    for (std::size_t i = 1; i < first.size(); ++i) total = total + (first[i] * first[i]).sum();
    return torch::autograd::grad({total}, t);
  };
  const auto got = second([](const auto& x, auto h, auto w) { return sum_of_branches(x, h, w); }), want = second([](const auto& x, auto h, auto w) { return plain_sum_of_branches(x, h, w); });
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_TRUE(torch::allclose(got[i], want[i], 1e-12, 1e-12)) << i;
}

TEST_P(FusedSum, WhatItCannotTakeGoesToThePlainTwin) {
  std::vector<Tensor> t = terms(torch::kFloat32);
  const Tensor want = plain_sum_of_branches(t, height, width);
  t.back() = t.back().detach().contiguous();
  EXPECT_TRUE(torch::equal(sum_of_branches(t, height, width), want));
  for (Tensor& x : t) x = x.detach().slice(0, 0, 0);
  EXPECT_EQ(sum_of_branches(t, height, width).size(0), 0);
}

INSTANTIATE_TEST_SUITE_P(Terms, FusedSum, ::testing::Range<std::size_t>(0, cases.size()));

TEST(FusedSumAlone, NotANumberIsNotHidden) {
  Tensor x = -torch::ones({1, 2, 2, 2}).contiguous(torch::MemoryFormat::ChannelsLast);
  x[0][0][0][0] = NAN;
  EXPECT_EQ(sum_of_branches({x}, 2, 2).isnan().sum().item<std::int64_t>(), 1);
}

}  // namespace
