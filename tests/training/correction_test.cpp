/// \file The fixed-point correction: the losses of several states, weighted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/training/trainer.hpp"
#include "tests/training/training.hpp"

namespace {

using namespace zstar;

/// The loss of the first batch, all thirty pictures, of a model that has not learned.
double corrected_loss(const std::string& correction, const std::string& gamma, int states, const std::string& more = "train.correction_bias=0") {
  const test::Trained run({"train.epochs=1", "train.batch_size=30", "optimizer.lr=0", "gradient.states=" + std::to_string(states), "solver.tolerance=0", "solver.max_evaluations=6",
                           "solver.name=\"fixed_point\"", "train.correction=\"" + correction + "\"", "train.gamma=" + gamma, more});
  EXPECT_EQ(run.failure, "");
  return run.records("train").front()["loss"].get<double>();
}

TEST(Correction, Z31E37EveryStateHasOneWeightAndConstantWeightsAreThatConstant) {
  const double sum = corrected_loss("exp", "1.0", 3), last = corrected_loss("exp", "0.0", 3);
  EXPECT_NEAR(corrected_loss("const", "0.5", 3), 0.5 * sum, 1e-12 * sum);   // one number a state, and no vector of them
  EXPECT_NEAR(corrected_loss("linear", "0.0", 3), sum, 1e-12 * sum);
  EXPECT_NEAR(0.1 * last, corrected_loss("const", "0.1", 1), 1e-12 * sum);  // one state, too
  EXPECT_NEAR(last, corrected_loss("exp", "0.1", 1), 1e-12 * sum);
  EXPECT_NEAR(last, corrected_loss("linear", "0.1", 1), 1e-12 * sum);
  EXPECT_GT(sum, 2 * last);
}

TEST(Correction, TheLinearWeightsMayHaveABias) {
  const double sum = corrected_loss("exp", "1.0", 3), linear = corrected_loss("linear", "0.9", 3);
  EXPECT_NEAR(corrected_loss("linear", "0.9", 3, "train.correction_bias=0.25"), linear + 0.25 * sum, 1e-12 * sum);
  EXPECT_EQ(training::correction_weight("linear", 0.9, 0.25, 3, 0), 1 - 0.9 * 2 / 3.0 + 0.25);
}

TEST(Correction, E37NegativeWeightsAreRefused) {
  const test::Trained run({"train.correction=\"linear\"", "train.gamma=2.0", "gradient.states=3"});
  EXPECT_THAT(run.failure, ::testing::HasSubstr("negative weight"));
  EXPECT_THAT(test::Trained({"train.correction=\"const\"", "train.gamma=-1.0"}).failure, ::testing::HasSubstr("negative weight"));
  EXPECT_THAT(test::Trained({"train.correction=\"linear\"", "train.correction_bias=-1.5"}).failure, ::testing::HasSubstr("negative weight"));
  EXPECT_EQ(test::Trained({"train.correction=\"linear\"", "train.gamma=2.0", "train.correction_bias=1.0", "gradient.states=3", "train.epochs=1"}).failure, "");
  EXPECT_EQ(test::Trained({"train.correction=\"linear\"", "train.gamma=2.0", "train.negative_weights=true", "gradient.states=3", "train.epochs=1"}).failure, "");
}

}  // namespace
