/// \file The fixed-point correction: the losses of several states, weighted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/training/training.hpp"

namespace {

using namespace zstar;

/// The loss of the first batch, all thirty pictures, of a model that has not learned.
double corrected_loss(const std::string& correction, const std::string& gamma, int states) {
  const test::Trained run({"train.epochs=1", "train.batch_size=30", "optimizer.lr=0", "gradient.states=" + std::to_string(states), "solver.tolerance=0", "solver.max_evaluations=6",
                           "solver.name=\"fixed_point\"", "train.correction=\"" + correction + "\"", "train.gamma=" + gamma});
  EXPECT_EQ(run.failure, "");
  return run.records("train").front()["loss"].get<double>();
}

TEST(Correction, E37EveryStateHasOneWeightAndConstantWeightsAreThatConstant) {
  const double sum = corrected_loss("exp", "1.0", 3), last = corrected_loss("exp", "0.0", 3);
  EXPECT_NEAR(corrected_loss("const", "0.5", 3), 0.5 * sum, 1e-12 * sum);   // one number a state, and no vector of them
  EXPECT_NEAR(corrected_loss("linear", "0.0", 3), sum, 1e-12 * sum);
  EXPECT_NEAR(last, corrected_loss("const", "0.1", 1), 1e-12 * sum);        // one state has weight one, whatever γ is
  EXPECT_GT(sum, 2 * last);
}

TEST(Correction, E37NegativeWeightsAreRefused) {
  const test::Trained run({"train.correction=\"linear\"", "train.gamma=2.0", "gradient.states=3"});
  EXPECT_THAT(run.failure, ::testing::HasSubstr("negative weight"));
}

}  // namespace
