#include <memory>
#include <set>

#include <gtest/gtest.h>

#include <zstar/testing/matchers.hpp>
#include <zstar/testing/parts.hpp>

namespace {

using zstar::Split;

struct MyDataset : ::testing::Test {
  std::unique_ptr<zstar::Dataset> data = zstar::testing::make<zstar::Dataset>(zstar::Kind::dataset, "my_dataset", "samples = 50\nsize = 4\nnoise = 0.0");
};

TEST_F(MyDataset, HasEverySampleInOneSplitAndOneBatch) {
  std::set<std::int64_t> seen;
  std::size_t count = 0;
  for (const Split split : {Split::train, Split::validation, Split::test})
    for (const auto& batch : data->batches(split, 8, 1)) {
      const auto ids = data->load(split, batch, 0).ids;
      seen.insert(ids.begin(), ids.end());
      count += ids.size();
    }

  EXPECT_EQ(count, 50u);
  EXPECT_EQ(seen.size(), 50u);
  EXPECT_EQ(data->size(Split::train), 30);
}

TEST_F(MyDataset, ShufflesTrainingBySeedAlone) {
  EXPECT_EQ(data->batches(Split::train, 8, 1), data->batches(Split::train, 8, 1));
  EXPECT_NE(data->batches(Split::train, 8, 1), data->batches(Split::train, 8, 2));
  EXPECT_EQ(data->batches(Split::test, 8, 1), data->batches(Split::test, 8, 2));
}

TEST_F(MyDataset, DrawsOneBarAPicture) {
  const auto batch = data->load(Split::train, {0, 1}, 0);

  const torch::Tensor rows = batch.at("images").sum({1, 3}), columns = batch.at("images").sum({1, 2});
  EXPECT_EQ(rows[0].max().item<float>(), 4);     // lying: a whole row
  EXPECT_EQ(columns[1].max().item<float>(), 4);  // standing: a whole column
  EXPECT_TRUE(batch.at("labels").equal(torch::tensor({0, 1})));
}

}  // namespace
