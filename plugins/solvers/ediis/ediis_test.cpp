#include <gtest/gtest.h>

#include "simplex.hpp"
#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

Tensor grams(std::int64_t batch, std::int64_t n, std::int64_t width) {
  const Tensor r = randn({batch, n, width}, 51);
  return r.matmul(r.transpose(1, 2));
}

double value(const Tensor& g, const Tensor& alpha) { return alpha.dot(g.mv(alpha)).item<double>(); }

TEST(Ediis, WeightsAreTheMinimumOverTheSimplex) {
  const Tensor g = grams(20, 5, 4), known = torch::ones({20, 5}, torch::kBool);
  const Tensor alpha = zstar_ediis::simplex_weights(g, known);
  EXPECT_GE(alpha.min().item<double>(), 0.0);
  EXPECT_LT((alpha.sum(1) - 1).abs().max().item<double>(), 1e-9);
  const Tensor others = torch::rand({4000, 5}, torch::kFloat64).pow(3);  // many points of the simplex, corners too
  for (std::int64_t b = 0; b < 20; ++b)
    for (std::int64_t k = 0; k < 4000; k += 7)
      EXPECT_LE(value(g[b], alpha[b]), value(g[b], others[k] / others[k].sum()) * (1 + 1e-9));
}

TEST(Ediis, TheFormOfDevicesFindsTheSameValue) {
  const Tensor g = grams(20, 6, 8);
  Tensor known = torch::ones({20, 6}, torch::kBool);
  known.narrow(0, 0, 5).narrow(1, 4, 2).fill_(false);
  const Tensor exact = zstar_ediis::simplex_weights(torch::where(known.unsqueeze(1) & known.unsqueeze(2), g, torch::zeros({}, g.options())), known);
  const Tensor near = zstar_ediis::minimise_by_aten(g, known);
  for (std::int64_t b = 0; b < 20; ++b) EXPECT_NEAR(value(g[b], near[b]) / value(g[b], exact[b]), 1.0, 1e-3);  // 200 gradient steps
}

TEST(Ediis, ConvergesOnAContractionWithFewerEvaluationsThanPicard) {
  const AffineMap f{-matrix_of_norm(10, 0.95, 52).abs() / 4 - 0.6 * torch::eye(10, torch::kFloat64), randn({3, 10}, 53)};
  const solve::Options o{.tolerance = 1e-8, .max_evaluations = 400};
  std::int64_t calls[2];
  int i = 0;
  for (const char* name : {"ediis", "fixed_point"}) {
    const auto solver = make_solver(name);
    const auto out = solve::solve(*solver, name, f.map(), State(torch::zeros({3, 10}, torch::kFloat64)), o);
    calls[i++] = out.report.calls;
    if (name == std::string("ediis")) {
      for (const Reason reason : out.report.reasons) EXPECT_EQ(reason, Reason::converged);
      EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-6);
    }
  }
  EXPECT_LT(calls[0], calls[1]);
}

}  // namespace
