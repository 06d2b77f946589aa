#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options tight{.tolerance = 1e-13, .max_evaluations = 300};

/// The adjoint by `neumann` for z ↦ z Aᵀ + b and ⟨v, z⟩ (∂f/∂b = I), with its report.
std::pair<Tensor, Report> adjoint(const Tensor& a, const Tensor& v, const Settings& settings, const gradient::Options& options = {}) {
  const AffineMap f{a, randn(v.sizes(), 3).requires_grad_()};
  auto deq = layer("neumann", tight, tight, "broyden", "fixed_point", settings, options);
  const Equilibrium e = deq.solve(f.map(), State(torch::zeros_like(v)));
  const Tensor u = torch::autograd::grad({(v * e.z()[0]).sum()}, {f.b})[0];
  return {u, e.backward->front()};
}

TEST(Neumann, IsTheDampedSeriesAndReportsTheNextTermAsResidual) {
  const Tensor a = matrix_of_norm(6, 0.7, 2), v = randn({3, 6}, 5), eye = torch::eye(6, torch::kFloat64);
  for (const double beta : {1.0, 0.6}) {
    const auto [u, report] = adjoint(a, v, {{"terms", std::int64_t{4}}, {"beta", beta}});
    Tensor want = torch::zeros_like(v), term = v;
    for (int i = 0; i < 4; ++i) {
      want = want + beta * term;
      term = term.mm((1 - beta) * eye + beta * a);  // rows: Kᵢ v
    }
    EXPECT_LT(relative_error(u, want), 1e-14);
    const Tensor residual = (v + u.mm(a) - u).norm(2, {1});
    for (std::int64_t b = 0; b < 3; ++b) {
      EXPECT_NEAR(report.residual[static_cast<std::size_t>(b)], residual[b].item<double>(), 1e-13);
      EXPECT_NEAR(report.residual[static_cast<std::size_t>(b)], term[b].norm().item<double>(), 1e-13);
    }
  }
}

TEST(Neumann, OneTermIsTheOneStepGradient) {
  const Tensor v = randn({3, 6}, 5);
  EXPECT_TRUE(adjoint(matrix_of_norm(6, 0.7, 2), v, {{"terms", std::int64_t{1}}}).first.equal(v));
}

TEST(Neumann, ManyTermsAreTheImplicitGradientAndToleranceEndsThem) {
  const Tensor a = matrix_of_norm(6, 0.7, 2), v = randn({3, 6}, 5);
  const auto [u, report] = adjoint(a, v, {{"terms", std::int64_t{500}}, {"tolerance", 1e-10}});
  EXPECT_LT(relative_error(u, torch::linalg_solve(torch::eye(6, torch::kFloat64) - a.t(), v.t()).t()), 1e-9);
  EXPECT_EQ(report.reasons[0], Reason::converged);
  EXPECT_LT(report.calls, 100);
}

TEST(Neumann, WithoutAToleranceOfItsOwnThatOfTheSolverSaysWhatHasConverged) {
  const Tensor a = torch::diag(torch::tensor({0.1, 0.9}, torch::kFloat64)), v = torch::tensor({{1.0, 0.0}, {0.0, 1.0}}, torch::kFloat64);
  const Report report = adjoint(a, v, {{"terms", std::int64_t{20}}}).second;  // residuals 1e-20 and 0.12, the solver's tolerance is 1e-13
  EXPECT_EQ(report.reasons, (std::vector<Reason>{Reason::converged, Reason::budget}));
  EXPECT_EQ(report.first_converged, (std::vector<std::int64_t>{report.evaluations[0], 0}));
  EXPECT_EQ(adjoint(a, v, {{"terms", std::int64_t{20}}, {"measure", false}}).second.reasons[0], Reason::budget);  // what is not known has not converged
}

TEST(Neumann, ADivergingSeriesFailsAndTheOthersDoNot) {
  const Tensor a = torch::diag(torch::tensor({1.5, 0.2}, torch::kFloat64)), v = torch::tensor({{1.0, 0.0}, {0.0, 1.0}}, torch::kFloat64);
  const auto kept = adjoint(a, v, {});
  EXPECT_EQ(kept.second.reasons[0], Reason::diverged);
  EXPECT_EQ(kept.second.reasons[1], Reason::budget);
  EXPECT_EQ(adjoint(a, v, {}, {.failed_samples = "zero"}).first[0].abs().max().item<double>(), 0.0);
  EXPECT_TRUE(adjoint(a, v, {}, {.failed_samples = "one_step"}).first[0].equal(v[0]));
  EXPECT_TRUE(adjoint(a, v, {}, {.failed_samples = "zero"}).first[1].equal(kept.first[1]));
  EXPECT_TRUE(adjoint(a, v, {}, {.failed_samples = "drop"}).first[1].allclose(2 * kept.first[1]));  // the mean over one sample instead of two
  EXPECT_NEAR(adjoint(a, v, {}, {.failed_samples = "gmres"}).first[0][0].item<double>(), 1 / (1 - 1.5), 1e-9);
  try {
    adjoint(a, v, {}, {.failed_samples = "abort"});
    FAIL() << "no error";
  } catch (const std::exception& error) {  // the method has neither a solver nor its budget
    const std::string text = error.what();
    EXPECT_NE(text.find("use [gradient] name = \"implicit\" with [gradient] solver = { name = \"gmres\" }"), std::string::npos) << text;
    EXPECT_EQ(text.find("max_evaluations"), std::string::npos) << text;
  }
}

}  // namespace
