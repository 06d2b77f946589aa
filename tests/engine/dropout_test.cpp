/// \file Failures that fixed-point engines have shown, one test each: dropout.
#include <gtest/gtest.h>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"
#include "zstar/nn.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

struct Cell : torch::nn::Module {
  std::shared_ptr<nn::VariationalDropout> drop;
  explicit Cell(double p) : drop(register_module("drop", std::make_shared<nn::VariationalDropout>(p))) {}
};

TEST(EngineDropout, E48DtypeIsKeptAndCertainDropIsZero) {
  for (const auto dtype : {torch::kFloat64, torch::kFloat32, torch::kBFloat16, torch::kFloat16}) {
    const Tensor x = torch::ones({4, 8}, torch::TensorOptions(dtype));
    nn::VariationalDropout half(0.5), all(1.0), none(0.0);
    EXPECT_EQ(half.forward(x).scalar_type(), dtype);
    EXPECT_TRUE(all.forward(x).equal(torch::zeros_like(x)));
    EXPECT_TRUE(none.forward(x).equal(x));
  }
  EXPECT_ANY_THROW(nn::VariationalDropout(1.5));
}

TEST(EngineDropout, E49AMaskLivesForOneSolveAndItsBackward) {
  torch::manual_seed(3);
  Cell cell(0.5);
  const Tensor x = torch::ones({4, 32}, torch::kFloat64);
  const auto frozen = nn::freeze(cell, true);
  const auto masked = [&] {
    const auto bound = frozen.bind();
    return cell.drop->forward(x);
  };
  const Tensor first = masked();
  EXPECT_TRUE(masked().equal(first));                                // the same in every evaluation of the solve
  const auto other = nn::freeze(cell, true);
  {
    const auto bound = other.bind();
    EXPECT_FALSE(cell.drop->forward(x).equal(first));                // another in the next
  }
  EXPECT_TRUE(masked().equal(first));                                // and the first again when its backward comes later
  EXPECT_FALSE(first[0].equal(first[1]));                            // every sample has its own
  for (const std::int64_t batch : {1, 5}) {                          // batches of any size, one after another
    const auto next = nn::freeze(cell, true);
    const auto bound = next.bind();
    EXPECT_EQ(cell.drop->forward(torch::ones({batch, 32}, torch::kFloat64)).size(0), batch);
  }
  cell.eval();
  EXPECT_TRUE(cell.drop->forward(x).equal(x));
}

TEST(EngineDropout, E49MasksComeFromAGeneratorThatCanBeSeeded) {
  const Tensor x = torch::ones({4, 32}, torch::kFloat64);
  const auto drawn = [&](std::uint64_t seed) {
    nn::VariationalDropout drop(0.5);
    drop.draw_from(at::detail::createCPUGenerator(seed));
    return drop.forward(x);
  };
  EXPECT_TRUE(drawn(1).equal(drawn(1)));
  EXPECT_FALSE(drawn(1).equal(drawn(2)));
}

/// f as a cell with dropout: the same mask in the solve, in the evaluation on the graph and in that of the adjoint.
TEST(EngineDropout, E50TheBackwardPassSeesTheMaskOfTheForwardPass) {
  torch::manual_seed(4);
  Cell cell(0.5);
  const TanhMap t(3, 6, 0.5);
  const auto frozen = nn::freeze(cell, true);
  const FixedPointMap f([&](const State& z) {
    const auto bound = frozen.bind();
    return State(t(cell.drop->forward(z[0])));
  });
  const solve::Options tight{.tolerance = 1e-13, .max_evaluations = 300};
  const Tensor z0 = torch::zeros({3, 6}, torch::kFloat64), v = randn({3, 6}, 5);
  auto deq = layer("implicit", tight, tight);

  const Tensor got = torch::autograd::grad({(v * deq.solve(f, State(z0)).z()[0]).sum()}, {t.w})[0];

  EXPECT_LT(relative_error(got, unrolled_gradients(f, z0, v, {t.w}, 120)[0]), 1e-10);
}

}  // namespace
