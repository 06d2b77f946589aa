#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const std::string& name, const FixedPointMap& f, const Tensor& z0, const solve::Options& o, const Settings& settings) {
  const auto solver = make_solver(name, settings);
  return solve::solve(*solver, name, f, State(z0), o);
}

TEST(Crop, WithFullMemoryIsAndersonOnAffineMaps) {
  const AffineMap f{matrix_of_norm(8, 0.9, 1), randn({2, 8}, 2)};
  const Tensor z0 = torch::zeros({2, 8}, torch::kFloat64);
  const solve::Options o{.tolerance = 0, .max_evaluations = 6, .select = "last"};
  const auto crop = run("crop", f.map(), z0, o, {{"memory", std::int64_t{8}}});
  const auto anderson = run("anderson", f.map(), z0, o, {{"memory", std::int64_t{8}}});
  EXPECT_LT(relative_error(crop.z[0], anderson.z[0]), 1e-8);  // two orders of the same sums
}

TEST(Crop, OnASymmetricMapTwoPairsDoWhatAllDo) {  // they are conjugate residuals
  const Tensor q = std::get<0>(torch::linalg_qr(randn({40, 40}, 3)));
  const Tensor a = q.mm(torch::diag(torch::linspace(-0.9, 0.97, 40, torch::kFloat64))).mm(q.t());
  const AffineMap f{a, randn({1, 40}, 4)};
  const Tensor z0 = torch::zeros({1, 40}, torch::kFloat64);
  const solve::Options o{.tolerance = 1e-6, .max_evaluations = 200};
  const auto two = run("crop", f.map(), z0, o, {{"memory", std::int64_t{2}}});
  const auto all = run("crop", f.map(), z0, o, {{"memory", std::int64_t{40}}});
  const auto anderson = run("anderson", f.map(), z0, o, {{"memory", std::int64_t{2}}});
  EXPECT_EQ(two.report.reasons[0], Reason::converged);
  EXPECT_LE(two.report.calls, all.report.calls + 4);
  EXPECT_LT(two.report.calls, anderson.report.calls);
}

TEST(Crop, SamplesAreSolvedAsIfTheyWereAlone) {
  const AffineMap f{matrix_of_norm(8, 0.95, 7), randn({3, 8}, 8)};
  const solve::Options o{.tolerance = 1e-8, .max_evaluations = 80, .finished = "compact"};
  const auto all = run("crop", f.map(), torch::zeros({3, 8}, torch::kFloat64), o, {});
  for (std::int64_t b = 0; b < 3; ++b) {
    const AffineMap one{f.a, f.b.narrow(0, b, 1)};
    const auto alone = run("crop", one.map(), torch::zeros({1, 8}, torch::kFloat64), o, {});
    EXPECT_LT((alone.z[0][0] - all.z[0][b]).abs().max().item<double>(), 1e-11);
  }
}

}  // namespace
