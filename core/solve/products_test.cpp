#include <gtest/gtest.h>

#include "core/solve/measure.hpp"
#include "core/solve/solve.hpp"

namespace {

using namespace zstar;

/// Random rows, one column of which holds what takes no part.
struct Rows {
  Rows(std::int64_t batch, std::int64_t width, torch::ScalarType dtype, std::size_t count) {
    torch::manual_seed(width);
    const auto random = [&] { return torch::randn({batch, width}, torch::kFloat64).to(dtype); };
    for (std::size_t j = 0; j < count; ++j) columns.push_back(random());
    a = random(), b = random();
    c = torch::randn({batch, static_cast<std::int64_t>(count)}, torch::kFloat64);
    if (count > 1) c.select(1, 1).zero_(), columns[1].fill_(NAN);
  }
  std::vector<Tensor> columns;
  Tensor a, b, c;
};

double error(const Tensor& got, const Tensor& want) {
  const Tensor d = got.to(torch::kFloat64) - want.to(torch::kFloat64);
  return d.nan_to_num(0).abs().max().item<double>() / std::max(1.0, want.to(torch::kFloat64).nan_to_num(0).abs().max().item<double>());
}

/// Histories in bfloat16, which stand beside float32 alone.
class NarrowProducts : public ::testing::TestWithParam<std::tuple<std::int64_t, std::size_t>> {
 protected:
  const Rows rows{3, std::get<0>(GetParam()), torch::kFloat32, std::get<1>(GetParam())};
  Products& fused = solve::local_products();
};

class Products_ : public ::testing::TestWithParam<std::tuple<torch::ScalarType, std::int64_t, std::size_t>> {
 protected:
  const torch::ScalarType dtype = std::get<0>(GetParam());
  const Rows rows{3, std::get<1>(GetParam()), dtype, std::get<2>(GetParam())};
  Products& fused = solve::local_products();
  const double tolerance = dtype == torch::kFloat64 ? 1e-13 : 3e-6;  // roundings of one pass over nine columns
};

TEST_P(Products_, DifferenceDotsAgreeWithTheirPlainForm) {
  std::vector<Tensor> own = rows.columns, plain = rows.columns;
  for (Tensor& t : own) t = t.clone();
  const Tensor buffer = own[0];
  const Tensor got = fused.difference_dots(rows.a, rows.b, own, 0);
  const Tensor want = fused.Products::difference_dots(rows.a, rows.b, plain, 0);
  EXPECT_TRUE(own[0].equal(plain[0]));
  EXPECT_TRUE(own[0].is_same(buffer)) << "the buffer is used again";
  EXPECT_LT(error(got, want), 1e-13);  // both sum in float64
}

TEST_P(Products_, CombinationsSkipWhatTakesNoPart) {
  const Tensor got = fused.combine(rows.a, rows.columns, rows.c);
  Tensor want = rows.a.to(torch::kFloat64);
  for (std::size_t j = 0; j < rows.columns.size(); ++j)
    if (j != 1) want = want + rows.c.select(1, static_cast<std::int64_t>(j)).unsqueeze(1) * rows.columns[j].to(torch::kFloat64);
  EXPECT_TRUE(torch::isfinite(got).all().item<bool>());
  EXPECT_LT(error(got, want), tolerance);
}

TEST_P(Products_, ChainsAgreeWithTheirPlainForm) {
  std::vector<Tensor> finite = rows.columns;
  if (finite.size() > 1) finite[1] = rows.b;
  const double scale = 1 / static_cast<double>(rows.a.size(1));
  const std::vector<Tensor> left(finite.begin() + 1, finite.end());
  const Tensor c = rows.c.narrow(1, 1, static_cast<std::int64_t>(left.size())) * scale, e = (c * 0.5).flip(1).contiguous();
  for (const Tensor& second : {Tensor(), e})
    for (const Tensor& minus : {Tensor(), rows.b}) {
      const ChainResult got = fused.chain(rows.a, minus, left, finite, c, second);
      const ChainResult want = fused.Products::chain(rows.a, minus, left, finite, c, second);
      EXPECT_LT(error(got.v, want.v), 10 * tolerance);
      EXPECT_LT(error(got.dots, want.dots), 10 * tolerance);
      EXPECT_LT(error(got.dots.select(1, 0), (minus.defined() ? rows.a - minus : rows.a).to(torch::kFloat64).square().sum(1)), tolerance);
    }
}

TEST_P(NarrowProducts, AgreeWithThoseOfTheSameRowsWidened) {
  std::vector<Tensor> low, wide;
  for (const Tensor& column : rows.columns) low.push_back(column.nan_to_num(0.5).to(torch::kBFloat16)), wide.push_back(low.back().to(torch::kFloat32));
  const double scale = 1 / static_cast<double>(rows.a.size(1));
  const auto behind = [](const std::vector<Tensor>& all) { return std::vector<Tensor>(all.begin() + 1, all.end()); };
  const Tensor c = rows.c.narrow(1, 0, static_cast<std::int64_t>(low.size()) - 1) * scale;
  const ChainResult got = fused.chain(rows.a, rows.b, behind(low), low, c, Tensor()), want = fused.chain(rows.a, rows.b, behind(wide), wide, c, Tensor());
  EXPECT_TRUE(got.v.equal(want.v)) << "the arithmetic is the same, and the conversion exact";
  EXPECT_TRUE(got.dots.equal(want.dots));
  EXPECT_TRUE(fused.dots(low, {rows.a, rows.b}).equal(fused.dots(wide, {rows.a, rows.b})));
  EXPECT_TRUE(fused.combine(rows.a, low, rows.c).equal(fused.combine(rows.a, wide, rows.c)));
}

TEST_P(Products_, ResidualsAgreeWithTheirPlainForm) {
  EXPECT_LT(error(solve::measure(rows.a, rows.b), solve::measure_aten(rows.a, rows.b)), tolerance);
}

INSTANTIATE_TEST_SUITE_P(Widths, NarrowProducts, ::testing::Combine(::testing::Values(1, 7, 64, 1023, 5000), ::testing::Values(1, 2, 5, 17)));
INSTANTIATE_TEST_SUITE_P(Widths, Products_, ::testing::Combine(::testing::Values(torch::kFloat32, torch::kFloat64),
                                                              ::testing::Values(1, 7, 64, 1023, 5000), ::testing::Values(1, 2, 5, 17)));

}  // namespace
