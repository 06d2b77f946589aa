#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/model_host.hpp"
#include "zstar/abi/regularizer.hpp"
#include "zstar/predict.hpp"
#include "zstar/weight_names.hpp"

namespace {

using namespace zstar;
using torch::Tensor;
using Integers = std::vector<std::int64_t>;

/// A model with its layer, and what the layer solved.
struct Built {
  std::shared_ptr<gradient::Layer> layer;
  std::unique_ptr<test::ModelHost> host;
  std::shared_ptr<Model> model;
  std::vector<Solved> solves;

  Built(const Settings& settings, const Description& data, bool norm = true, std::int64_t evaluations = 8, double tolerance = 1e-3, const gradient::Options& states = {}) {
    const solve::Options options{.tolerance = tolerance, .max_evaluations = evaluations, .stall_window = 0};
    layer.reset(new gradient::Layer(test::layer("implicit", options, options, "broyden", "anderson", {}, states)));
    layer->record_into(&solves);
    host = std::make_unique<test::ModelHost>(layer, norm ? std::shared_ptr<Norm>(test::make<Norm>(Kind::norm, "weight_norm")) : nullptr, data);
    model = test::catalogue().create<Model>(Kind::model, "mdeq", settings, *host);
  }

  std::int64_t parameters() const {
    std::int64_t n = 0;
    for (const Tensor& p : model->parameters()) n += p.numel();
    return n;
  }
  std::map<std::string, Integers> shapes() const {
    std::map<std::string, Integers> all;
    for (const auto& p : model->named_parameters()) all[p.key()] = p.value().sizes().vec();
    for (const auto& b : model->named_buffers()) all[b.key()] = b.value().sizes().vec();
    return all;
  }
};

const Description colour{{{"channels", 3}, {"height", 32}, {"width", 32}, {"classes", 10}}};
const Description tiny_data{{{"channels", 2}, {"height", 6}, {"width", 6}, {"classes", 3}}};

Settings tiny(Settings more = {}) {
  Settings s{{"channels", Integers{4, 6}}, {"head_channels", Integers{2, 3}}, {"final_channels", std::int64_t{7}}, {"groups", std::int64_t{2}},
             {"expansion", std::int64_t{2}}, {"initial", std::string("default")}};
  for (auto& m : more) s.push_back(std::move(m));
  return s;
}

Batch images(std::int64_t n) {
  const Tensor x = test::randn({n, 2, 6, 6}, 3);
  return {{{"images", x}, {"labels", torch::arange(n).remainder(3)}}, {}};
}

TEST(Mdeq, PublishedSettingsHaveThePublishedNumberOfParameters) {
  EXPECT_EQ(Built({}, colour).parameters(), 159034);
  const Settings wide{{"channels", Integers{32, 64, 128, 256}}, {"head_channels", Integers{14, 28, 56, 112}}, {"final_channels", std::int64_t{1680}}};
  EXPECT_EQ(Built(wide, colour).parameters(), 11099998);
  const Settings imagenet{{"channels", Integers{32, 64, 128, 256}}, {"head_channels", Integers{24, 48, 96, 192}}, {"final_channels", std::int64_t{2048}},
                          {"halvings", std::int64_t{2}}, {"norm_fusion", false}, {"initial", std::string("default")}};
  EXPECT_EQ(Built(imagenet, {{{"channels", 3}, {"height", 224}, {"width", 224}, {"classes", 1000}}}).parameters(), 16808456);
}

TEST(Mdeq, NamesAndShapesAreThePublishedOnes) {
  std::map<std::string, Integers> want;
  const auto add = [&](const std::string& prefix, const std::vector<std::pair<std::string, Integers>>& entries) {
    for (const auto& [name, shape] : entries) want[prefix + name] = shape;
  };
  const auto statistics = [&](const std::string& prefix, std::int64_t c, bool affine) {
    add(prefix, {{"running_mean", {c}}, {"running_var", {c}}, {"num_batches_tracked", {}}});
    if (affine) add(prefix, {{"weight", {c}}, {"bias", {c}}});
  };
  const auto normed = [&](const std::string& prefix, std::int64_t out, std::int64_t in, std::int64_t k) {
    add(prefix, {{"weight_g", {out, 1, 1, 1}}, {"weight_v", {out, in, k, k}}});
  };
  const auto group_norm = [&](const std::string& prefix, std::int64_t c) { add(prefix, {{"weight", {c}}, {"bias", {c}}}); };
  add("downsample.", {{"0.weight", {24, 3, 3, 3}}, {"3.weight", {24, 24, 3, 3}}});
  statistics("downsample.1.", 24, true), statistics("downsample.4.", 24, true);
  for (const std::string i : {"0", "1"}) {
    const std::string block = "full_stage.branches." + i + ".blocks.0.", after = "full_stage.post_fuse_layers." + i + ".", bottleneck = "incre_modules." + i + ".0.";
    const std::int64_t h = i == "0" ? 8 : 16;
    normed(block + "conv1.", 120, 24, 3), normed(block + "conv2.", 24, 120, 3), normed(after + "conv.", 24, 24, 1);
    group_norm(block + "gn1.", 120), group_norm(block + "gn2.", 24), group_norm(block + "gn3.", 24), group_norm(after + "gnorm.", 24);
    add(bottleneck, {{"conv1.weight", {h, 24, 1, 1}}, {"conv2.weight", {h, h, 3, 3}}, {"conv3.weight", {4 * h, h, 1, 1}}, {"downsample.0.weight", {4 * h, 24, 1, 1}}});
    statistics(bottleneck + "bn1.", h, false), statistics(bottleneck + "bn2.", h, false), statistics(bottleneck + "bn3.", 4 * h, false);
    statistics(bottleneck + "downsample.1.", 4 * h, true);
  }
  normed("full_stage.fuse_layers.0.1.net.conv.", 24, 24, 1), group_norm("full_stage.fuse_layers.0.1.net.gnorm.", 24);
  normed("full_stage.fuse_layers.1.0.net.0.conv.", 24, 24, 3), group_norm("full_stage.fuse_layers.1.0.net.0.gnorm.", 24);
  add("downsamp_modules.0.0.", {{"weight", {64, 32, 3, 3}}, {"bias", {64}}}), statistics("downsamp_modules.0.1.", 64, true);
  add("final_layer.0.", {{"weight", {200, 64, 1, 1}}, {"bias", {200}}}), statistics("final_layer.1.", 200, true);
  add("classifier.", {{"weight", {10, 200}}, {"bias", {10}}});
  EXPECT_EQ(Built({}, colour).shapes(), want);
}

TEST(Mdeq, FusionOutOfTheNormAndOneBranch) {
  const auto plain = Built(tiny({{"norm_fusion", false}}), tiny_data).shapes();
  EXPECT_TRUE(plain.count("full_stage.fuse_layers.1.0.net.0.conv.weight"));
  EXPECT_TRUE(plain.count("full_stage.post_fuse_layers.0.conv.weight"));
  EXPECT_TRUE(plain.count("full_stage.branches.0.blocks.0.conv1.weight_v"));
  for (const auto& [name, shape] : Built(tiny({{"channels", Integers{4}}, {"head_channels", Integers{2}}}), tiny_data).shapes())
    EXPECT_TRUE(name.find("full_stage") != 0 || name.find("full_stage.branches.0.") == 0) << name;
}

TEST(Mdeq, Z8SmallInitialWeightsLeaveNormedOnesAlone) {
  torch::manual_seed(1);
  const Built small({}, colour);
  for (const auto& p : small.model->named_parameters()) {
    if (p.key() == "final_layer.0.weight") { EXPECT_NEAR(p.value().std().item<double>(), 0.01, 0.0005); }  // 12,800 draws: 0.6 %
    if (p.key() == "full_stage.branches.0.blocks.0.conv1.weight_v") { EXPECT_NEAR(p.value().std().item<double>(), 0.0393, 0.001); }  // 1/sqrt(3·216)
  }
}

/// The published ImageNet program calls no initialiser: convolutions, under the norm or not, are uniform in ±1/sqrt(fan in), as LibTorch draws them.
TEST(Mdeq, Z9TheImageNetFormKeepsTheDefaultsOfTheFramework) {
  torch::manual_seed(1);
  const Built imagenet({{"initial", std::string("default")}, {"norm_fusion", false}}, colour);
  for (const auto& [name, fan_in] : {std::pair("final_layer.0.weight", 64.0), std::pair("downsample.3.weight", 24.0 * 9), std::pair("full_stage.fuse_layers.1.0.net.0.conv.weight", 24.0 * 9),
                                     std::pair("full_stage.branches.0.blocks.0.conv1.weight_v", 24.0 * 9)}) {
    const Tensor w = imagenet.model->named_parameters()[name].detach();
    const double bound = 1 / std::sqrt(fan_in);
    EXPECT_LE(w.abs().max().item<double>(), bound * (1 + 1e-6)) << name;
    EXPECT_NEAR(w.std().item<double>(), bound / std::sqrt(3.0), 0.02 * bound) << name;  // 5000 draws and more
  }
}

/// The published training program first passes a batch of noise through the model: its running statistics start from that.
TEST(Mdeq, Z18RunningStatisticsKnowTrainingBatchesAlone) {
  Built b(tiny(), tiny_data);
  const auto statistics = [&](const char* ending) {
    std::vector<Tensor> found;
    for (const auto& buffer : b.model->named_buffers())
      if (buffer.key().ends_with(ending)) found.push_back(buffer.value());
    EXPECT_FALSE(found.empty());
    return found;
  };
  for (const Tensor& t : statistics("running_mean")) EXPECT_TRUE(t.eq(0).all().item<bool>());
  for (const Tensor& t : statistics("running_var")) EXPECT_TRUE(t.eq(1).all().item<bool>());
  b.model->to(torch::kFloat64);
  b.model->eval();
  b.model->forward(images(4));
  for (const Tensor& t : statistics("num_batches_tracked")) EXPECT_EQ(t.item<std::int64_t>(), 0);
  b.model->train();
  b.model->forward(images(4));
  for (const Tensor& t : statistics("num_batches_tracked")) EXPECT_EQ(t.item<std::int64_t>(), 1);
}

TEST(Mdeq, Z33EvaluationIsOneSolveOfAsManyEvaluationsAsIsSaid) {
  const torch::NoGradGuard no_grad;
  for (const std::int64_t evaluations : {0, 1, 5}) {  // none is none, and not a default
    Built b(tiny(), tiny_data, /*norm=*/true, evaluations, /*tolerance=*/1e-15);
    b.model->to(torch::kFloat64);
    b.model->eval();
    b.model->forward(images(2));
    ASSERT_EQ(b.solves.size(), 1u);
    EXPECT_EQ(b.solves[0].equilibrium.forward[0].calls, evaluations);
  }
}

TEST(Mdeq, Z36RunningStatisticsMoveOnceForEveryReturnedState) {
  Built b(tiny(), tiny_data, /*norm=*/true, /*evaluations=*/9, /*tolerance=*/1e-15, {.states = 3});
  b.model->to(torch::kFloat64);
  b.model->train();
  EXPECT_EQ(b.model->forward(images(4)).size(), 3u);
  for (const auto& buffer : b.model->named_buffers())
    if (buffer.key().ends_with("num_batches_tracked")) {
      EXPECT_EQ(buffer.value().item<std::int64_t>(), buffer.key().find("downsample.") == 0 ? 1 : 3) << buffer.key();  // the stem sees the image once
    }
}

TEST(Mdeq, Z32BothSidesOfASolveAreOnRecord) {
  Built b(tiny(), tiny_data);
  b.model->to(torch::kFloat64);
  b.model->train();
  b.model->loss(b.model->forward(images(3)).back(), images(3)).backward();
  ASSERT_EQ(b.solves.size(), 1u);
  const Equilibrium& e = b.solves[0].equilibrium;
  ASSERT_EQ(e.forward.size(), 1u);
  ASSERT_EQ(e.backward->size(), 1u);
  EXPECT_EQ(e.forward[0].method, "broyden");
  EXPECT_EQ(e.backward->front().method, "anderson");
  for (const Report& r : {e.forward[0], e.backward->front()}) EXPECT_TRUE(r.calls > 0 && r.residual.size() == 3);
}

/// Group norm takes the scale g of all channels of a group away, but not that of one beside the others.
TEST(Mdeq, Z34TheScaleBeforeAGroupNormCountsRelativeToItsGroupAlone) {
  const torch::NoGradGuard no_grad;
  Built b(tiny(), tiny_data);
  b.model->to(torch::kFloat64);
  b.model->eval();
  Tensor g = b.model->named_parameters()["full_stage.branches.0.blocks.0.conv1.weight_g"];
  g.mul_(100);  // far above the ε of the norm
  const auto image = [&] {
    b.solves.clear();
    b.model->forward(images(2));
    return b.solves[0].map(State(std::vector<Tensor>{test::randn({2, 4, 6, 6}, 5), test::randn({2, 6, 3, 3}, 6)}))[0];
  };
  const Tensor before = image();
  g.mul_(3);
  EXPECT_LT((image() - before).abs().max().item<double>(), 1e-4);  // ε/variance
  g[0].mul_(3);
  EXPECT_GT((image() - before).abs().max().item<double>(), 1e-2);
}

TEST(Mdeq, Z37TheMapChangesNothingThatItIsGiven) {
  Built b(tiny({{"dropout", 0.3}}), tiny_data);
  b.model->to(torch::kFloat64);
  b.model->train();
  b.model->forward(images(2));
  const FixedPointMap& f = b.solves.at(0).map;
  std::vector<Tensor> given{test::randn({2, 4, 6, 6}, 5), test::randn({2, 6, 3, 3}, 6)}, before;
  const State z(given);
  for (const Tensor& t : f.captured()) given.push_back(t);
  for (const Tensor& t : given) before.push_back(t.detach().clone());
  f(z)[0].sum().backward();
  for (std::size_t i = 0; i < given.size(); ++i) EXPECT_TRUE(given[i].equal(before[i])) << i;
}

/// In either memory format the same numbers, up to rounding: forward, and the gradients of all parameters.
TEST(Mdeq, MemoryFormatsAgree) {
  const auto run = [](const std::string& format) {
    torch::manual_seed(4);
    Built b(tiny({{"memory_format", format}}), tiny_data, /*norm=*/true, /*evaluations=*/2);
    Batch batch = images(4);
    batch.tensors.front().second = batch.at("images").to(torch::kFloat32);
    const Tensor output = b.model->forward(batch).back();
    std::vector<Tensor> all{output.detach()};
    for (const Tensor& g : torch::autograd::grad({b.model->loss(output, batch)}, b.model->parameters(), {}, {}, false, /*allow_unused=*/true)) all.push_back(g);
    return all;
  };
  const auto plain = run("contiguous"), last = run("channels_last");
  for (std::size_t i = 0; i < plain.size(); ++i)
    if (plain[i].defined()) {
      EXPECT_TRUE(torch::allclose(last[i], plain[i], 1e-3, 1e-5)) << i;  // two evaluations, two products: nothing enlarges rounding
    }
}

TEST(Mdeq, OneSampleAloneEqualsItselfInTheBatch) {
  torch::manual_seed(2);
  Built b(tiny({{"channels", Integers{4, 6, 4}}, {"head_channels", Integers{2, 3, 2}}, {"dropout", 0.3}}), tiny_data);
  b.model->to(torch::kFloat64);
  b.model->train();
  const Batch batch = images(4);
  b.model->forward(batch);  // in training: masks are drawn
  const FixedPointMap& f = b.solves.at(0).map;
  ASSERT_TRUE(f.samples_independent());
  const State& z = b.solves[0].equilibrium.fixed_point;
  const State whole = f(z);
  for (std::int64_t row = 0; row < 4; ++row) {
    const Tensor index = torch::tensor({row});
    std::vector<Tensor> alone;
    for (const Tensor& t : z) alone.push_back(t.index_select(0, index));
    const State one = f.at_rows(index)(State(alone));
    for (std::size_t i = 0; i < z.size(); ++i) EXPECT_TRUE(one[i].allclose(whole[i].index_select(0, index), 1e-12, 1e-13));
  }
  b.model->eval();  // whole model: batch norm with its running statistics
  const Tensor scores = b.model->forward(batch).back();
  const Batch first{{{"images", batch.at("images").narrow(0, 0, 1)}}, {}};
  EXPECT_TRUE(b.model->forward(first).back().allclose(scores.narrow(0, 0, 1), 1e-9, 1e-10));  // solves of 8 evaluations, equal up to rounding
}

TEST(Mdeq, PredictsProbabilitiesWithoutLabels) {
  Built built(tiny(), tiny_data);
  built.model->to(torch::kFloat64);
  built.model->eval();
  const torch::NoGradGuard no_grad;
  Batch batch = images(3);
  const Tensor scores = built.model->forward(batch).back();
  batch.tensors.pop_back();
  auto* predicts = query<Predicts>(*built.model);
  ASSERT_NE(predicts, nullptr);
  EXPECT_TRUE(predicts->predict(batch).allclose(torch::softmax(scores, 1), 1e-9));
}

TEST(Mdeq, GradientsEqualCentralDifferences) {
  torch::manual_seed(5);
  Built b(tiny(), tiny_data, /*norm=*/true, /*evaluations=*/400, /*tolerance=*/1e-13);
  b.model->to(torch::kFloat64);
  b.model->train();
  for (const auto& p : b.model->named_parameters()) {  // a small state and a large injection: the map contracts
    if (p.key().find("post_fuse_layers") != std::string::npos && p.key().find("gnorm.weight") != std::string::npos) p.value().detach().fill_(0.2);
    if (p.key() == "downsample.4.weight") p.value().detach().fill_(10);
  }
  const Batch batch = images(3);
  const auto parameters = b.model->parameters();
  const auto loss = [&] { return b.model->loss(b.model->forward(batch).back(), batch); };
  const auto grads = torch::autograd::grad({loss()}, parameters);
  for (const double r : b.solves.back().equilibrium.forward.back().relative) ASSERT_LT(r, 1e-11);
  const torch::NoGradGuard no_grad;
  constexpr double step = 1e-6;  // error step² + 1e-12/step
  constexpr std::size_t directions = 6;  // direction d moves every sixth parameter, from number d on
  for (std::size_t d = 0; d < directions; ++d) {
    std::vector<Tensor> moves;
    double product = 0;
    for (std::size_t k = d; k < parameters.size(); k += directions) {
      moves.push_back(torch::randn_like(parameters[k]));
      product += (grads[k] * moves.back()).sum().item<double>();
    }
    const auto at = [&](double s) {
      const auto move = [&](double by) {
        for (std::size_t i = 0; i < moves.size(); ++i) Tensor(parameters[d + i * directions]).add_(moves[i], by);
      };
      move(s);
      const double value = loss().item<double>();
      move(-s);
      return value;
    };
    const double difference = (at(step) - at(-step)) / (2 * step);
    EXPECT_NEAR(product, difference, 2e-5 * std::max(1.0, std::abs(difference))) << "direction " << d;
  }
}

TEST(Mdeq, MasksHoldForASolve) {
  Built b(tiny({{"dropout", 0.5}}), tiny_data);
  b.model->to(torch::kFloat64);
  b.model->train();
  b.model->forward(images(4)), b.model->forward(images(4));
  const State z = b.solves.at(0).equilibrium.fixed_point;
  EXPECT_TRUE(b.solves[0].map(z)[0].equal(b.solves[0].map(z)[0]));
  EXPECT_FALSE(b.solves[0].map(z)[0].allclose(b.solves[1].map(z)[0]));
  b.model->eval();
  b.model->forward(images(4)), b.model->forward(images(4));
  EXPECT_TRUE(b.solves.at(2).map(z)[0].equal(b.solves.at(3).map(z)[0]));
}

TEST(Mdeq, PretrainingUnrollsTheFirstBatches) {
  Built b(tiny({{"pretrain_steps", std::int64_t{2}}, {"pretrain_evaluations", std::int64_t{3}}}), tiny_data);
  b.model->to(torch::kFloat64);
  b.model->eval();
  b.model->forward(images(2));
  EXPECT_EQ(b.solves.size(), 1u) << "evaluation always solves";
  b.model->train();
  for (int k = 0; k < 2; ++k) b.model->loss(b.model->forward(images(2)).back(), images(2)).backward();
  EXPECT_EQ(b.solves.size(), 1u);
  for (const auto& p : b.model->named_parameters()) EXPECT_TRUE(p.value().grad().defined()) << p.key();
  b.model->forward(images(2));
  EXPECT_EQ(b.solves.size(), 2u);
  EXPECT_EQ(b.model->named_buffers()["pretrained_batches"].item<double>(), 2);
}

TEST(Mdeq, WeightsUnderTheNamesOfTheFirstImplementationAreItsOwn) {
  const auto name = [](const Settings& more, const std::string& theirs) { return query<RenamesWeights>(*Built(tiny(more), tiny_data).model)->own_name(theirs); };
  const Settings one{{"channels", Integers{4}}, {"head_channels", Integers{2}}};

  EXPECT_EQ(name({}, "fullstage.branches.0.blocks.0.conv1.weight_g"), "full_stage.branches.0.blocks.0.conv1.weight_g");
  EXPECT_EQ(name({}, "full_stage.post_fuse_layers.0.conv.weight_v"), "full_stage.post_fuse_layers.0.conv.weight_v");
  EXPECT_EQ(name({}, "incre_modules.0.0.conv1.weight"), "incre_modules.0.0.conv1.weight");
  EXPECT_EQ(name(one, "fullstage.post_fuse_layers.0.conv.weight_v"), "") << "one branch is not fused";
}

TEST(Mdeq, OptionsThatContradictAreRefused) {
  const auto message = [](const Settings& more) {
    try {
      Built b(tiny(more), tiny_data);
    } catch (const OptionError& e) {
      return e.option() + ": " + e.what();
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message({{"head_channels", Integers{2}}}), ::testing::HasSubstr("1 numbers for 2 branches"));
  EXPECT_THAT(message({{"groups", std::int64_t{4}}}), ::testing::HasSubstr("6 channels cannot be cut into 4 equal groups"));
  EXPECT_THAT(message({{"channels", Integers{}}}), ::testing::HasSubstr("channels is empty"));
}

}  // namespace
