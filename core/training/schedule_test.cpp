#include "core/training/schedule.hpp"

#include <cmath>

#include <gtest/gtest.h>

namespace {

using namespace zstar::training;

double at(const char* name, const ScheduleOptions& o, std::int64_t step) { return learning_rate(name, o, 0.01, step, 10); }

TEST(Schedule, RisesLinearlyBeforeEveryCourse) {
  for (const char* name : {"constant", "step", "cosine", "linear"}) {
    EXPECT_DOUBLE_EQ(at(name, {.warmup = 4}, 0), 0.0025) << name;
    EXPECT_DOUBLE_EQ(at(name, {.warmup = 4}, 3), 0.01) << name;
  }
}

TEST(Schedule, CosineCountsFromTheEndOfTheRiseOrFromTheFirstStep) {
  EXPECT_DOUBLE_EQ(at("cosine", {.warmup = 2}, 2), 0.01);
  EXPECT_DOUBLE_EQ(at("cosine", {.warmup = 2}, 6), 0.005);                                                    // half of eight steps
  EXPECT_DOUBLE_EQ(at("cosine", {.warmup = 2, .from_first = true}, 2), 0.005 * (1 + std::cos(M_PI * 0.2)));  // two of ten
  EXPECT_NEAR(at("cosine", {.warmup = 2, .from_first = true}, 10), 0, 1e-18);
  EXPECT_DOUBLE_EQ(at("cosine", {.warmup = 2, .floor = 0.001}, 10), 0.001);
}

TEST(Schedule, StepsDropAtThoseThatAreNamedInAnyOrder) {
  const ScheduleOptions o{.warmup = 2, .every = 1, .at = {6, 3}, .factor = 0.5};  // every is not asked
  for (const auto& [step, rate] : {std::pair(2, 0.01), std::pair(4, 0.01), std::pair(5, 0.005), std::pair(7, 0.005), std::pair(8, 0.0025), std::pair(99, 0.0025)})
    EXPECT_DOUBLE_EQ(at("step", o, step), rate) << step;  // counted from the end of the rise
}

TEST(Schedule, EpochsAreSoManySteps) {
  const ScheduleOptions published = in_steps({.at = {50}, .factor = 0.5, .unit = "epochs"}, 2);
  EXPECT_DOUBLE_EQ(at("step", published, 99), 0.01);
  EXPECT_DOUBLE_EQ(at("step", published, 100), 0.005);  // the first step of epoch 51
  EXPECT_DOUBLE_EQ(at("step", in_steps({.every = 3, .factor = 0.5, .unit = "epochs"}, 2), 6), 0.005);
  EXPECT_DOUBLE_EQ(at("step", in_steps({.at = {50}, .factor = 0.5}, 2), 50), 0.005);
}

TEST(Schedule, LinearFallsEvenlyToTheFloor) {
  EXPECT_DOUBLE_EQ(at("linear", {.warmup = 2}, 6), 0.005);
  EXPECT_DOUBLE_EQ(at("linear", {.warmup = 2, .from_first = true}, 5), 0.005);
}

TEST(Penalty, WeightRisesByStages) {
  const RegularizerOptions o{.weight = 0.1, .rise = 0.1, .rise_every = 3};
  EXPECT_DOUBLE_EQ(o.weight_at(2), 0.1);
  EXPECT_DOUBLE_EQ(o.weight_at(3), 0.2);
  EXPECT_DOUBLE_EQ(o.weight_at(8), 0.1 + 0.1 * 2);
}

}  // namespace
