#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/model_host.hpp"
#include "zstar/abi/regularizer.hpp"
#include "zstar/carried.hpp"

namespace {

using namespace zstar;
using torch::Tensor;

/// A model with its layer, and what the layer solved.
struct Built {
  std::shared_ptr<gradient::Layer> layer;
  std::unique_ptr<test::ModelHost> host;
  std::shared_ptr<Model> model;
  std::vector<Solved> solves;

  Built(const std::string& name, const Settings& settings, const std::string& gradient = "implicit", const Settings& gradient_settings = {},
        const gradient::Options& sampled = {}) {
    const solve::Options options{.tolerance = 1e-13, .max_evaluations = 200, .stall_window = 0};
    layer.reset(new gradient::Layer(test::layer(gradient, options, options, "anderson", "anderson", gradient_settings, sampled)));
    layer->record_into(&solves);
    host = std::make_unique<test::ModelHost>(layer, test::make<Norm>(Kind::norm, "weight_norm"), Description{{{"coordinates", 2}, {"values", 3}, {"points", 7}}});
    model = test::catalogue().create<Model>(Kind::model, name, settings, *host);
    model->to(torch::kFloat64);
    model->train();
  }
  Tensor parameter(const std::string& name) const { return model->named_parameters()[name]; }
};

Settings small(const std::string& form, const std::string& training, std::int64_t layers = 1) {
  return {{"form", form}, {"training", training}, {"width", std::int64_t{6}}, {"layers", layers}, {"scale", 2.0}};
}

Batch points(std::vector<std::int64_t> ids = {}) {
  Tensor x = test::randn({7, 2}, 3), y = test::randn({7, 3}, 4);
  if (ids.empty()) return {{{"coordinates", x}, {"values", y}}, {}};
  const Tensor rows = torch::tensor(ids, torch::kInt64);
  return {{{"coordinates", x.index_select(0, rows)}, {"values", y.index_select(0, rows)}}, ids};
}

class EveryForm : public ::testing::TestWithParam<std::pair<const char*, std::int64_t>> {};
INSTANTIATE_TEST_SUITE_P(DeqInr, EveryForm, ::testing::Values(std::pair("siren_like", 1), std::pair("siren_like", 4), std::pair("fourier", 1), std::pair("fourier", 2),
                                                              std::pair("gabor", 1), std::pair("gabor", 2)));

TEST_P(EveryForm, InitialWeightsFillTheirRanges) {
  const auto [form, layers] = GetParam();
  torch::manual_seed(1);
  const Built b("deq_inr", {{"form", std::string(form)}, {"width", std::int64_t{400}}, {"layers", layers}, {"scale", 64.0}});
  Tensor weight = b.parameter("injection.x_map.weight");
  if (std::string(form) == "gabor") weight = weight / b.parameter("injection.gamma").sqrt().unsqueeze(1);
  const double bound = 64 / std::sqrt(2.0 * (static_cast<double>(layers) + 1));  // s/√(L+1) · 1/√d, d = 2
  EXPECT_LE(weight.abs().max().item<double>(), bound * (1 + 1e-6));              // the draws are float32
  EXPECT_GT(weight.abs().max().item<double>(), 0.99 * bound);                    // 1600 draws: misses with 1e-7
  const Tensor phase = b.parameter("injection.x_map.bias");
  EXPECT_GT(phase.max().item<double>(), 0.98 * M_PI);
  EXPECT_LT(phase.min().item<double>(), -0.98 * M_PI);
}

TEST_P(EveryForm, GradientsEqualCentralDifferences) {
  const auto [form, layers] = GetParam();
  torch::manual_seed(2);
  Built b("deq_inr", small(form, "solve", layers));
  const Batch batch = points();
  const auto loss = [&] { return b.model->loss(b.model->forward(batch).back(), batch); };
  const auto parameters = b.model->parameters();
  const auto gradients = torch::autograd::grad({loss()}, parameters);
  const torch::NoGradGuard no_grad;
  const double h = 1e-5;
  double along = 0, differences = 0;
  std::vector<Tensor> directions;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    directions.push_back(test::randn(parameters[i].sizes().vec(), 10 + i));
    along += (directions[i] * gradients[i]).sum().item<double>();
  }
  for (const double sign : {1.0, -1.0}) {
    for (std::size_t i = 0; i < parameters.size(); ++i) Tensor(parameters[i]).add_(directions[i], sign * h);
    differences += sign * loss().item<double>() / (2 * h);
    for (std::size_t i = 0; i < parameters.size(); ++i) Tensor(parameters[i]).sub_(directions[i], sign * h);
  }
  EXPECT_NEAR(along, differences, 1e-6 * (1 + std::abs(along)));  // h² times the third derivative, some hundreds
}

TEST_P(EveryForm, StatesCarriedOverStepsReachTheSolvedEquilibrium) {
  const auto [form, layers] = GetParam();
  torch::manual_seed(2);
  Built cached("deq_inr", small(form, "cached", layers), "phantom", {{"steps", std::vector<std::int64_t>{3}}});
  const Batch batch = points();
  const Tensor solved = cached.model->forward(batch).back();
  EXPECT_GT(cached.solves.back().equilibrium.forward.back().calls, 0);
  for (int step = 0; step < 3; ++step) {  // the parameters rest: the cache stays at the equilibrium
    const Tensor next = cached.model->forward(batch).back();
    EXPECT_EQ(cached.solves.back().equilibrium.forward.back().calls, 0);
    EXPECT_TRUE(next.allclose(solved, 0, 1e-11)) << (next - solved).abs().max();  // 1e-13 of the solver, times the output map
  }
}

TEST(DeqInr, Y20StatesAreThoseOfTheirPoints) {
  torch::manual_seed(2);
  Built b("deq_inr", small("siren_like", "cached"), "phantom");
  b.model->forward(points({0, 2, 4}));
  b.model->forward(points({4, 0}));
  EXPECT_EQ(b.solves.back().equilibrium.forward.back().calls, 0) << "both points have been seen";
  b.model->forward(points({4, 1}));
  EXPECT_GT(b.solves.back().equilibrium.forward.back().calls, 0) << "point 1 has not";
  b.model->eval();
  b.model->forward(points({4, 0}));
  EXPECT_GT(b.solves.back().equilibrium.forward.back().calls, 0) << "evaluation solves from zero";
}

TEST(DeqInr, ARunThatGoesOnHasItsStates) {
  torch::manual_seed(2);
  Built b("deq_inr", small("siren_like", "cached"), "phantom"), other("deq_inr", small("siren_like", "cached"), "phantom");
  EXPECT_TRUE(query<Carries>(*b.model)->carried().empty());
  b.model->forward(points());
  query<Carries>(*other.model)->carry(query<Carries>(*b.model)->carried());
  other.model->forward(points());
  EXPECT_EQ(other.solves.back().equilibrium.forward.back().calls, 0);
  EXPECT_THROW(query<Carries>(*other.model)->carry({{"states", torch::zeros({5, 6})}}), std::runtime_error);
  query<Carries>(*other.model)->carry({});
  EXPECT_TRUE(query<Carries>(*other.model)->carried().empty());
}

TEST(DeqInr, OnePassIsTheMapOfZero) {
  torch::manual_seed(2);
  Built one("deq_inr", small("gabor", "one_pass")), solved("deq_inr", small("gabor", "solve"));
  for (const auto& p : one.model->named_parameters()) p.value().data().copy_(solved.parameter(p.key()));
  solved.model->forward(points());
  const State first = solved.solves.back().map(State(torch::zeros({7, 6}, torch::kFloat64)));
  const Tensor want = torch::linear(first[0], solved.parameter("output_map.weight"), solved.parameter("output_map.bias"));
  EXPECT_TRUE(one.model->forward(points()).back().allclose(want, 0, 1e-14));
  EXPECT_TRUE(one.solves.empty());
}

TEST(DeqInr, Y21NegativeWidthsOfWindowsAreClampedUnlessFree) {
  torch::manual_seed(2);
  for (const char* window : {"positive", "free"}) {
    Settings s = small("gabor", "one_pass");
    s.push_back({"window", std::string(window)});
    Built b("deq_inr", s);
    const Tensor gamma = b.parameter("injection.gamma").data();
    gamma.fill_(-1.0);
    const Tensor negative = b.model->forward(points()).back().detach();
    gamma.zero_();
    const Tensor zero = b.model->forward(points()).back().detach();
    EXPECT_EQ(negative.allclose(zero), std::string(window) == "positive");
  }
}

TEST_P(EveryForm, Y22OutputsDifferentiateByTheirCoordinates) {
  const auto [form, layers] = GetParam();
  torch::manual_seed(2);
  Built b("deq_inr", small(form, "solve", layers));
  Batch batch = points();
  const Tensor x = batch.tensors[0].second.requires_grad_(), v = test::randn({7, 2}, 8);
  const Tensor gradient = torch::autograd::grad({b.model->forward(batch).back().sum()}, {x})[0];
  const torch::NoGradGuard no_grad;
  const auto at = [&](double step) { return b.model->forward({{{"coordinates", x + step * v}, batch.tensors[1]}, {}}).back().sum().item<double>(); };
  EXPECT_NEAR((gradient * v).sum().item<double>(), (at(1e-5) - at(-1e-5)) / 2e-5, 1e-6 * (1 + gradient.norm().item<double>()));  // h² times the third derivative
}

TEST_P(EveryForm, Y25OnePointIsABatchAndEqualsItselfAmongOthers) {
  const auto [form, layers] = GetParam();
  torch::manual_seed(2);
  Built b("deq_inr", small(form, "solve", layers));
  const torch::NoGradGuard no_grad;
  const Batch all = points();
  const Tensor one = b.model->forward({{{"coordinates", all.tensors[0].second.narrow(0, 3, 1)}, {"values", all.tensors[1].second.narrow(0, 3, 1)}}, {}}).back();
  EXPECT_TRUE(one.allclose(b.model->forward(all).back().narrow(0, 3, 1), 0, 1e-10));  // both solved to 1e-13
}

TEST(DeqInr, Y24TheNormOfTheExperimentIsThatOfTheMapAlone) {
  const Built b("deq_inr", small("gabor", "solve", 2));
  std::vector<std::string> normed;
  for (const auto& p : b.model->named_parameters())
    if (p.key().ends_with("weight_g")) normed.push_back(p.key());
  EXPECT_EQ(normed, (std::vector<std::string>{"f.layers.0.z_map.weight_g", "f.layers.1.z_map.weight_g"}));
}

/// There may be several equilibria: what is evaluated is the one that is reached from zero, and its residual is that of the report.
TEST_P(EveryForm, Y26EvaluationSolvesFromZeroWhateverIsCarried) {
  const auto [form, layers] = GetParam();
  torch::manual_seed(2);
  Built b("deq_inr", small(form, "cached", layers), "phantom");
  b.model->forward(points());
  const torch::NoGradGuard no_grad;
  b.model->eval();
  const Tensor fresh = b.model->forward(points()).back();
  query<Carries>(*b.model)->carry({{"states", test::randn({7, 6}, 9) * 100}, {"known", torch::ones({7}, torch::kBool)}});
  EXPECT_TRUE(b.model->forward(points()).back().equal(fresh));
  const Solved& solved = b.solves.back();
  const Tensor z = solved.equilibrium.z()[0], residual = (solved.map(State(z))[0] - z).norm(2, 1);
  for (std::int64_t i = 0; i < 7; ++i) EXPECT_NEAR(residual[i].item<double>(), solved.equilibrium.forward.back().residual[static_cast<std::size_t>(i)], 1e-14) << i;  // rounding
}

TEST(DeqInr, Y27TheResidualOfStatesCarriedOnIsShownWhenAskedFor) {
  torch::manual_seed(2);
  Settings asked = small("siren_like", "cached");
  asked.push_back({"cached_evaluations", std::int64_t{1}});
  Built b("deq_inr", asked, "phantom");
  b.model->forward(points());
  const torch::NoGradGuard no_grad;
  for (const Tensor& p : b.model->parameters()) Tensor(p).mul_(1.01);  // a step of training: the states carried are those of before
  b.model->forward(points());
  const Report& report = b.solves.back().equilibrium.forward.back();
  EXPECT_EQ(report.calls, 1);
  for (const double residual : report.relative) EXPECT_GT(residual, 1e-6);
}

TEST(DeqInr, Y19EverySampledStateIsSupervisedUnlessTheLastAloneIsAskedFor) {
  for (const char* supervise : {"all", "last"}) {
    Settings s = small("siren_like", "solve");
    s.push_back({"supervise", std::string(supervise)});
    Built b("deq_inr", s, "phantom", {}, {.states = 2});
    EXPECT_EQ(b.model->forward(points()).size(), std::string(supervise) == "all" ? 2u : 1u);
  }
}

TEST(DeqInr, Y23PsnrIsThatOfClampedPicturesOfPeakOne) {
  const Built b("siren", {{"width", std::int64_t{4}}});
  const Tensor values = torch::tensor({{-1.0, 0.0, 1.0}}, torch::kFloat64), output = torch::tensor({{-3.0, 0.2, 1.0}}, torch::kFloat64);
  const auto metrics = b.model->summarise(b.model->measure(output, {{{"values", values}}, {}}));
  EXPECT_NEAR(metrics[0].value, -10 * std::log10(0.01 / 3), 1e-12);  // only the middle number differs, by 0.1 of the range
  EXPECT_NEAR(metrics[1].value, 10 * std::log10(2 / 4.04), 1e-12);   // as it stands: errors 2 and 0.2
}

TEST(ExplicitNetworks, InitialWeightsFillTheirRanges) {
  torch::manual_seed(1);
  const Built siren("siren", {{"width", std::int64_t{300}}, {"layers", std::int64_t{2}}, {"omega", 20.0}});
  EXPECT_NEAR(siren.parameter("linear_maps.0.weight").abs().max().item<double>(), 0.5, 0.01);  // 1/d, d = 2
  EXPECT_NEAR(siren.parameter("linear_maps.1.weight").abs().max().item<double>(), std::sqrt(6 / 300.0) / 20, 1e-5);
  EXPECT_NEAR(siren.parameter("linear_maps.2.weight").abs().max().item<double>(), std::sqrt(6 / 300.0) / 20, 1e-4);
  const Built features("fourier_network", {{"scale", 10.0}});
  EXPECT_NEAR(features.model->named_buffers()["embedder.bval"].std().item<double>(), 10, 1.5);  // 512 draws: 3 %
  EXPECT_EQ(features.model->named_buffers()["embedder.aval"].sum().item<double>(), 256);
}

}  // namespace
