#include <map>

#include <gtest/gtest.h>

#include "correlation.hpp"
#include "errors.hpp"
#include "upsample.hpp"
#include "tests/support/model_host.hpp"
#include "zstar/testing/matchers.hpp"
#include "zstar/weight_names.hpp"

namespace {

using namespace zstar;
using namespace zstar_flow;
using zstar::testing::near;

const auto f64 = torch::TensorOptions(torch::kFloat64);

/// The definition, sample by sample: bilinear with zeros outside, the first index of the window moving x.
double sample(const Tensor& level, double x, double y) {
  double sum = 0;
  for (const double cy : {std::floor(y), std::floor(y) + 1})
    for (const double cx : {std::floor(x), std::floor(x) + 1}) {
      const bool inside = cx >= 0 && cy >= 0 && cx < static_cast<double>(level.size(1)) && cy < static_cast<double>(level.size(0));
      if (inside) sum += (1 - std::abs(x - cx)) * (1 - std::abs(y - cy)) * level[static_cast<std::int64_t>(cy)][static_cast<std::int64_t>(cx)].item<double>();
    }
  return sum;
}

TEST(DeqFlow, Y1LookupSamplesTheWindowOfEveryLevelTransposed) {
  torch::manual_seed(1);
  const auto volume = correlation_volume(torch::randn({1, 3, 4, 5}, f64), torch::randn({1, 3, 4, 5}, f64), 2);
  const Tensor at = torch::rand({1, 2, 4, 5}, f64) * 9 - 2;

  const Tensor found = lookup(volume, at, 1);

  for (std::int64_t p = 0; p < 20; ++p)
    for (std::int64_t l = 0; l < 2; ++l)
      for (std::int64_t a = 0; a < 3; ++a)
        for (std::int64_t b = 0; b < 3; ++b) {
          const double x = at[0][0].flatten()[p].item<double>() / static_cast<double>(1 << l) + static_cast<double>(a - 1);
          const double y = at[0][1].flatten()[p].item<double>() / static_cast<double>(1 << l) + static_cast<double>(b - 1);
          EXPECT_NEAR(found[0][l * 9 + a * 3 + b].flatten()[p].item<double>(), sample(volume[static_cast<std::size_t>(l)][0][p], x, y), 1e-12);  // rounding
        }
}

TEST(DeqFlow, LookupOnDemandEqualsTheVolumeWithItsGradients) {
  torch::manual_seed(2);
  const auto leaf = [](at::IntArrayRef sizes) { return torch::randn(sizes, f64).requires_grad_(); };
  const Tensor f1 = leaf({2, 4, 6, 8}), f2 = leaf({2, 4, 6, 8}), at = (torch::rand({2, 2, 6, 8}, f64) * 12 - 3).requires_grad_();

  const Tensor whole = lookup(correlation_volume(f1, f2, 3), at, 2), lean = lookup_on_demand(f1, pyramid(f2, 3), at, 2), v = torch::randn_like(whole);

  EXPECT_THAT(lean, near(whole, 1e-12));  // rounding of sums of four products
  const auto want = torch::autograd::grad({whole}, {f1, f2, at}, {v}), got = torch::autograd::grad({lean}, {f1, f2, at}, {v});
  for (std::size_t i = 0; i < 3; ++i) EXPECT_THAT(got[i], near(want[i], 1e-11));
}

TEST(DeqFlow, LookupFarOutsideAndAtNanIsNotACrash) {
  const auto volume = correlation_volume(torch::randn({1, 2, 4, 4}, f64), torch::randn({1, 2, 4, 4}, f64), 2);

  EXPECT_TRUE(lookup(volume, torch::full({1, 2, 4, 4}, 1e30, f64), 2).eq(0).all().item<bool>());
  EXPECT_EQ(lookup(volume, torch::full({1, 2, 4, 4}, NAN, f64), 2).size(1), 50);
}

TEST(DeqFlow, Y7CorrelationAndLookupKeepDoublePrecision) {
  torch::manual_seed(5);
  const Tensor f1 = torch::randn({1, 3, 4, 5}, f64), d = torch::randn({1, 3, 4, 5}, f64), f2 = torch::randn({1, 3, 4, 5}, f64), at = torch::rand({1, 2, 4, 5}, f64) * 4;
  const auto of = [&](const Tensor& f) { return lookup(correlation_volume(f, f2, 2), at, 1); };

  EXPECT_THAT((of(f1 + 1e-9 * d) - of(f1)) / 1e-9, near(of(d), 1e-5));  // linear; in single precision nothing is left of the difference
}

TEST(DeqFlow, Y11AtWholePixelsTheLookupReadsThePixel) {
  const auto volume = correlation_volume(torch::randn({1, 3, 4, 5}), torch::randn({1, 3, 4, 5}), 1);
  const Tensor found = lookup(volume, grid_of(1, 4, 5, volume[0].options()), 1);
  for (std::int64_t p = 0; p < 20; ++p) EXPECT_EQ(found[0][4].flatten()[p].item<float>(), volume[0][0][p].flatten()[p].item<float>()) << p;
}

TEST(DeqFlow, Y6ALevelWithoutPixelsIsRefusedAndOneOfOnePixelIsFinite) {
  EXPECT_TRUE(lookup(correlation_volume(torch::randn({1, 2, 2, 2}), torch::randn({1, 2, 2, 2}), 2), torch::rand({1, 2, 2, 2}) * 3, 2).isfinite().all().item<bool>());
  EXPECT_THROW(pyramid(torch::zeros({1, 1, 4, 8}), 4), std::invalid_argument);
  EXPECT_EQ(pyramid(torch::zeros({1, 1, 4, 8}), 3).back().size(2), 1);  // one pixel is a level
}

TEST(DeqFlow, ConvexUpsamplingOfAConstantFlowIsEightTimesIt) {
  const Tensor flow = torch::ones({1, 2, 3, 4}, f64), up = upsample_convex(flow, torch::randn({1, 576, 3, 4}, f64), /*replicate=*/true);

  EXPECT_THAT(up, near(torch::full({1, 2, 24, 32}, 8.0, f64), 1e-12));  // weights sum to one
}

TEST(DeqFlow, Y14ConvexUpsamplingDrawsTheBorderToZeroUnlessItIsReplicated) {
  const Tensor flow = torch::ones({1, 2, 3, 4}, f64), mask = torch::zeros({1, 576, 3, 4}, f64);
  const Tensor published = upsample_convex(flow, mask), replicated = upsample_convex(flow, mask, /*replicate=*/true);

  EXPECT_NEAR(published[0][0][0][0].item<double>(), 8 * 4 / 9.0, 1e-14);  // four of nine taps lie inside
  EXPECT_NEAR(published[0][0][0][12].item<double>(), 8 * 6 / 9.0, 1e-14);
  EXPECT_NEAR(published[0][0][12][12].item<double>(), 8, 1e-14);
  EXPECT_NEAR(replicated[0][0][0][0].item<double>(), 8, 1e-14);
}

/// Two images whose errors and valid pixels differ: what is invalid counts for nothing, and each image is judged by its own mask.
TEST(DeqFlow, Y4Y5ErrorsAreOfValidPixelsAndOfTheirOwnImage) {
  const Tensor truth = torch::zeros({2, 2, 2, 2}, f64), prediction = truth.clone(), valid = torch::zeros({2, 2, 2}, f64);
  prediction[0][0].fill_(2), prediction[1][1].fill_(10);  // errors 2 and 10
  valid[0][0][0] = 1, valid[1].fill_(1);                  // one pixel, and four
  const auto of = [&](const char* protocol) { return flow_metrics(flow_sums(prediction, truth, valid > 0), protocol); };

  EXPECT_NEAR(of("valid")[0].value, (2 + 4 * 10) / 5.0, 1e-13);
  EXPECT_NEAR(of("images")[0].value, (2 + 10) / 2.0, 1e-13);
  EXPECT_NEAR(of("valid")[2].value, 100 / 5.0, 1e-12) << "one of five is within three pixels";
}

TEST(DeqFlow, PaddingIsUndone) {
  for (const bool bottom : {false, true}) {
    const Padding padding(13, 18, bottom);
    const Tensor x = torch::randn({1, 3, 13, 18}), padded = padding.pad(x);
    EXPECT_EQ(padded.size(2), 16);
    EXPECT_EQ(padded.size(3), 24);
    EXPECT_TRUE(padding.unpad(padded).equal(x));
  }
}

TEST(DeqFlow, ForwardInterpolationMovesAConstantFlowOntoItself) {
  const Tensor flow = torch::stack({torch::full({6, 7}, 1.5), torch::full({6, 7}, -0.5)});

  EXPECT_TRUE(interpolate_forward(flow).equal(flow));
  EXPECT_TRUE(interpolate_forward(flow + 100).eq(0).all().item<bool>());  // everything has left
}

struct Small {
  std::shared_ptr<gradient::Layer> layer;
  test::ModelHost host;
  std::shared_ptr<Model> model;

  static std::shared_ptr<gradient::Layer> layer_of(const std::string& method, const Settings& settings, const gradient::Options& sampled) {
    const solve::Options four{.max_evaluations = 4};
    return std::shared_ptr<gradient::Layer>(new gradient::Layer(test::layer(method, four, four, "fixed_point", "fixed_point", settings, sampled)));
  }
  explicit Small(Settings more = {}, const std::string& method = "phantom", const Settings& of_method = {{"steps", std::vector<std::int64_t>{2}}}, const gradient::Options& sampled = {})
      : layer(layer_of(method, of_method, sampled)), host(layer, nullptr, {}) {
    Settings s{{"encoder", std::vector<std::int64_t>{4, 4, 6}}, {"feature", std::int64_t{8}}, {"hidden", std::int64_t{6}}, {"c1", std::int64_t{6}}, {"c2", std::int64_t{5}},
               {"f1", std::int64_t{4}}, {"f2", std::int64_t{3}}, {"cat", std::int64_t{6}}, {"flow_head", std::int64_t{5}}, {"mask", std::int64_t{4}},
               {"correlation_levels", std::int64_t{2}}, {"correlation_radius", std::int64_t{2}}};
    s.insert(s.end(), more.begin(), more.end());
    torch::manual_seed(3);
    model = test::catalogue().create<Model>(Kind::model, "deq_flow", s, host);
    model->to(torch::kFloat64);
  }
  Batch batch() const {
    torch::manual_seed(4);
    const Tensor image = torch::rand({2, 3, 32, 40}, f64) * 255;
    return {{{"image1", image}, {"image2", image.roll({1, 2}, {2, 3})}, {"flow", torch::ones({2, 2, 32, 40}, f64)}, {"valid", torch::ones({2, 32, 40}, f64)}}, {}};
  }
};

TEST(DeqFlow, Y2TheNormOfAStridedBlockHasTwoNamesAndIsOneTensor) {
  const Small small;
  const auto named = small.model->named_parameters();
  for (const std::string block : {"cnet.layer2.0.", "cnet.layer3.0."})
    for (const char* entry : {"weight", "bias"}) {
      const Tensor *norm = named.find(block + "norm3." + entry), *shortcut = named.find(block + "downsample.1." + entry);
      ASSERT_TRUE(norm && shortcut) << block;
      EXPECT_TRUE(norm->is_same(*shortcut));
    }
}

/// Hidden state and positions are two tensors; a plain solver and any gradient method take them as one state.
TEST(DeqFlow, Y8EveryGradientMethodAndSamplingTakesBothTensors) {
  for (const char* method : {"phantom", "implicit", "jacobian_free"})
    for (const char* form : {"indexing", "sliced"}) {
      Small small({}, method, {}, {.states = 2, .form = form});
      const Batch batch = small.batch();
      const auto outputs = small.model->forward(batch);
      EXPECT_EQ(outputs.size(), 2u) << method << ' ' << form;
      small.model->loss(outputs.back(), batch).backward();
      for (const auto& p : small.model->named_parameters())
        if (p.key().starts_with("update_block.")) {
          EXPECT_TRUE(p.value().grad().defined() && p.value().grad().isfinite().all().item<bool>()) << method << ' ' << p.key();
        }
      small.model->eval();
      const torch::NoGradGuard no_grad;
      EXPECT_TRUE(small.model->forward(batch).back().isfinite().all().item<bool>()) << method << ' ' << form;
    }
}

/// Positions are hundreds of pixels: an absolute 1e-3 of the whole state is not reached, a relative one is.
TEST(DeqFlow, Y9TheToleranceIsRelativeToTheState) {
  const FixedPointMap f([](const State& z) { return State(std::vector<Tensor>{0.5 * z[0], 0.9 * z[1] + 30}); });
  const auto solver = test::make_solver("fixed_point");
  const auto out = solve::solve(*solver, "fixed_point", f, State(std::vector<Tensor>{torch::ones({1, 4}, f64), torch::zeros({1, 2, 5, 5}, f64)}), {.tolerance = 1e-3, .max_evaluations = 60});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_GT(out.report.residual[0], 1);
}

TEST(DeqFlow, Y10TheResidualIsThatOfTheStateThatIsReturned) {
  Small small;
  std::vector<Solved> solves;
  small.layer->record_into(&solves);
  small.model->eval();
  const torch::NoGradGuard no_grad;
  small.model->forward(small.batch());
  const Solved& solved = solves.back();
  const State &z = solved.equilibrium.z(), after = solved.map(z);
  const Tensor squares = (after[0] - z[0]).flatten(1).square().sum(1) + (after[1] - z[1]).flatten(1).square().sum(1);
  for (std::int64_t i = 0; i < 2; ++i) EXPECT_NEAR(solved.equilibrium.forward.back().residual[static_cast<std::size_t>(i)] / std::sqrt(squares[i].item<double>()), 1, 1e-9);
}

TEST(DeqFlow, Y17TheStatisticsOfTheContextMoveAfterAValidationAsBefore) {
  for (const bool frozen : {false, true}) {
    Small small({{"batch_norm", std::string(frozen ? "frozen" : "active")}});
    const Tensor seen = small.model->named_buffers()["cnet.norm1.num_batches_tracked"];
    const auto steps = [&] { return small.model->forward(small.batch()), seen.item<std::int64_t>(); };
    small.model->train();
    EXPECT_EQ(steps(), frozen ? 0 : 1);
    small.model->eval();
    EXPECT_EQ(steps(), frozen ? 0 : 1);
    small.model->train();
    EXPECT_EQ(steps(), frozen ? 0 : 2);
  }
}

TEST(DeqFlow, CorrelationOnDemandGivesTheSameLossAndGradient) {
  for (const bool gma : {false, true}) {
    Small whole({{"gma", gma}}), lean({{"gma", gma}, {"correlation", std::string("on_demand")}});
    const Batch batch = whole.batch();
    const Tensor a = whole.model->loss(whole.model->forward(batch).back(), batch), b = lean.model->loss(lean.model->forward(batch).back(), batch);
    a.backward();
    b.backward();
    EXPECT_NEAR(a.item<double>(), b.item<double>(), 1e-10);
    const auto p = whole.model->parameters(), q = lean.model->parameters();
    for (std::size_t i = 0; i < p.size(); ++i) {
      if (!p[i].grad().defined()) continue;
      EXPECT_THAT(q[i].grad(), near(p[i].grad(), 1e-9));
    }
  }
}

TEST(DeqFlow, CheckpointedEncodersGiveTheSameLossGradientAndStatistics) {
  Small whole, lean({{"checkpoint", true}});
  const Batch batch = whole.batch();
  for (Small* each : {&whole, &lean}) each->model->loss(each->model->forward(batch).back(), batch).backward();
  const auto p = whole.model->parameters(), q = lean.model->parameters();
  for (std::size_t i = 0; i < p.size(); ++i) {
    ASSERT_EQ(p[i].grad().defined(), q[i].grad().defined()) << i;
    if (p[i].grad().defined()) EXPECT_THAT(q[i].grad(), near(p[i].grad(), 1e-12));
  }
  const auto u = whole.model->buffers(), v = lean.model->buffers();
  for (std::size_t i = 0; i < u.size(); ++i) EXPECT_TRUE(torch::equal(u[i], v[i])) << i;
}

TEST(DeqFlow, MaskHeadsOfVersionOneFindTheirPlace) {
  const Small small;
  const auto* names = query<RenamesWeights>(*small.model);
  ASSERT_NE(names, nullptr);
  const auto own = small.model->named_parameters();
  EXPECT_TRUE(own.contains(names->own_name("update_block.mask.2.weight")));
  EXPECT_EQ(names->own_name("update_block.gru.convz1.weight"), "update_block.gru.convz1.weight");
}

TEST(DeqFlow, WarmStartFollowsASequenceAndForgetsAtAnother) {
  Small cold, warm({{"warm_start", std::string("flow")}});
  const torch::NoGradGuard no_grad;
  cold.model->eval(), warm.model->eval();
  const Batch pairs = cold.batch();
  const auto frames = [&](std::int64_t sequence, const std::vector<std::int64_t>& numbers) {
    Batch b;
    for (const auto& [name, t] : pairs.tensors) b.tensors.emplace_back(name, t.narrow(0, 0, 1).repeat_interleave(static_cast<std::int64_t>(numbers.size()), 0));
    b.tensors.emplace_back("sequence", torch::full_like(torch::tensor(numbers), sequence));
    b.tensors.emplace_back("frame", torch::tensor(numbers));
    return b;
  };
  const Tensor first = warm.model->forward(frames(0, {0})).back(), second = warm.model->forward(frames(0, {1})).back();
  EXPECT_TRUE(first.equal(cold.model->forward(frames(0, {0})).back()));
  EXPECT_FALSE(second.equal(first));  // started elsewhere, four evaluations do not reach the end
  EXPECT_TRUE(warm.model->forward(frames(1, {2})).back().equal(first));

  EXPECT_TRUE(warm.model->forward(frames(0, {0, 1})).back().equal(torch::cat({first, second}))) << "one after another in a batch too";
}

const Tensor ones = torch::ones({1, 2, 2}, f64);

TEST(DeqFlow, TruthThatIsNotFiniteCountsForNothing) {
  for (const double strange : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    const Tensor prediction = torch::full({1, 2, 2, 2}, 3.0, f64).requires_grad_(), truth = torch::zeros({1, 2, 2, 2}, f64), valid = ones.clone(), holes = truth.clone();
    holes[0][0][1][0] = strange;
    valid[0][1][0] = 0;

    const Tensor loss = flow_loss(prediction, holes, ones);
    loss.backward();

    EXPECT_EQ(loss.item<double>(), flow_loss(prediction, truth, valid).item<double>());
    EXPECT_EQ(prediction.grad().abs().sum().item<double>(), 6.0 / 8) << "three pixels of four";
    for (const bool all : {true, false}) EXPECT_EQ(flow_sums(prediction.detach(), holes, judged(holes, ones, all)), flow_sums(prediction.detach(), truth, valid > 0));
  }
}

/// KITTI knows the flow of a fifth of its pixels; its files hold −512, or 0, in the others.
TEST(DeqFlow, AllPixelsAreThoseThatHaveATruth) {
  const Tensor truth = torch::zeros({1, 2, 2, 2}, f64), valid = torch::zeros({1, 2, 2}, f64), prediction = torch::full_like(truth, 3);
  truth[0].select(1, 0).fill_(-512);               // no truth in the upper row
  valid[0][1][1] = 1, truth[0][0][1][0] = 1000.5;  // and, in the lower one, one too long to be valid
  const Batch batch{{{"flow", truth}, {"valid", valid}}, {}};
  const auto epe = [&](bool all) { return flow_metrics(flow_sums(prediction, batch, all), "all_pixels")[0].value; };

  EXPECT_DOUBLE_EQ(epe(true), (std::sqrt(18.0) + std::hypot(997.5, 3)) / 2);
  EXPECT_DOUBLE_EQ(epe(false), std::sqrt(18.0));
}

TEST(DeqFlow, BenchmarksOfAPassAreToldApart) {
  const Tensor truth = torch::zeros({3, 2, 2, 2}, f64);
  Tensor prediction = truth.clone(), valid = torch::cat({ones, ones, ones});
  for (std::int64_t i = 0; i < 3; ++i) prediction.select(0, i).select(0, 0).fill_(static_cast<double>(i + 1));
  prediction[2][0][0][0] = 9, valid[2][0][0] = 0;
  const Batch batch{{{"flow", truth}, {"valid", valid}, {"benchmark", torch::tensor(std::vector<std::int64_t>{0, 1, 2})}}, {}};

  std::map<std::string, double> got;
  for (const Metric& m : flow_metrics(flow_sums(prediction, batch, /*all_pixels=*/true), "all_pixels")) got[m.name] = m.value;

  EXPECT_DOUBLE_EQ(got["epe"], 1.5) << "of Sintel";
  EXPECT_DOUBLE_EQ(got["clean_epe"], 1);
  EXPECT_DOUBLE_EQ(got["final_epe"], 2);
  EXPECT_DOUBLE_EQ(got["kitti_epe"], 3) << "of valid pixels";
  EXPECT_EQ(got["kitti_f1_all"], 0);
}

TEST(DeqFlow, AnImageWithoutAPixelThatCountsIsNoneOfTheMean) {
  const Tensor prediction = torch::full({2, 2, 2, 2}, 3.0, f64), truth = torch::zeros({2, 2, 2, 2}, f64), valid = torch::cat({ones, 0 * ones});
  const auto epe = [&](const Tensor& of) { return flow_metrics(flow_sums(prediction, truth, of > 0), "images")[0].value; };

  EXPECT_DOUBLE_EQ(epe(valid), 3 * std::sqrt(2.0));
  EXPECT_TRUE(std::isnan(epe(0 * valid))) << "no pixel, no error";
}

}  // namespace
