#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const FixedPointMap& f, const Tensor& z0, const solve::Options& o, const Settings& settings = {}) {
  const auto solver = make_solver("ngmres", settings);
  return solve::solve(*solver, "ngmres", f, State(z0), o);
}

/// min ‖g(z_0 + K_k)‖ over the Krylov space of the affine map's residual, by dense least squares.
double gmres_residual(const AffineMap& f, const Tensor& z0, int k) {
  const Tensor a = f.a - torch::eye(f.a.size(0), f.a.options()), r0 = (f(z0) - z0).t();
  std::vector<Tensor> basis{r0};
  for (int i = 1; i < k; ++i) basis.push_back(a.mm(basis.back()) / basis.back().norm());
  const Tensor q = std::get<0>(torch::linalg_qr(torch::cat(basis, 1)));
  const Tensor image = std::get<0>(torch::linalg_qr(a.mm(q)));
  return (r0 - image.mm(image.t().mm(r0))).norm().item<double>();
}

TEST(Ngmres, EveryAcceptedIterateIsThatOfGmresOnAnAffineMap) {
  const AffineMap f{matrix_of_norm(10, 0.95, 1), randn({1, 10}, 2)};
  const Tensor z0 = torch::zeros({1, 10}, torch::kFloat64);
  const auto out = run(f.map(), z0, {.tolerance = 0, .max_evaluations = 13, .stall_window = 0}, {{"memory", std::int64_t{20}}, {"growth", 1e3}});
  for (int k = 1; k <= 6; ++k)  // evaluation 1 + 2k is that of the k-th combination
    EXPECT_NEAR(out.report.trace.absolute[static_cast<std::size_t>(2 * k)], gmres_residual(f, z0, k), 1e-8) << k;
}

TEST(Ngmres, SolvesAnExpansiveMap) {
  const AffineMap f{matrix_of_norm(6, 1.6, 3), randn({2, 6}, 4)};
  const auto out = run(f.map(), torch::zeros({2, 6}, torch::kFloat64), {.tolerance = 1e-8, .max_evaluations = 100});
  EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-6);
}

}  // namespace
