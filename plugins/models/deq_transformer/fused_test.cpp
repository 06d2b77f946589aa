#include "attention.hpp"
#include "attention_kernels.hpp"
#include "passes.hpp"

#include <gtest/gtest.h>

#include <limits>

#include <torch/csrc/autograd/autograd.h>
#include <torch/torch.h>

#include "zstar/testing/maps.hpp"

namespace {

using torch::Tensor;
using namespace zstar_deq_transformer;

/// Two segments, three heads of five features; bit 0: a memory, bit 1: dropout, bit 2: a window, bit 3: long rows.
struct Case {
  Heads h;
  std::vector<Tensor> inputs;  ///< that need gradients

  Case(int bits, torch::ScalarType dtype) {
    const std::int64_t batch = 2, heads = 3, d = 5, length = (bits & 8) != 0 ? 37 : 4, memory = (bits & 1) != 0 ? length + 3 : 0, keys = memory + length;
    const auto random = [&](std::vector<std::int64_t> sizes, std::uint64_t seed) {
      inputs.push_back(zstar::testing::randn(sizes, seed).to(dtype).requires_grad_());
      return inputs.back();
    };
    h.qkv = random({batch, length, 3 * heads * d}, 1);
    h.content_bias = random({heads, 1, 1, d}, 2), h.distance_bias = random({heads, 1, 1, d}, 3);
    inputs.push_back(zstar::testing::randn({heads, d, keys}, 4).to(dtype).requires_grad_());
    h.r = torch::constant_pad_nd(inputs.back(), {1, 0});
    if (memory > 0) h.k_history = random({heads, batch, memory, d}, 5), h.v_history = random({heads, batch, memory, d}, 6);
    const Tensor behind = torch::arange(keys).view({1, -1}) - torch::arange(length).view({-1, 1}) - memory;  // of the query; positive: it follows
    const Tensor hidden = (bits & 4) != 0 ? (behind > 0) | (behind < -2) : behind > 0;
    h.blocked = torch::zeros({length, keys}, dtype).masked_fill(hidden, -std::numeric_limits<double>::infinity());
    if ((bits & 2) != 0) h.dropout = (zstar::testing::randn({heads, batch, length, keys}, 7) > -1).to(dtype) * 1.25;
  }
};

double error(const Tensor& got, const Tensor& want) { return ((got - want).abs().max() / want.abs().max().clamp_min(1e-30)).item<double>(); }

class FusedAttention : public ::testing::TestWithParam<int> {};

TEST_P(FusedAttention, AgreesWithItsPlainTwin) {
  for (const auto& [dtype, tolerance] : {std::pair(torch::kFloat64, 1e-14), std::pair(torch::kFloat32, 2e-6)}) {  // some ε
    const Case c(GetParam(), dtype);
    const Tensor got = attention(c.h);
    EXPECT_LT(error(got, plain_attention(c.h)), tolerance);
    if (zstar_deq_transformer::kernels::has_blas()) {
      EXPECT_NE(got.grad_fn()->name().find("Fused"), std::string::npos) << "what was compared is " << got.grad_fn()->name();
    }
    const torch::NoGradGuard no_grad;
    EXPECT_LT(error(attention(c.h), got), tolerance);
  }
}

TEST_P(FusedAttention, ItsGradientsAgreeToo) {
  for (const auto& [dtype, tolerance] : {std::pair(torch::kFloat64, 1e-13), std::pair(torch::kFloat32, 5e-6)}) {
    const Case c(GetParam(), dtype);
    const Tensor v = zstar::testing::randn(attention(c.h).sizes().vec(), 9).to(dtype);
    const auto want = torch::autograd::grad({plain_attention(c.h)}, c.inputs, {v}, true), got = torch::autograd::grad({attention(c.h)}, c.inputs, {v}, true);
    for (std::size_t i = 0; i < want.size(); ++i) {
      EXPECT_LT(error(got[i], want[i]), tolerance) << i;
      EXPECT_LT(error(torch::autograd::grad({attention(c.h)}, {c.inputs[i]}, {v}, true)[0], got[i]), tolerance) << i << ", asked for alone";
    }
  }
}

TEST_P(FusedAttention, HasSecondDerivatives) {
  const auto second = [](const Case& c, Tensor (*f)(const Heads&)) {
    const Tensor y = f(c.h), v = zstar::testing::randn(y.sizes().vec(), 9).requires_grad_();
    Tensor sum = torch::zeros({}, torch::kFloat64);
    for (const Tensor& g : torch::autograd::grad({y}, c.inputs, {v}, true, /*create_graph=*/true)) sum = sum + g.square().sum();
    std::vector<Tensor> of = c.inputs;
    of.push_back(v);
    return torch::autograd::grad({sum}, of);
  };
  const Case c(GetParam(), torch::kFloat64);
  const auto got = second(c, attention), want = second(c, plain_attention);
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(error(got[i], want[i]), 1e-12) << i;
}

/// In an unrolled solve the queries of an evaluation depend on the biases, distances and memory of the one before.
TEST_P(FusedAttention, OnTheGraphTwiceItsDifferentiableGradientsAreThoseOfTheChain) {
  const Case c(GetParam(), torch::kFloat64);
  const auto gradients = [&](Tensor (*f)(const Heads&), bool create_graph) {
    Heads second = c.h;
    second.qkv = f(c.h).repeat({1, 1, 3}).sin();
    const Tensor y = f(second);
    return torch::autograd::grad({y}, c.inputs, {zstar::testing::randn(y.sizes().vec(), 9)}, true, create_graph);
  };
  const auto want = gradients(plain_attention, false), got = gradients(attention, false), differentiable = gradients(attention, true);
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_LT(error(got[i], want[i]), 1e-12) << i;
    EXPECT_LT(error(differentiable[i], want[i]), 1e-12) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Combinations, FusedAttention, ::testing::Range(0, 16));

TEST(FusedAttention, WhatIsBlockedHasNoInfluenceAtAll) {
  for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
    const torch::NoGradGuard no_grad;
    Case c(13, dtype);
    const Tensor before = attention(c.h);
    c.h.qkv.select(1, 20).fill_(1e3);
    const Tensor changed = (attention(c.h) != before).any(2)[0];
    for (std::int64_t i = 0; i < 37; ++i) EXPECT_EQ(changed[i].item<bool>(), i >= 20 && i <= 22) << "a window of three, position " << i;
  }
}

TEST(FusedAttention, ANaNStaysOneAndOtherPrecisionsAreTaken) {
  const torch::NoGradGuard no_grad;
  Case c(1, torch::kFloat32);
  c.h.qkv[0][1][0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(attention(c.h)[0][1][0].isnan().item<bool>());
  EXPECT_FALSE(attention(c.h)[1].isnan().any().item<bool>());
  const Case low(1, torch::kBFloat16), full(1, torch::kFloat32);
  EXPECT_LT(error(attention(low.h).to(torch::kFloat32), attention(full.h)), 0.1);
}

/// Two samples of five rows, 19 numbers to 35 and back; bit 0: a mask.
struct Operands {
  Tensor x, z, w, b, mask;
  Operands(int bits, torch::ScalarType dtype) {
    const auto random = [&](std::vector<std::int64_t> sizes, std::uint64_t seed) { return zstar::testing::randn(sizes, seed).to(dtype).requires_grad_(); };
    x = random({2, 5, 19}, 1), z = random({2, 5, 35}, 2), w = random({35, 19}, 3), b = random({35}, 4);
    if ((bits & 1) != 0) mask = (zstar::testing::randn({2, 1, 35}, 5) > -1).to(dtype) * 1.25;
  }
  std::vector<Tensor> inputs() const { return {x, w, b, z}; }
};

using Pass = Tensor (*)(const Operands&);
const std::pair<Pass, Pass> passes[] = {{[](const Operands& o) { return hidden(o.x, o.w, o.b, o.mask); }, [](const Operands& o) { return plain_hidden(o.x, o.w, o.b, o.mask); }},
                                        {[](const Operands& o) { return added(o.z, o.x, o.w, o.b, o.mask); }, [](const Operands& o) { return plain_added(o.z, o.x, o.w, o.b, o.mask); }}};

class JoinedPass : public ::testing::TestWithParam<int> {};

TEST_P(JoinedPass, AgreesWithItsPlainTwinAndSoDoItsGradients) {
  const auto [joined, plain] = passes[GetParam() / 2];
  for (const auto& [dtype, tolerance] : {std::pair(torch::kFloat64, 1e-13), std::pair(torch::kFloat32, 3e-6)}) {  // some ε
    const Operands o(GetParam(), dtype);
    const Tensor got = joined(o), want = plain(o), v = zstar::testing::randn({2, 5, 35}, 9).to(dtype);
    EXPECT_LT(error(got, want), tolerance);
    const auto mine = torch::autograd::grad({got}, o.inputs(), {v}, true, false, /*allow_unused=*/true), theirs = torch::autograd::grad({want}, o.inputs(), {v}, true, false, true);
    for (std::size_t i = 0; i < mine.size(); ++i) {
      ASSERT_EQ(mine[i].defined(), theirs[i].defined()) << i;
      if (mine[i].defined()) {
        EXPECT_LT(error(mine[i], theirs[i]), tolerance) << i;
      }
    }
    EXPECT_LT(error(torch::autograd::grad({joined(o)}, {o.x}, {v})[0], mine[0]), tolerance);
    EXPECT_NE(got.grad_fn()->name().find(GetParam() < 2 ? "Hidden" : "Added"), std::string::npos) << got.grad_fn()->name();
    const torch::NoGradGuard no_grad;
    EXPECT_LT(error(joined(o), got), tolerance);
  }
}

TEST_P(JoinedPass, HasSecondDerivatives) {
  const auto second = [&](Pass f) {
    const Operands o(GetParam(), torch::kFloat64);
    const Tensor v = zstar::testing::randn({2, 5, 35}, 9).requires_grad_();
    const Tensor dx = torch::autograd::grad({f(o)}, {o.x}, {v}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({dx.square().sum()}, {o.w, v});
  };
  const auto got = second(passes[GetParam() / 2].first), want = second(passes[GetParam() / 2].second);
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(error(got[i], want[i]), 1e-13) << i;
}

TEST_P(JoinedPass, ANaNPassesAndOtherPrecisionsAreTaken) {
  const torch::NoGradGuard no_grad;
  const Operands o(GetParam(), torch::kFloat32);
  o.x[1][2][3] = std::numeric_limits<float>::quiet_NaN();
  const Tensor y = passes[GetParam() / 2].first(o);
  EXPECT_TRUE(y[1][2].isnan().all().item<bool>());
  EXPECT_FALSE(y[0].isnan().any().item<bool>());
  EXPECT_EQ(passes[GetParam() / 2].first(Operands(GetParam(), torch::kBFloat16)).scalar_type(), torch::kBFloat16);
  Operands shared(GetParam(), torch::kFloat32);
  shared.mask = torch::full({1, 1, 35}, 0.5f);  // sizes that ATen's operations take
  EXPECT_LT(error(passes[GetParam() / 2].first(shared), passes[GetParam() / 2].second(shared)), 3e-6);
}

INSTANTIATE_TEST_SUITE_P(HiddenAndAdded, JoinedPass, ::testing::Range(0, 4));

}  // namespace
