#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"
#include "zstar/abi/regularizer.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

/// A host with a layer.
class LayerHost final : public Host {
 public:
  explicit LayerHost(std::shared_ptr<EquilibriumLayer> layer) : layer_(std::move(layer)) {}
  Products& products() override { return solve::local_products(); }
  std::unique_ptr<Solver> solver(const Part&) override { return nullptr; }
  std::shared_ptr<EquilibriumLayer> layer() override { return layer_; }
  std::shared_ptr<Norm> norm() override { return nullptr; }
  const Description& data() override { return description_; }
  void warn(std::string_view) override {}

 private:
  std::shared_ptr<EquilibriumLayer> layer_;
  Description description_;
};

struct Found {
  Tensor penalty;
  Equilibrium equilibrium;
};

Found penalty(const FixedPointMap& f, const Tensor& z0) {
  const solve::Options o{.tolerance = 1e-12, .max_evaluations = 300};
  auto deq = std::make_shared<gradient::Layer>(gradient::LayerParts{choice("fixed_point", o), choice("fixed_point", o), make<GradientMethod>(Kind::gradient, "implicit"),
                                                                    make<GradientMethod>(Kind::gradient, "phantom"), {}});
  LayerHost host(deq);
  const auto regularizer = catalogue().create<Regularizer>(Kind::regularizer, "path_independence", {}, host);
  const Equilibrium e = deq->solve(f, State(z0));
  return {regularizer->penalty({f, e}, at::detail::createCPUGenerator(1)), e};
}

TEST(PathIndependence, IsZeroForAContraction) {
  EXPECT_LT(penalty(TanhMap().map(), torch::zeros({3, 6}, torch::kFloat64)).penalty.item<double>(), 1e-18);  // both solved to 1e-12
}

TEST(PathIndependence, IsTheSquaredDistanceOfTheLimitsWhereThereAreTwo) {  // tanh(3 z) has the fixed points ±0.995
  const Tensor w = torch::full({}, 3.0, torch::kFloat64).requires_grad_();
  const FixedPointMap f([w](const State& z) { return State(torch::tanh(w * z[0])); });
  const Found found = penalty(f, torch::ones({64, 1}, torch::kFloat64));
  const double share = found.penalty.item<double>() / 4;  // of the starts that go to the other limit, (2 z)²/z² each
  EXPECT_GT(share, 0.25);
  EXPECT_LT(share, 0.75);
  EXPECT_NEAR(share * 64, std::round(share * 64), 1e-9);
  EXPECT_TRUE(torch::autograd::grad({found.penalty}, {w})[0].isfinite().item<bool>());
}

}  // namespace
