/// \file Optimisers, clipping, averages and schedules against their formulas.
#include "core/training/optimiser.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "core/training/schedule.hpp"
#include "tests/training/training.hpp"

namespace {

using namespace zstar;
using torch::Tensor;
using training::learning_rate;

/// Two parameters whose gradients the test sets.
struct TwoNumbers final : Model {
  TwoNumbers() {
    a = register_parameter("a", torch::tensor({1.0, -2.0}, torch::kFloat64));
    b = register_parameter("b", torch::tensor({0.5}, torch::kFloat64));
  }
  std::vector<Tensor> forward(const Batch&) override { return {}; }
  Tensor loss(const Tensor&, const Batch&) override { return {}; }
  Sums measure(const Tensor&, const Batch&) override { return {}; }
  std::vector<Metric> summarise(const Sums&) const override { return {}; }
  Tensor a, b;
};

constexpr double gradients[][2] = {{0.3, -0.1}, {0.2, 0.4}, {-0.5, 0.1}};

/// `a` after three steps; b has no gradient.
std::pair<double, double> after_three_steps(std::vector<std::string> settings) {
  TwoNumbers model;
  training::Optimiser optimiser(test::small_experiment(settings), model, 3);
  for (int k = 0; k < 3; ++k) {
    optimiser.zero_grad();
    model.a.mutable_grad() = torch::tensor({gradients[k][0], gradients[k][1]}, torch::kFloat64);
    optimiser.step(k);
  }
  return {model.a[0].item<double>(), model.a[1].item<double>()};
}

/// The same from a formula w ← step(w, g, k) of one number. \param step  remembers what it must by itself
template <class Step>
double by_formula(int i, Step step) {
  double w = i == 0 ? 1.0 : -2.0;
  for (int k = 0; k < 3; ++k) w = step(w, gradients[k][i], k);
  return w;
}

template <class MakeStep>
void expect_formula(const std::vector<std::string>& settings, MakeStep make_step) {
  const auto got = after_three_steps(settings);
  EXPECT_NEAR(got.first, by_formula(0, make_step()), 1e-14);  // rounding
  EXPECT_NEAR(got.second, by_formula(1, make_step()), 1e-14);
}

TEST(Optimiser, SgdWithMomentumAndWeightDecay) {
  for (const bool nesterov : {false, true})
    expect_formula({"optimizer.name=sgd", "optimizer.lr=0.1", "optimizer.momentum=0.9", "optimizer.weight_decay=0.01", nesterov ? "optimizer.nesterov=true" : "optimizer.nesterov=false"},
                   [nesterov] {
                     return [nesterov, m = 0.0](double w, double g, int k) mutable {
                       g += 0.01 * w;
                       m = k == 0 ? g : 0.9 * m + g;
                       return w - 0.1 * (nesterov ? g + 0.9 * m : m);
                     };
                   });
}

TEST(Optimiser, AdamAndAdamwDifferInTheWeightDecay) {
  for (const bool decoupled : {false, true})
    expect_formula({decoupled ? "optimizer.name=adamw" : "optimizer.name=adam", "optimizer.lr=0.1", "optimizer.weight_decay=0.01"}, [decoupled] {
      return [decoupled, m = 0.0, v = 0.0](double w, double g, int k) mutable {
        if (decoupled) w *= 1 - 0.1 * 0.01;
        else g += 0.01 * w;
        m = 0.9 * m + 0.1 * g, v = 0.999 * v + 0.001 * g * g;
        return w - 0.1 * (m / (1 - std::pow(0.9, k + 1))) / (std::sqrt(v / (1 - std::pow(0.999, k + 1))) + 1e-8);
      };
    });
}

TEST(Optimiser, Rmsprop) {
  expect_formula({"optimizer.name=rmsprop", "optimizer.lr=0.01", "optimizer.alpha=0.9"}, [] {
    return [v = 0.0](double w, double g, int) mutable {
      v = 0.9 * v + 0.1 * g * g;
      return w - 0.01 * g / (std::sqrt(v) + 1e-8);
    };
  });
}

/// What no sample of a batch touches has no gradient, instead of one of zero: its moments wait with it.
TEST(Optimiser, Z40AParameterWithoutAGradientIsLeftWithItsMoments) {
  TwoNumbers model;
  training::Optimiser optimiser(test::small_experiment({"optimizer.name='adam'", "optimizer.lr=0.1"}), model, 3);
  const auto step = [&](int k, bool both) {
    optimiser.zero_grad();
    model.a.mutable_grad() = torch::tensor({1.0, 1.0}, torch::kFloat64);
    if (both) model.b.mutable_grad() = torch::tensor({1.0}, torch::kFloat64);
    optimiser.step(k);
  };
  step(0, true);
  const double once = model.b.item<double>();
  step(1, false);
  EXPECT_EQ(model.b.item<double>(), once);
  step(2, true);
  EXPECT_NEAR(model.b.item<double>(), once - 0.1, 1e-7);  // its second step: both moments corrected to 1; the ε of Adam
}

TEST(Optimiser, ClipsAllGradientsTogetherOrEachAlone) {
  for (const bool together : {true, false}) {
    TwoNumbers model;
    training::Optimiser optimiser(test::small_experiment({"optimizer.lr=1.0", "train.clip_norm=1.0", together ? "train.clip=global" : "train.clip=per_parameter"}), model, 1);
    optimiser.zero_grad();
    model.a.mutable_grad() = torch::tensor({3.0, 0.0}, torch::kFloat64);
    model.b.mutable_grad() = torch::tensor({4.0}, torch::kFloat64);

    EXPECT_DOUBLE_EQ(optimiser.step(0), 5.0);  // before clipping

    EXPECT_NEAR(model.a[0].item<double>(), 1.0 - (together ? 0.6 : 1.0), 1e-5);  // 1e-6 is added to the norm
    EXPECT_NEAR(model.b[0].item<double>(), 0.5 - (together ? 0.8 : 1.0), 1e-5);
  }
}

TEST(Optimiser, AveragesWeights) {
  TwoNumbers model;
  training::Optimiser optimiser(test::small_experiment({"optimizer.lr=1.0", "train.ema=0.75"}), model, 2);
  double average = 0.5, b = 0.5;
  for (int k = 0; k < 2; ++k) {
    optimiser.zero_grad();
    model.b.mutable_grad() = torch::tensor({0.1}, torch::kFloat64);
    optimiser.step(k);
    b -= 0.1, average = 0.75 * average + 0.25 * b;
  }

  {
    const training::Optimiser::Averaged averaged(optimiser);
    EXPECT_NEAR(model.b.item<double>(), average, 1e-15);
  }
  EXPECT_NEAR(model.b.item<double>(), b, 1e-15);
}

TEST(Schedule, FollowsItsFormula) {
  training::ScheduleOptions o;
  EXPECT_DOUBLE_EQ(learning_rate("constant", o, 0.2, 77, 100), 0.2);
  o.every = 30, o.factor = 0.1;
  EXPECT_DOUBLE_EQ(learning_rate("step", o, 0.2, 29, 100), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate("step", o, 0.2, 30, 100), 0.02);
  EXPECT_NEAR(learning_rate("step", o, 0.2, 99, 100), 0.0002, 1e-18);
  o.floor = 0.01;
  EXPECT_DOUBLE_EQ(learning_rate("cosine", o, 0.2, 0, 100), 0.2);
  EXPECT_NEAR(learning_rate("cosine", o, 0.2, 50, 100), 0.105, 1e-15);
  EXPECT_NEAR(learning_rate("cosine", o, 0.2, 25, 100), 0.01 + 0.19 * (1 + std::sqrt(0.5)) / 2, 1e-15);
  EXPECT_DOUBLE_EQ(learning_rate("cosine", o, 0.2, 100, 100), 0.01);
}

TEST(Schedule, Z7WarmsUpLinearlyFromTheFirstStepAndCountsFromThere) {
  training::ScheduleOptions o;
  o.warmup = 10, o.every = 5, o.factor = 0.5;
  EXPECT_DOUBLE_EQ(learning_rate("constant", o, 0.2, 0, 100), 0.02);
  EXPECT_DOUBLE_EQ(learning_rate("constant", o, 0.2, 9, 100), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate("step", o, 0.2, 14, 100), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate("step", o, 0.2, 15, 100), 0.1);
  EXPECT_NEAR(learning_rate("cosine", o, 0.2, 55, 100), 0.1, 1e-15);  // half of the 90 steps that are left
}

TEST(Schedule, OneCycleRisesFromAShareOfTheRateAndFallsToTheFloor) {
  training::ScheduleOptions o;
  o.start = 0.04;
  EXPECT_NEAR(learning_rate("one_cycle", o, 1.0, 0, 100), 0.04, 1e-15);
  EXPECT_NEAR(learning_rate("one_cycle", o, 1.0, 15, 100), 0.52, 1e-15);  // half of the rise, which takes 30 %
  EXPECT_DOUBLE_EQ(learning_rate("one_cycle", o, 1.0, 30, 100), 1.0);
  EXPECT_NEAR(learning_rate("one_cycle", o, 1.0, 65, 100), 0.5, 1e-15);
  EXPECT_NEAR(learning_rate("one_cycle", o, 1.0, 100, 100), 0.0, 1e-15);
  o.total = 200;  // a course longer than the run
  EXPECT_DOUBLE_EQ(learning_rate("one_cycle", o, 1.0, 60, 100), 1.0);
}

TEST(Schedule, ALinearCycleIsThatOfPytorch) {  // OneCycleLR(max_lr = 4e-4, total_steps = 1000, pct_start = 0.05, anneal_strategy = "linear"), torch 1.13
  training::ScheduleOptions o;
  o.anneal = "linear", o.start = 0.04, o.floor = 4e-4 / 25e4, o.warmup = 49, o.total = 999;  // it counts from the first step to the last
  const std::pair<std::int64_t, double> expected[] = {{0, 1.5999999999999999e-05}, {1, 2.383673469387755e-05}, {25, 0.0002119183673469388}, {49, 0.00040000000000000002}, {50, 0.00039957894905263161}, {500, 0.00021010602273684211}, {899, 4.210669473684209e-05}};
  for (const auto& [step, rate] : expected) EXPECT_NEAR(learning_rate("one_cycle", o, 4e-4, step, 900), rate, 1e-15) << step;
}

}  // namespace
