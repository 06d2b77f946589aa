#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"
#include "zstar/abi/regularizer.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

Solved at(const FixedPointMap& f, const Tensor& z) {
  Equilibrium e;
  e.states = {State(z)};
  return {f, e};
}

TEST(Lipschitz, QuotientOfAnAffineMapRisesToItsNorm) {
  const AffineMap f{matrix_of_norm(6, 1.3, 2), torch::ones({2, 6}, torch::kFloat64)};
  double before = 0;
  for (const std::int64_t ascent : {0, 2, 60}) {
    const auto regularizer = make<Regularizer>(Kind::regularizer, "lipschitz", {{"ascent", ascent}, {"bound", 0.0}});
    const double got = std::sqrt(regularizer->penalty(at(f.map(), torch::ones({2, 6}, torch::kFloat64)), at::detail::createCPUGenerator(1)).item<double>());
    EXPECT_GT(got, before) << ascent;
    EXPECT_LE(got, 1.3 * (1 + 1e-9)) << ascent;
    before = got;
  }
  EXPECT_NEAR(before, 1.3, 1e-4);
}

TEST(Lipschitz, AContractionBelowTheBoundCostsNothingAndOthersHaveAGradient) {
  const TanhMap f;
  const Tensor z = randn({3, 6}, 4);
  const auto free = make<Regularizer>(Kind::regularizer, "lipschitz", {{"bound", 0.9}})->penalty(at(f.map(), z), at::detail::createCPUGenerator(1));
  EXPECT_EQ(free.item<double>(), 0.0);
  const auto costly = make<Regularizer>(Kind::regularizer, "lipschitz", {{"bound", 0.01}})->penalty(at(f.map(), z), at::detail::createCPUGenerator(1));
  EXPECT_GT(costly.item<double>(), 0.0);
  EXPECT_GT(torch::autograd::grad({costly}, {f.w})[0].norm().item<double>(), 0.0);
}

}  // namespace
