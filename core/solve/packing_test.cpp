#include <gtest/gtest.h>

#include "core/solve/packing.hpp"
#include "zstar/testing/maps.hpp"

namespace {

using namespace zstar;
using solve::Packing;
using zstar::testing::randn;

constexpr auto last = torch::MemoryFormat::ChannelsLast;

TEST(Packing, RowsKeepTheOrderOfTheMemory) {
  const Tensor t = randn({2, 3, 4, 5}, 1).contiguous(last);
  const Tensor rows = Packing(State(t)).pack(State(t));
  EXPECT_TRUE(rows.is_alias_of(t));
  EXPECT_TRUE(torch::equal(rows, t.permute({0, 2, 3, 1}).reshape({2, 60})));
}

/// Tensors of a packed state are views with gaps between samples; packing them anew gives the same rows, so that an estimate from one solve fits the next.
TEST(Packing, TensorsUnpackedPackAgainInTheSameOrder) {
  const State z(std::vector<Tensor>{randn({2, 3, 4, 5}, 1).contiguous(last), randn({2, 6, 2, 2}, 2).contiguous(last), randn({2, 7}, 3)});
  const Packing packing(z);
  const Tensor rows = packing.pack(z);
  const State back = packing.unpack(rows);
  for (std::size_t i = 0; i < z.size(); ++i) EXPECT_TRUE(torch::equal(back[i], z[i])) << i;
  EXPECT_TRUE(torch::equal(Packing(back).pack(back), rows));
}

TEST(Packing, AMapMayAnswerInAnotherFormat) {
  const Tensor t = randn({2, 3, 4, 5}, 1);
  const Packing packing(State(t.contiguous(last)));
  EXPECT_TRUE(torch::equal(packing.unpack(packing.pack(State(t)))[0], t));
}

}  // namespace
