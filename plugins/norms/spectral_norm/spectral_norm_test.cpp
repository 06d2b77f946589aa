#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"
#include "zstar/nn.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

std::shared_ptr<Norm> spectral_norm(const Settings& settings = {}) { return make<Norm>(Kind::norm, "spectral_norm", settings); }

double operator_norm(const Tensor& matrix) { return torch::linalg_matrix_norm(matrix.detach().to(torch::kFloat64), 2).item<double>(); }

/// The largest singular value of a linear map of inputs of these sizes, column by column.
template <class F>
double operator_norm(const F& map, const std::vector<std::int64_t>& sizes) {
  const torch::NoGradGuard no_grad;
  std::int64_t numbers = 1;
  for (const std::int64_t n : sizes) numbers *= n;
  std::vector<std::int64_t> all = sizes;
  all.insert(all.begin(), numbers);
  return operator_norm(map(torch::eye(numbers, torch::kFloat64).reshape(all)).flatten(1));
}

Tensor buffer(torch::nn::Module& m, const char* name) { return m.named_buffers()[name]; }

TEST(SpectralNorm, Z29E41HoldsBeforeAnyTrainingInBothModesAndAfterLoading) {
  for (int seed = 0; seed < 6; ++seed) {
    torch::manual_seed(seed);
    nn::Linear layer(64, 64, spectral_norm());
    for (const bool training : {false, true}) EXPECT_NEAR(operator_norm(layer.prepare(training)), 1.0, 1e-3) << seed;
    const torch::NoGradGuard no_grad;
    layer.named_parameters()["weight_orig"].normal_();  // a checkpoint, with vectors of another weight
    for (const char* name : {"weight_u", "weight_v"}) buffer(layer, name).normal_();
    EXPECT_NEAR(operator_norm(layer.prepare(/*training=*/true)), 1.0, 1e-3) << seed;
    EXPECT_GT((layer.weight() * layer.named_parameters()["weight_orig"]).sum().item<double>(), 0);  // σ > 0
  }
}

TEST(SpectralNorm, E42BoundsTheOperatorOfAConvolutionOnRequest) {
  torch::manual_seed(3);
  const Settings settings{{"of", std::string("operator")}, {"input_size", std::vector<std::int64_t>{8}}};
  const auto check = [&](auto layer, bool positive, const std::vector<std::int64_t>& sizes) {
    layer->to(torch::kFloat64);
    if (positive) layer->assign(torch::rand_like(layer->weight()));
    const auto map = [&](const Tensor& x) { return layer->forward(x); };
    EXPECT_NEAR(operator_norm(map, sizes), 1.0, 1e-3) << positive << ' ' << sizes.size();
  };
  for (const bool positive : {false, true})
    for (const std::int64_t groups : {1, 4}) {
      nn::ConvOptions o{.in = 4, .out = 4, .kernel = 3, .padding = 1, .groups = groups, .bias = false};
      check(std::make_shared<nn::Conv2d>(o, spectral_norm(settings)), positive, {4, 8, 8});
      o.stride = 2, o.out = 8, o.input_size = {7, 8};  // the model's own size wins
      check(std::make_shared<nn::Conv2d>(o, spectral_norm(settings)), positive, {4, 7, 8});
      check(std::make_shared<nn::ConvTranspose2d>(o, spectral_norm(settings)), positive, {4, 7, 8});
      o.input_size = {};
      check(std::make_shared<nn::Conv1d>(o, spectral_norm(settings)), positive, {4, 8});
      check(std::make_shared<nn::ConvTranspose1d>(o, spectral_norm(settings)), positive, {4, 8});
    }
  const nn::ConvOptions o3{.in = 2, .out = 2, .kernel = 3, .padding = 1, .bias = false, .input_size = {4, 4, 4}};
  check(std::make_shared<nn::Conv3d>(o3, spectral_norm(settings)), true, {2, 4, 4, 4});
  check(std::make_shared<nn::ConvTranspose3d>(o3, spectral_norm(settings)), true, {2, 4, 4, 4});
}

TEST(SpectralNorm, E42RefusesAnOperatorWithoutASize) {
  const nn::ConvOptions o{.in = 2, .out = 2, .kernel = 3};
  EXPECT_THROW(nn::Conv2d(o, spectral_norm({{"of", std::string("operator")}})), OptionError);
}

TEST(SpectralNorm, E43IsNormedFromTheStartAndGradientsReachItsParameters) {
  nn::Conv2d layer({.in = 3, .out = 5, .kernel = 3}, spectral_norm());
  const Tensor weight = layer.weight();
  EXPECT_NEAR(operator_norm(weight.flatten(1)), 1.0, 1e-3);
  for (const Tensor& g : torch::autograd::grad({weight.square().sum()}, {layer.named_parameters()["weight_orig"], layer.named_parameters()["weight_g"]}))
    EXPECT_GT(g.abs().max().item<double>(), 0);
}

TEST(SpectralNorm, E44TheScaleIsTheOperatorNormInTheDtypeOfTheWeight) {
  for (const auto dtype : {torch::kFloat64, torch::kFloat32, torch::kBFloat16}) {
    nn::Linear layer(32, 16, spectral_norm());
    layer.to(dtype);
    const torch::NoGradGuard no_grad;
    layer.named_parameters()["weight_g"].fill_(0.5);
    const Tensor weight = layer.prepare(/*training=*/true);
    EXPECT_EQ(weight.scalar_type(), dtype);
    EXPECT_NEAR(operator_norm(weight), 0.5, dtype == torch::kBFloat16 ? 1e-2 : 1e-3);  // bfloat16 has 8 bits
    for (const auto& p : layer.named_parameters()) EXPECT_EQ(p.value().scalar_type(), dtype) << p.key();
  }
  const auto stored = spectral_norm()->store(randn({4, 4}, 1), {});
  for (const auto& s : stored) EXPECT_EQ(s.value.scalar_type(), torch::kFloat64) << s.suffix;
}

TEST(SpectralNorm, SigmaFollowsTrainingWithOneIterationAStep) {
  torch::manual_seed(5);
  nn::Linear layer(20, 20, spectral_norm());
  const torch::NoGradGuard no_grad;
  for (int step = 0; step < 50; ++step) {
    layer.named_parameters()["weight_orig"].add_(torch::randn({20, 20}), 1e-3);
    EXPECT_NEAR(operator_norm(layer.prepare(/*training=*/true)), 1.0, 2e-2);  // drift of a step against one iteration
  }
  EXPECT_NEAR(operator_norm(layer.weight()), 1.0, 1e-3);  // evaluation settles
}

TEST(SpectralNorm, GradientSeesTheVectorsAsConstants) {
  const auto norm = spectral_norm({{"learn_scale", false}});
  const Tensor w = randn({5, 4}, 2), direction = randn({5, 4}, 3), v = randn({5, 4}, 4);
  std::vector<Tensor> stored;
  for (auto& s : norm->store(w.clone(), {})) stored.push_back(s.value);
  stored[0].requires_grad_();
  const double slope = (torch::autograd::grad({(v * norm->effective(stored, {}, false)).sum()}, {stored[0]})[0] * direction).sum().item<double>();
  const auto at = [&](double h) {  // with the exact norm: at a simple singular value its derivative is uvᵀ
    const Tensor moved = w + h * direction;
    return (v * moved).sum().item<double>() / operator_norm(moved);
  };
  EXPECT_NEAR(slope, (at(1e-5) - at(-1e-5)) / 2e-5, 2e-3);  // u and v are settled to about 1e-3
}

TEST(SpectralNorm, FoldingAndRemovalAreExact) {
  const auto layer = std::make_shared<nn::Conv2d>(nn::ConvOptions{.in = 3, .out = 5, .kernel = 3}, spectral_norm());
  const Tensor x = torch::rand({2, 3, 6, 6}), y = layer->forward(x);
  nn::fold_norms(*layer);
  EXPECT_TRUE(layer->forward(x).equal(y));
  EXPECT_EQ(layer->named_parameters().keys(), (std::vector<std::string>{"bias", "weight"}));
  EXPECT_TRUE(layer->named_buffers().is_empty());
}

}  // namespace
