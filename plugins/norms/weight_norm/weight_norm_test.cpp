#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>
#include <torch/nn.h>
#include <torch/optim/sgd.h>

#include "tests/support/parts.hpp"
#include "zstar/nn.hpp"
#include "zstar/nn/out_of_reach.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

std::shared_ptr<Norm> weight_norm(const Settings& settings = {}) { return make<Norm>(Kind::norm, "weight_norm", settings); }

std::shared_ptr<nn::Linear> linear(const Settings& settings = {}, std::int64_t in = 4, std::int64_t out = 3) {
  torch::manual_seed(1);
  auto layer = std::make_shared<nn::Linear>(in, out, weight_norm(settings));
  layer->to(torch::kFloat64);
  return layer;
}

Tensor row_norms(const Tensor& w) { return w.detach().flatten(1).norm(2, {1}); }

/// One of each layer, with an input for it.
std::vector<std::pair<std::shared_ptr<nn::Normed>, std::function<Tensor()>>> all_layers(const std::shared_ptr<Norm>& norm) {
  std::vector<std::pair<std::shared_ptr<nn::Normed>, std::function<Tensor()>>> layers;
  const auto add = [&](auto layer, const std::vector<std::int64_t>& sizes) {
    layer->to(torch::kFloat64);
    const Tensor x = randn(sizes, 9);
    layers.emplace_back(layer, [layer, x] { return layer->forward(x); });
  };
  const nn::ConvOptions o{.in = 4, .out = 6, .kernel = 3, .stride = 2, .padding = 1, .groups = 2};
  add(std::make_shared<nn::Linear>(4, 6, norm), {2, 4});
  add(std::make_shared<nn::Conv1d>(o, norm), {2, 4, 7});
  add(std::make_shared<nn::Conv2d>(o, norm), {2, 4, 7, 7});
  add(std::make_shared<nn::Conv3d>(o, norm), {2, 4, 5, 5, 5});
  add(std::make_shared<nn::ConvTranspose1d>(o, norm), {2, 4, 7});
  add(std::make_shared<nn::ConvTranspose2d>(o, norm), {2, 4, 5, 5});
  add(std::make_shared<nn::ConvTranspose3d>(o, norm), {2, 4, 3, 3, 3});
  return layers;
}

TEST(WeightNorm, ChangesNothingAtFirstAndIsDifferentiableInEveryLayer) {
  for (const auto& [layer, output] : all_layers(weight_norm())) {
    const Tensor y = output(), v = randn(y.sizes(), 10);
    EXPECT_LT(relative_error(layer->weight(), layer->named_parameters()["weight_v"]), 1e-6);  // made in float32
    const auto loss = [&, out = output] { return (v * out()).sum(); };
    for (const char* name : {"weight_g", "weight_v"}) {
      const Tensor p = layer->named_parameters()[name], direction = randn(p.sizes(), 11);
      const double slope = (torch::autograd::grad({loss()}, {p})[0] * direction).sum().item<double>(), h = 1e-6;
      const torch::NoGradGuard no_grad;
      p.add_(direction, h);
      const double above = loss().item<double>();
      p.sub_(direction, 2 * h);
      const double below = loss().item<double>();
      p.add_(direction, h);
      EXPECT_NEAR(slope, (above - below) / (2 * h), 1e-6 * std::max(1.0, std::abs(slope))) << name;  // h² of a smooth function
    }
  }
}

TEST(WeightNorm, E39AZeroRowStaysZeroWithFiniteGradients) {
  for (const bool learn : {true, false}) {
    auto layer = linear({{"learn_scale", learn}, {"target", 0.5}});
    Tensor v = layer->named_parameters()["weight_v"];
    {
      const torch::NoGradGuard no_grad;
      v[1].zero_();
    }
    const Tensor y = layer->forward(randn({2, 4}, 3));
    EXPECT_TRUE(y.isfinite().all().item<bool>());
    EXPECT_EQ(layer->weight()[1].abs().max().item<double>(), 0);
    for (const Tensor& g : torch::autograd::grad({y.square().sum()}, layer->parameters()))
      EXPECT_TRUE(g.isfinite().all().item<bool>());
  }
}

TEST(WeightNorm, E40TheTargetHoldsInBothModesAndClipBoundsTheModulus) {
  for (const bool learn : {true, false}) {
    const auto layer = linear({{"learn_scale", learn}, {"target", 0.3}});
    EXPECT_LT((row_norms(layer->weight()) - 0.3).abs().max().item<double>(), 1e-6) << learn;  // g was made in float32
  }
  auto clipped = linear({{"clip", true}, {"clip_value", 1.0}});
  const torch::NoGradGuard no_grad;
  clipped->named_parameters()["weight_g"].fill_(-5.0);
  const Tensor v = clipped->named_parameters()["weight_v"];
  EXPECT_LT((clipped->weight() + v).abs().max().item<double>(), 1e-12);  // φ = −1
  auto published = linear({{"clip", true}, {"clip_below", false}});
  published->named_parameters()["weight_g"].fill_(-5.0);
  EXPECT_LT((row_norms(published->weight()) - 5.0).abs().max().item<double>(), 1e-12);
  published->named_parameters()["weight_g"].fill_(1e3);
  EXPECT_LT((published->weight() - published->named_parameters()["weight_v"]).abs().max().item<double>(), 1e-12);  // φ = 1
}

TEST(WeightNorm, E45ASharedWeightIsNormedOnceAndStepsOnce) {
  struct Tied : torch::nn::Module {
    std::shared_ptr<nn::Linear> encode, decode;
  };
  const auto model = std::make_shared<Tied>();
  model->encode = model->register_module("encode", std::make_shared<nn::Linear>(3, 3, weight_norm(), /*bias=*/false));
  model->decode = model->register_module("decode", std::make_shared<nn::Linear>(model->encode, /*bias=*/false));
  EXPECT_EQ(model->parameters().size(), 2u);  // one g, one v

  auto frozen = nn::freeze(*model, true);
  const auto bound = frozen.bind();
  EXPECT_TRUE(model->encode->weight().is_same(model->decode->weight()));

  const Tensor before = model->encode->named_parameters()["weight_v"].detach().clone();
  model->encode->named_parameters()["weight_v"].mutable_grad() = torch::ones_like(before);
  torch::optim::SGD(model->parameters(), torch::optim::SGDOptions(0.1)).step();
  EXPECT_LT((before - model->encode->named_parameters()["weight_v"] - 0.1).abs().max().item<double>(), 1e-6);  // float32
}

TEST(WeightNorm, E46IsNeverStaleAndCanBeLoadedConvertedAndCopied) {
  auto layer = linear(), other = linear();
  const Tensor x = randn({2, 4}, 3);
  const torch::NoGradGuard no_grad;
  for (const auto& p : other->named_parameters()) p.value().normal_();
  for (const auto& p : layer->named_parameters()) p.value().copy_(other->named_parameters()[p.key()]);  // loading
  EXPECT_TRUE(layer->forward(x).equal(other->forward(x)));

  const auto copy = std::dynamic_pointer_cast<nn::Linear>(layer->clone());
  EXPECT_TRUE(copy->forward(x).equal(layer->forward(x)));
  copy->named_parameters()["weight_g"].mul_(2);
  EXPECT_FALSE(copy->forward(x).equal(layer->forward(x)));
  EXPECT_TRUE(layer->forward(x).equal(other->forward(x)));

  const Tensor y = layer->forward(x);
  layer->to(torch::kFloat32);
  EXPECT_LT(relative_error(layer->forward(x.to(torch::kFloat32)).to(torch::kFloat64), y), 1e-6);
}

struct Net : torch::nn::Module {
  std::vector<std::shared_ptr<nn::Linear>> layers;
  explicit Net(const std::shared_ptr<Norm>& norm) {
    for (int i = 0; i < 12; ++i) layers.push_back(register_module("layer" + std::to_string(i), std::make_shared<nn::Linear>(2, 2, i == 3 ? nullptr : norm)));
  }
};

TEST(WeightNorm, E47NamesAreMatchedWholeOrByPatternAndTheChoiceIsReported) {
  const auto net = std::make_shared<Net>(weight_norm());
  const Tensor raw = net->layers[1]->named_parameters()["weight_v"].detach().clone();

  const nn::Chosen chosen = nn::choose_normed(*net, {}, {"layer1"});

  EXPECT_EQ(chosen.plain, (std::vector<std::string>{"layer1.weight", "layer3.weight"}));  // not layer10, not layer11
  EXPECT_EQ(chosen.normed.size(), 10u);
  EXPECT_TRUE(net->layers[1]->named_parameters()["weight"].equal(raw));  // as if it had never been normed
  EXPECT_EQ(nn::choose_normed(*std::make_shared<Net>(weight_norm()), {"layer1*"}, {"*11"}).normed,
            (std::vector<std::string>{"layer1.weight", "layer10.weight"}));
  EXPECT_THROW(nn::choose_normed(*net, {}, {"layer"}), OptionError);  // matches nothing
}

struct Mine : torch::nn::Module {
  Mine() { register_parameter("weight", torch::ones({2, 2})); }
};

struct Foreign : torch::nn::Module {
  explicit Foreign(const std::shared_ptr<Norm>& norm) {
    register_module("own", std::make_shared<nn::Linear>(2, 2, norm));
    register_module("plain", torch::nn::Linear(2, 2));
    register_module("words", torch::nn::Embedding(3, 2));
    register_module("memory", torch::nn::LSTM(2, 2));
    register_module("mine", std::make_shared<Mine>());
    register_module("scale", torch::nn::LayerNorm(torch::nn::LayerNormOptions({2})));  // a vector: no norm is meant for it
  }
};

TEST(WeightNorm, E47WeightsThatNoNormCanReachAreListed) {
  const nn::OutOfReach missed = nn::weights_out_of_reach(*std::make_shared<Foreign>(weight_norm())), none = nn::weights_out_of_reach(*std::make_shared<Net>(weight_norm()));
  EXPECT_EQ(missed.of_torch, (std::vector<std::string>{"plain.weight", "words.weight", "memory.weight_ih_l0", "memory.weight_hh_l0"}));
  EXPECT_EQ(missed.own, std::vector<std::string>{"mine.weight"});
  EXPECT_TRUE(none.of_torch.empty() && none.own.empty());  // layer3 has no norm, but could have one
}

TEST(WeightNorm, FoldingAndRemovalAreExact) {
  for (const auto& [layer, output] : all_layers(weight_norm({{"target", 0.7}}))) {
    const Tensor y = output();
    EXPECT_EQ(nn::fold_norms(*layer), std::vector<std::string>{"weight"});
    EXPECT_TRUE(output().equal(y));
    EXPECT_EQ(layer->named_parameters().keys(), (std::vector<std::string>{"bias", "weight"}));  // registered last
    EXPECT_TRUE(nn::fold_norms(*layer).empty());
  }
}

}  // namespace
