/// \file Predictions: the draw of the next token at any temperature, and their form as CSV.
#include <gtest/gtest.h>

#include "core/training/prediction.hpp"

namespace {

using namespace zstar;
using training::tempered;

TEST(Prediction, ATemperatureIsTheExponentOfTheProbabilities) {
  const Tensor p = torch::tensor({0.5, 0.3, 0.2, 0.0}, torch::kFloat64);
  EXPECT_TRUE(tempered(p, 1.0).allclose(p));
  const Tensor powers = p.pow(2);
  EXPECT_TRUE(tempered(p, 0.5).allclose(powers / powers.sum()));
}

/// 0.5^1000 and smaller powers are no numbers any more.
TEST(Prediction, ASmallTemperatureTakesTheLikeliestToken) {
  const Tensor p = torch::tensor({1e-5, 2e-5, 1e-5}, torch::kFloat64), sure = torch::tensor({0.0, 1.0, 0.0}, torch::kFloat64);
  for (const double t : {1e-3, 1e-300, 5e-324}) EXPECT_TRUE(tempered(p, t).allclose(sure)) << t;
}

TEST(Prediction, ATestSplitIsPredictedInBatchesOfEvaluation) {
  const auto part = [](std::int64_t from, std::int64_t count) {
    const Tensor x = torch::arange(from, from + count);
    Inputs inputs{{{{"images", x.view({-1, 1})}, {"labels", x}}, {}}, {}};
    for (std::int64_t i = from; i < from + count; ++i) inputs.batch.ids.push_back(i), inputs.names.push_back("picture " + std::to_string(i));
    return inputs;
  };
  for (const std::vector<Inputs>& read : {std::vector{part(0, 7)}, std::vector{part(0, 1), part(1, 1), part(2, 4), part(6, 1)}}) {
    const auto batches = training::rebatched(read, 3);
    ASSERT_EQ(batches.size(), 3u);
    for (std::size_t k = 0; k < 3; ++k) {
      const Inputs want = part(3 * static_cast<std::int64_t>(k), k < 2 ? 3 : 1);
      for (const char* name : {"images", "labels"}) EXPECT_TRUE(batches[k].batch.at(name).equal(want.batch.at(name))) << name << k;
      EXPECT_EQ(batches[k].batch.ids, want.batch.ids);
      EXPECT_EQ(batches[k].names, want.names);
    }
  }
  EXPECT_TRUE(training::rebatched({}, 3).empty());
}

TEST(Prediction, FieldsWithCommasQuotesAndLinesAreQuoted) {
  EXPECT_EQ(training::csv_of({{"cat, tabby", "dog"}, {{"a \"b\".png", {0.75, 0.25}}, {"two\nlines.png", {0.0, 1.0}}}}),
            "name,likeliest,\"cat, tabby\",dog\n\"a \"\"b\"\".png\",\"cat, tabby\",0.75,0.25\n\"two\nlines.png\",dog,0,1\n");
}

/// Of numbers that are no probabilities none is likeliest.
TEST(Prediction, ValuesOfARegressionHaveTheirNamesAlone) {
  const std::vector<training::Prediction> rows{{"7", {-0.5, 0.25, 2.0}}};
  EXPECT_EQ(training::csv_of({{}, rows, {"red", "green", "blue"}}), "name,red,green,blue\n7,-0.5,0.25,2\n");
  EXPECT_EQ(training::csv_of({{}, {{"7", {1.0, 2.0, 3.0, 4.0}}}, {"u", "v"}}), "name,u.0,u.1,v.0,v.1\n7,1,2,3,4\n") << "of two places";
  EXPECT_EQ(training::csv_of({{}, {}, {"u", "v"}}), "name,u,v\n");
  EXPECT_THROW(training::csv_of({{}, rows, {"u", "v"}}), std::runtime_error) << "three numbers, two names";
}

TEST(Prediction, RowsOfATableHaveAsManyValues) {
  EXPECT_THROW(training::csv_of({{}, {{"a", {0.5, 0.5}}, {"b", {0.2, 0.3, 0.5}}}}), std::runtime_error) << "the likeliest has no column";
  EXPECT_THROW(training::csv_of({{}, {{"a", {}}}}), std::runtime_error);
}

}  // namespace
