#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "inversion.hpp"
#include "tests/support/model_host.hpp"
#include "zstar/formats/arrays.hpp"
#include "zstar/render.hpp"

namespace {

using namespace zstar;
using namespace zstar_ddim;
using torch::Tensor;

/// A network without weights that depends on state and time.
Tensor bend(const Tensor& x, const Tensor& t) { return torch::tanh(0.7 * x + (t / 1000).view({-1, 1, 1, 1})); }

TEST(Schedules, HaveTheirClosedForms) {
  const std::int64_t n = 50;
  EXPECT_TRUE(alpha_bar(betas("const", 1e-4, 0.02, n)).allclose(torch::pow(torch::full({n + 1}, 0.98, doubles()), torch::arange(n + 1, doubles())), 0, 1e-14));
  EXPECT_TRUE(alpha_bar(betas("jsd", 1e-4, 0.02, n)).allclose(1 - torch::arange(n + 1, doubles()) / n, 0, 1e-14)) << "ā_t = 1 − (t + 1)/N";
  const Tensor linear = betas("linear", 1e-4, 0.02, n);
  EXPECT_NEAR((linear[7] - linear[6]).item<double>(), 0.0199 / 49, 1e-15);
  EXPECT_NEAR(betas("quad", 1e-4, 0.02, n).sqrt()[10].item<double>(), 0.01 + 10 * (std::sqrt(0.02) - 0.01) / 49, 1e-14);
  EXPECT_NEAR(betas("sigmoid", 0, 1, n).sum().item<double>(), n / 2.0, 1e-12) << "symmetric about one half";
  const Tensor cosine = alpha_bar(betas("cosine", 1e-4, 0.02, n));
  const auto bar = [](double t) { return std::pow(std::cos((t + 0.008) / 1.008 * M_PI / 2), 2); };
  EXPECT_NEAR(cosine[25].item<double>(), bar(0.5) / bar(0), 1e-13);
}

TEST(Schedules, Y29SequencesHaveAsManyTimesAsSteps) {
  for (const std::int64_t s : {1, 7, 30, 333, 1000})
    for (const char* kind : {"uniform", "quad"}) {
      const auto t = times(kind, 1000, s);
      EXPECT_EQ(static_cast<std::int64_t>(t.size()), s);
      EXPECT_TRUE(std::is_sorted(t.begin(), t.end()));
      EXPECT_LT(t.back(), 1000);
    }
}

/// quad for many steps begins with 0, 0, 0, …, and never ends above 0.8 N.
TEST(Schedules, Y30StepsOfARepeatedTimeChangeNothing) {
  const auto rising = times("quad", 1000, 1000);
  EXPECT_EQ(rising.back(), 800);
  EXPECT_EQ(std::count(rising.begin(), rising.end(), 0), 36) << "k √800/999 < 1 up to k = 35";
  for (const Step& s : steps_down(rising, alpha_bar(betas("linear", 1e-4, 0.02, 1000)))) {
    if (s.bar != s.bar_next) continue;
    EXPECT_NEAR(s.weight(1.0), 0, 1e-15);
    EXPECT_EQ(s.sigma(1.0), 0);
  }
}

TEST(Schedules, Y36EmbeddingsAreSinesAndCosinesOfFrequenciesInTheirOwnPrecision) {
  const Tensor e = embedding(torch::tensor({3.0, 700.0}, doubles()), 9, torch::kFloat64);
  EXPECT_TRUE((e.narrow(1, 0, 4).square() + e.narrow(1, 4, 4).square()).allclose(torch::ones({2, 4}, doubles()), 0, 1e-14));
  EXPECT_EQ(e.select(1, 8).abs().max().item<double>(), 0) << "odd sizes end in a zero";
  EXPECT_NEAR(e[1][3].item<double>(), std::sin(700 * 1e-4), 1e-14) << "the last frequency is 10⁻⁴";
  EXPECT_NEAR(e[1][1].item<double>(), std::sin(700 * std::pow(10, -4 / 3.0)), 1e-13) << "in single precision 1e-6 away";
}

class EveryEta : public ::testing::TestWithParam<double> {};
INSTANTIATE_TEST_SUITE_P(Ddim, EveryEta, ::testing::Values(0.0, 0.5, 1.0));

TEST_P(EveryEta, Y38PlainIterationIsExactStepByStep) {
  const double eta = GetParam();
  const std::int64_t s = 8;
  const auto steps = steps_down(times("uniform", 1000, s), alpha_bar(betas("linear", 1e-4, 0.02, 1000)));
  const Tensor x = test::randn({3, 2, 4, 4}, 1), noise = test::randn({3, s, 2, 4, 4}, 2);
  const auto want = sample_ddim(bend, x, steps, eta, noise.unbind(1)).states;
  const Trajectory map(bend, steps, eta, x, noise);
  Tensor z = map.start(x);
  for (std::int64_t k = 1; k <= s; ++k) {
    z = map(z, x);
    const Tensor got = z.view({3, s, 2, 4, 4}).select(1, k - 1);
    EXPECT_LT(test::relative_error(got, want[static_cast<std::size_t>(k)]), 1e-12) << "state " << k << " after " << k << " sweeps";  // sums of S terms up to 80
    if (k < s) {
      EXPECT_GT(test::relative_error(map.last(z), want.back()), 1e-9) << "and not before";
    }
  }
}

TEST(Ddim, ChunksChangeNothing) {
  const auto steps = steps_down(times("quad", 1000, 6), alpha_bar(betas("linear", 1e-4, 0.02, 1000)));
  const Tensor x = test::randn({2, 1, 4, 4}, 1);
  const Trajectory whole(bend, steps, 0, x), cut(bend, steps, 0, x, {}, /*chunk=*/5);
  EXPECT_TRUE(whole(whole.start(x), x).equal(cut(cut.start(x), x)));
}

TEST(Ddim, StepsOfInversionDifferentiateAsFarAsTheyGo) {
  const auto steps = steps_down(times("uniform", 1000, 4), alpha_bar(betas("linear", 1e-4, 0.02, 1000)));
  const Tensor x = test::randn({1, 1, 2, 2}, 1).requires_grad_();
  const Trajectory map(bend, steps, 0, x.detach());
  const Tensor sampled = sample_ddim(bend, x, steps, 0, {}).states.back(), whole = torch::autograd::grad({sampled.sum()}, {x})[0];
  Tensor z = torch::cat({x, map.start(x)}).detach();
  for (int k = 0; k < 4; ++k) z = with_latent(map, z, x.detach());
  EXPECT_LT(test::relative_error(z.slice(0, 4), sampled.detach()), 1e-12);
  const Tensor one = with_latent(map, z, x).slice(0, 4);
  EXPECT_TRUE(torch::autograd::grad({one.sum()}, {x})[0].allclose(map.from().flatten()[3].expand({1, 1, 2, 2}), 1e-14, 0)) << "no network";
  for (int k = 0; k < 5; ++k) z = with_latent(map, z, x);
  EXPECT_LT(test::relative_error(torch::autograd::grad({z.slice(0, 4).sum()}, {x})[0], whole), 1e-12) << "as the sampler's own";
}

TEST(Ddim, EncodingIsUndoneWhereTheNoiseIsConstant) {
  const Denoiser constant = [](const Tensor& x, const Tensor&) { return torch::full_like(x, 0.3); };
  const Tensor bars = alpha_bar(betas("linear", 1e-4, 0.02, 1000)), x = test::randn({1, 1, 2, 2}, 1);
  const auto rising = times("uniform", 1000, 10);
  auto down = steps_down(rising, bars);
  down.pop_back();  // the encoder begins at the first time, not at the clean image
  EXPECT_TRUE(sample_ddim(constant, encode(constant, x, rising, bars).back(), down, 0, {}).states.back().allclose(x, 0, 1e-12));
}

TEST(Ddim, TheLastPosteriorIsTheCleanImage) {
  const auto steps = steps_down(times("uniform", 1000, 5), alpha_bar(betas("linear", 1e-4, 0.02, 1000)));
  const auto path = sample_ddpm(bend, test::randn({1, 1, 2, 2}, 1), steps, test::randn({5, 1, 1, 2, 2}, 2).unbind(0));
  EXPECT_TRUE(path.states.back().allclose(path.clean.back(), 0, 1e-12));
  EXPECT_LE(path.clean.back().abs().max().item<double>(), 1);
}

/// A model with its layer.
struct Built {
  std::unique_ptr<test::ModelHost> host;
  std::shared_ptr<Model> model;

  Built(const Settings& settings, std::int64_t channels, std::int64_t size) {
    const solve::Options options{.tolerance = 1e-9, .max_evaluations = 40, .finished = "whole", .stall_window = 0};
    std::shared_ptr<gradient::Layer> layer(new gradient::Layer(test::layer("phantom", options, options, "anderson", "fixed_point", {{"beta", 0.1}})));
    host = std::make_unique<test::ModelHost>(layer, nullptr, Description{{{"channels", channels}, {"height", size}, {"width", size}}});
    model = test::catalogue().create<Model>(Kind::model, "deq_ddim", settings, *host);
  }
  std::int64_t parameters() const {
    std::int64_t n = 0;
    for (const Tensor& p : model->parameters()) n += p.numel();
    return n;
  }
};

TEST(Ddim, PublishedSettingsHaveThePublishedNumberOfParameters) {
  EXPECT_NEAR(static_cast<double>(Built({}, 3, 32).parameters()) / 1e6, 35.7, 0.05);
  EXPECT_NEAR(static_cast<double>(Built({{"multipliers", Integers{1, 2, 2, 2, 4}}}, 3, 64).parameters()) / 1e6, 78.7, 0.05);
}

/// With random masks, a level with attention and one without, and skips that the way up joins.
TEST(Ddim, CheckpointedBlocksGiveTheSameLossAndGradient) {
  const auto small = [](bool checkpoint) {
    torch::manual_seed(4);
    Built built({{"width", std::int64_t{8}}, {"multipliers", Integers{1, 2}}, {"attention", Integers{4}}, {"norm_groups", std::int64_t{4}}, {"dropout", 0.3}, {"checkpoint", checkpoint}}, 1, 8);
    built.model->to(torch::kFloat64);
    return built;
  };
  const Built whole = small(false), lean = small(true);
  const Batch batch{{{"images", test::randn({3, 1, 8, 8}, 5)}}, {}};
  std::vector<double> losses;
  for (const Built* each : {&whole, &lean}) {
    torch::manual_seed(6);
    const Tensor loss = each->model->loss(each->model->forward(batch).back(), batch);
    loss.backward();
    losses.push_back(loss.item<double>());
  }
  EXPECT_EQ(losses[0], losses[1]);
  const auto p = whole.model->parameters(), q = lean.model->parameters();
  for (std::size_t i = 0; i < p.size(); ++i) {
    ASSERT_TRUE(p[i].grad().defined() && q[i].grad().defined()) << i;
    EXPECT_TRUE(q[i].grad().allclose(p[i].grad(), 1e-10, 1e-12)) << i;
  }
}

TEST(Ddim, Y31ParallelSamplesAreTheSequentialOnesAndInversionDescends) {
  torch::manual_seed(3);
  for (const char* mixing : {"per_step", "per_image"}) {
    Built b({{"width", std::int64_t{8}}, {"multipliers", Integers{1, 2}}, {"blocks", std::int64_t{1}}, {"attention", Integers{4}}, {"norm_groups", std::int64_t{4}},
             {"steps", std::int64_t{10}}, {"samples", std::int64_t{3}}, {"mixing", std::string(mixing)}, {"invert_steps", std::int64_t{12}}, {"invert_lr", 0.05}},
            1, 8);
    b.model->to(torch::kFloat64);
    b.model->eval();
    const torch::NoGradGuard no_grad;
    const auto folder = std::filesystem::temp_directory_path() / ("zstar_ddim_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    const Batch batch{{{"images", test::randn({2, 1, 8, 8}, 5).clamp(-1, 1)}}, {}};
    const auto files = query<Produces>(*b.model)->produce(batch, 1, folder.string());
    for (const auto& file : files) EXPECT_TRUE(std::filesystem::exists(file)) << file;
    std::ifstream in(folder / "sampling.json");
    const auto record = nlohmann::json::parse(in);
    EXPECT_LT(record.at("relative_difference").get<double>(), 1e-6) << mixing;  // the solver's 1e-9, through weights up to 80
    EXPECT_LT(record.at("inversion_best").get<double>(), 0.98 * record.at("inversion_first").get<double>()) << mixing;
    std::filesystem::remove_all(folder);
  }
}

Settings small(Settings more) {
  Settings s{{"width", std::int64_t{8}}, {"multipliers", Integers{1, 2}}, {"blocks", std::int64_t{1}}, {"attention", Integers{4}}, {"norm_groups", std::int64_t{4}},
             {"steps", std::int64_t{4}}, {"samples", std::int64_t{2}}};
  s.insert(s.end(), more.begin(), more.end());
  return s;
}

class Produced : public ::testing::Test {
 protected:
  Produced() : folder(std::filesystem::temp_directory_path() / ("zstar_produced_" + std::to_string(::getpid()))) { std::filesystem::create_directories(folder); }
  ~Produced() override { std::filesystem::remove_all(folder); }

  nlohmann::json record() const {
    std::ifstream in(folder / "sampling.json");
    return nlohmann::json::parse(in);
  }
  void run(const Settings& more, double weight = 1) {
    torch::manual_seed(3);
    Built b(small(more), 1, 8);
    b.model->to(torch::kFloat64);
    b.model->eval();
    const torch::NoGradGuard no_grad;
    for (const Tensor& p : b.model->parameters()) p.mul_(weight);
    query<Produces>(*b.model)->produce(batch, 1, folder.string());
  }
  Tensor array(const std::string& name) const { return formats::Npz(formats::read_file(folder / "latent.npz")).array(name); }
  std::string refusal(const Settings& more, double weight = 1) {
    try {
      run(more, weight);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "accepted";
  }

  std::filesystem::path folder;
  Batch batch{{{"images", test::randn({3, 1, 8, 8}, 5).clamp(-1, 1)}}, {}};
};

TEST_F(Produced, Y32TheRecordSaysHowEveryStateOfEveryImageEnded) {
  run({});
  EXPECT_LE(record().at("relative_residual").get<double>(), 1e-9);
  EXPECT_EQ(record().at("reasons").at("converged").get<int>() + record().at("reasons").value("floor", 0), 2 * 4) << "every state of every image";
}

TEST_F(Produced, ImagesThatAreNotFiniteAreRefusedAndTheirRecordIsJson) {
  for (const char* sampler : {"parallel", "sequential"}) EXPECT_THAT(refusal({{"sampler", std::string(sampler)}}, std::nan("")), ::testing::HasSubstr("sampling met numbers that are not finite")) << sampler;
  EXPECT_FALSE(refusal({}, std::nan("")) == "accepted");
  EXPECT_TRUE(record().at("relative_difference").is_null());
}

TEST_F(Produced, Y34TheLatentKeptIsOfTheErrorItIsNamedFor) {
  for (const double lr : {1e-3, 10.0}) {
    run({{"invert_steps", std::int64_t{1}}, {"invert_lr", lr}});
    EXPECT_TRUE(array("target").equal(batch.at("images").narrow(0, 0, 1)));
    EXPECT_NEAR((array("image") - array("target")).square().sum().item<double>(), record().at("inversion_best").get<double>(), 1e-9);
    EXPECT_EQ(record().at("inversion_ended"), "steps");
    static Tensor start;
    if (start.defined()) {
      EXPECT_TRUE(array("latent").equal(start)) << "before the step of the optimiser, whatever its length";
    }
    start = array("latent");
  }
}

TEST_F(Produced, AnInversionEndsAtItsError) {
  run({{"invert_steps", std::int64_t{5}}, {"invert_stop", 1e9}, {"eta", 0.5}});
  EXPECT_EQ(record().at("inversion_steps"), 0);
  EXPECT_EQ(record().at("inversion_ended"), "stop");
  EXPECT_EQ(array("noise").sizes(), (std::vector<std::int64_t>{1, 4, 1, 8, 8}));
  batch = {};
  EXPECT_THAT(refusal({{"invert_steps", std::int64_t{5}}}), ::testing::HasSubstr("the data have no images"));
}

TEST_F(Produced, Y28FewStepsAreSampledAsMany) {
  for (const std::int64_t steps : {1, 2, 9}) {
    run({{"steps", steps}});
    EXPECT_EQ(record().at("steps"), steps);
    EXPECT_LT(record().at("relative_difference").get<double>(), 1e-6) << steps;  // the solver's 1e-9, through weights up to 80
  }
}

TEST_F(Produced, Y37NoStreamOfRandomNumbersIsShifted) {
  const auto stream = [] { return at::detail::getDefaultCPUGenerator().get_state(); };
  torch::manual_seed(3);
  const Built alone(small({}), 1, 8);
  const Tensor before = stream();
  for (const double eta : {0.0, 0.5})
    for (const char* sampler : {"parallel", "sequential", "ddpm"}) {
      run({{"eta", eta}, {"sampler", std::string(sampler)}, {"invert_steps", std::int64_t{1}}});
      EXPECT_TRUE(stream().equal(before)) << sampler << ", η = " << eta;
    }
  run({{"invert_steps", std::int64_t{1}}});
  EXPECT_ANY_THROW(array("noise")) << "none is drawn without η";
}

TEST(Ddim, TheImageToBeInvertedIsAskedFor) {
  const Built none(small({{"invert_index", std::int64_t{5}}}), 1, 8), fifth(small({{"invert_index", std::int64_t{5}}, {"invert_steps", std::int64_t{1}}}), 1, 8);
  EXPECT_TRUE(query<Produces>(*none.model)->samples().empty());
  EXPECT_EQ(query<Produces>(*fifth.model)->samples(), Integers{5});
}

/// Of all rows the optimiser has the first alone; the others follow from the solve, and the next one starts there.
TEST(Ddim, Y33EverySolveOfAnInversionStartsFromTheRowsOfTheOneBefore) {
  const solve::Options options{.tolerance = 1e-12, .max_evaluations = 20, .stall_window = 0};
  gradient::Layer layer(test::layer("phantom", options, options, "fixed_point", "fixed_point", {{"beta", 0.1}}));
  const Trajectory map(bend, steps_down(times("uniform", 1000, 4), alpha_bar(betas("linear", 1e-4, 0.02, 1000))), 0, test::randn({1, 1, 2, 2}, 1));
  const Tensor target = test::randn({1, 1, 2, 2}, 2), start = test::randn({1, 1, 2, 2}, 3);
  for (const bool go_on : {true, false}) {
    std::vector<InversionStep> seen;
    const auto found = invert(map, target, start, layer, {.steps = 3, .lr = 0.05, .go_on = go_on}, [&](const InversionStep& s) { seen.push_back({s.start.clone(), s.rows.detach().clone(), s.gradient.clone(), s.error}); });
    ASSERT_EQ(seen.size(), 3u);
    EXPECT_TRUE(seen[0].start.equal(start.repeat({5, 1, 1, 1})));
    EXPECT_TRUE(seen[1].start[0].allclose(start[0] - 0.05 * seen[0].gradient[0].sign(), 0, 1e-6)) << "the first step of Adam is its rate";
    for (std::size_t k = 1; k < 3; ++k) {
      const Tensor before = go_on ? seen[k - 1].rows : seen[0].start;
      EXPECT_TRUE(seen[k].start.slice(0, 1).allclose(before.slice(0, 1), 0, 1e-9)) << k;  // solved to 1e-12
      EXPECT_FALSE(seen[k].start[0].equal(seen[k - 1].start[0]));
    }
    EXPECT_LT(found.best, found.first);
  }
}

TEST(Ddim, SchedulesWithoutNoiseOrWithoutSignalAreRefused) {
  const auto refusal = [](const Settings& s) -> std::string {
    try {
      Built(s, 1, 32);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "accepted";
  };
  const Setting steps{"steps", std::int64_t{20}}, all{"times", std::int64_t{20}}, jsd{"schedule", std::string("jsd")};
  EXPECT_THAT(refusal({jsd, all, steps}), ::testing::HasSubstr("ā is 0 at time 19, one of the 20 times"));
  EXPECT_EQ(refusal({jsd, steps}), "accepted") << "950 of 1000 is the last time";
  EXPECT_THAT(refusal({{"beta_first", 1e-20}, steps}), ::testing::HasSubstr("ā is 1 at time 0"));
  EXPECT_THAT(refusal({{"attention", Integers{15}}}), ::testing::AllOf(::testing::HasSubstr("attention at 15 pixels"), ::testing::HasSubstr("no level has: 32, 16, 8, 4;")));
}

TEST(Ddim, SettingsThatDoNotFitAreSaid) {
  EXPECT_THROW(Built({{"multipliers", Integers{1, 2, 2, 2}}}, 1, 28), std::exception) << "28 is halved twice at most";
  EXPECT_THROW(Built({{"steps", std::int64_t{2000}}}, 1, 32), std::exception);
  EXPECT_THROW(Built({{"width", std::int64_t{12}}}, 1, 32), std::exception) << "32 groups";
}

}  // namespace
