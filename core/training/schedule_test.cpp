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
