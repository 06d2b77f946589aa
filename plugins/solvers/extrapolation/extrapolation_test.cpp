#include <gtest/gtest.h>

#include "tests/support/solving.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

TEST(Extrapolation, AMinimalPolynomialOfDegreeMIsSolvedByOneCycle) {  // three distinct eigenvalues in ten dimensions
  const Tensor q = std::get<0>(torch::linalg_qr(randn({10, 10}, 1)));
  const Tensor eigenvalues = torch::tensor({0.9, 0.9, 0.9, -0.7, -0.7, -0.7, 0.3, 0.3, 0.3, 0.3}, torch::kFloat64);
  const AffineMap f{q.mm(torch::diag(eigenvalues)).mm(q.t()), randn({2, 10}, 2)};
  for (const char* name : {"rre", "mpe"}) {
    const auto out = run(name, f.map(), torch::zeros({2, 10}, torch::kFloat64), {.tolerance = 0, .max_evaluations = 5}, {{"memory", std::int64_t{3}}});
    EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-9) << name;
  }
}

TEST(Extrapolation, MpeIsTheArnoldiMethodAndRreIsGmres) {  // on the residual of the extrapolated Σ α_i z_i
  const AffineMap f{matrix_of_norm(8, 0.9, 3), randn({1, 8}, 4)};
  const Tensor z0 = torch::zeros({1, 8}, torch::kFloat64), a = f.a - torch::eye(8, torch::kFloat64), r0 = (f(z0) - z0).t();
  std::vector<Tensor> basis{r0};
  for (int i = 1; i < 3; ++i) basis.push_back(a.mm(basis.back()));
  const Tensor k = torch::cat(basis, 1), image = a.mm(k);
  const Tensor gmres = r0 - image.mm(std::get<0>(torch::linalg_lstsq(image, r0)));
  const Tensor arnoldi = r0 - image.mm(torch::linalg_solve(k.t().mm(image), k.t().mm(r0)));
  // f of a combination of affine iterates is the combination of the images, whose residual is A r
  for (const auto& [name, r] : {std::pair{"rre", gmres}, std::pair{"mpe", arnoldi}}) {
    const auto out = run(name, f.map(), z0, {.tolerance = 0, .max_evaluations = 5, .divergence = 1e9}, {{"memory", std::int64_t{3}}});
    EXPECT_NEAR(out.report.trace.absolute.back(), f.a.mm(r).norm().item<double>(), 1e-9) << name;
  }
}

TEST(Extrapolation, AnExtrapolationOutOfTheDomainIsTakenBack) {
  const FixedPointMap f([](const State& z) {
    const Tensor y = z[0] + 0.02 * (1 - z[0]) - 0.004 * (1 - z[0]).square();
    return State(torch::where(z[0] > 1.02, torch::full_like(y, NAN), y));
  });
  for (const char* name : {"rre", "mpe"}) {
    const auto out = run(name, f, torch::full({1, 1}, -1.0, torch::kFloat64), {.tolerance = 1e-9, .max_evaluations = 300, .stall_window = 0}, {{"memory", std::int64_t{1}}});
    EXPECT_EQ(out.report.reasons[0], Reason::converged) << name;
  }
}

}  // namespace
