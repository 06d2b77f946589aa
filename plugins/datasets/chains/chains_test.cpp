#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/parts.hpp"
#include "zstar/abi/dataset.hpp"

namespace {

using namespace zstar;
using torch::Tensor;

std::unique_ptr<Dataset> chains(Settings settings = {}) { return test::make<Dataset>(Kind::dataset, "chains", settings); }
Batch all(const Dataset& data, Split split) { return data.load(split, {0}, 0); }

TEST(Chains, Z24ClassesLengthAndNumberAreWhatIsAsked) {
  const auto data = chains({{"classes", std::int64_t{3}}, {"length", std::int64_t{4}}, {"chains", std::int64_t{2}}, {"features", std::int64_t{5}}});

  const Batch batch = all(*data, Split::train);

  EXPECT_EQ(data->describe().at("nodes"), 24);
  EXPECT_EQ(data->describe().at("classes"), 3);
  EXPECT_TRUE(batch.at("labels").equal(torch::arange(3).repeat_interleave(8)));
  Tensor want = torch::zeros({24, 5});  // the class, in the first node of a chain alone
  for (std::int64_t c = 0; c < 6; ++c) want[4 * c][c / 2] = 1;
  EXPECT_TRUE(batch.at("features").equal(want));
}

TEST(Chains, ANodeGivesToTheNextOfItsChainAlone) {
  const auto data = chains({{"length", std::int64_t{3}}, {"chains", std::int64_t{1}}});

  const Batch batch = all(*data, Split::test);

  const Tensor a = torch::sparse_coo_tensor(batch.at("adjacency_indices"), batch.at("adjacency_values"), {6, 6}).to_dense();
  const double half = 0.5, last = std::sqrt(0.5);  // 1/√(2·2), 1/√(2·1): two edges leave a node, one the last of a chain
  const Tensor chain = torch::tensor({{half, half, 0.0}, {0.0, half, last}, {0.0, 0.0, 1.0}}, torch::kFloat32);
  EXPECT_LT((a - torch::block_diag({chain, chain})).abs().max().item<double>(), 1e-6);  // ε of float32
}

TEST(Chains, Z25EveryNodeIsOfOneSplitAndNoneValidatesThatTests) {
  const auto data = chains();
  Tensor count = torch::zeros({400}, torch::kInt64);
  const std::int64_t sizes[] = {20, 40, 340};
  for (const Split split : {Split::train, Split::validation, Split::test}) {
    const Tensor mask = all(*data, split).at("mask");
    EXPECT_EQ(mask.sum().item<std::int64_t>(), sizes[static_cast<int>(split)]);
    count += mask;
  }
  EXPECT_TRUE(count.eq(1).all().item<bool>());
}

TEST(Chains, NoiseAndSplitDependOnTheSeedAlone) {
  const Settings noisy{{"noise", 0.5}};
  const Batch one = all(*chains(noisy), Split::train), two = all(*chains(noisy), Split::train);
  const Batch other = all(*chains({{"noise", 0.5}, {"seed", std::int64_t{7}}}), Split::train);

  EXPECT_TRUE(one.at("features").equal(two.at("features")) && one.at("mask").equal(two.at("mask")));
  EXPECT_FALSE(one.at("features").equal(other.at("features")));
  EXPECT_FALSE(one.at("mask").equal(other.at("mask")));
  EXPECT_LT((one.at("features").sum(1) - 1).abs().max().item<double>(), 1e-5);  // rows are shares; a hundred roundings of float32
}

TEST(Chains, ContradictionsAreRefusedWithTheOption) {
  const auto refused = [](const Settings& settings) -> std::string {
    try {
      chains(settings);
    } catch (const OptionError& e) {
      return e.option();
    }
    return "accepted";
  };
  EXPECT_EQ(refused({{"classes", std::int64_t{4}}, {"features", std::int64_t{3}}}), "features");
  EXPECT_EQ(refused({{"train", 0.6}, {"validation", 0.4}}), "train");
  EXPECT_EQ(refused({{"length", std::int64_t{1000000}}, {"chains", std::int64_t{1000000}}}), "length");
  EXPECT_EQ(refused({{"chains", std::int64_t{1}}, {"train", 0.0}}), "accepted");
}

}  // namespace
