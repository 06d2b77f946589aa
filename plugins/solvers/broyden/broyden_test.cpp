#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const FixedPointMap& f, const Tensor& z0, const solve::Options& o, const Settings& settings = {}) {
  const auto solver = make_solver("broyden", settings);
  return solve::solve(*solver, "broyden", f, State(z0), o);
}

AffineMap stiff(std::int64_t batch) {  // symmetric, eigenvalues 0 … 0.999
  const Tensor q = std::get<0>(torch::linalg_qr(randn({60, 60}, 9)));
  const Tensor eigenvalues = torch::linspace(0, 0.999, 60, torch::kFloat64);
  return {q.mm(torch::diag(eigenvalues)).mm(q.t()), randn({batch, 60}, 10)};
}

TEST(Broyden, SolvesAnExpansiveMap) {
  const AffineMap f{matrix_of_norm(6, 3.0, 11), randn({3, 6}, 12)};
  const auto out = run(f.map(), torch::zeros({3, 6}, torch::kFloat64), {.tolerance = 1e-10, .max_evaluations = 60});
  EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-8);
}

TEST(Broyden, E10ReachesItsToleranceForOneSampleAndForTwoAlike) {
  const solve::Options o{.tolerance = 1e-5, .max_evaluations = 200, .stop = "absolute"};
  const Settings full{{"memory", std::int64_t{200}}};
  const AffineMap two = stiff(2), one{two.a, two.b.narrow(0, 0, 1)};
  const auto alone = run(one.map(), torch::zeros({1, 60}, torch::kFloat64), o, full);
  const auto pair = run(two.map(), torch::zeros({2, 60}, torch::kFloat64), o, full);
  EXPECT_EQ(alone.report.reasons[0], Reason::converged);
  EXPECT_EQ(alone.report.evaluations[0], pair.report.evaluations[0]);
}

TEST(Broyden, E11StaysFiniteForEveryMemory) {
  const AffineMap f = stiff(1);
  for (const char* update : {"good", "bad"})
    for (const std::int64_t memory : {1, 2, 3, 5, 10}) {
      const auto out = run(f.map(), torch::zeros({1, 60}, torch::kFloat64), {.tolerance = 1e-5, .max_evaluations = 100, .stop = "absolute", .stall_window = 0},
                           {{"memory", memory}, {"update", std::string(update)}});
      EXPECT_TRUE(std::isfinite(out.report.residual[0])) << update << memory;
      EXPECT_NE(out.report.reasons[0], Reason::nonfinite) << update << memory;
    }
}

FixedPointMap from_residual(std::function<Tensor(const Tensor&)> g) {
  return {[g = std::move(g)](const State& z, const std::vector<Tensor>&) { return State(z[0] + g(z[0])); }, {}, true};
}

TEST(Broyden, E12TheLineSearchTreatsEverySampleAlone) {
  const FixedPointMap f = from_residual([](const Tensor& z) { return -3 * z.atan(); });
  const Settings search{{"line_search", true}};
  const solve::Options o{.tolerance = 1e-10, .max_evaluations = 60, .stop = "absolute"};
  const auto both = run(f, torch::tensor({{0.3}, {6.0}}, torch::kFloat64), o, search);
  const auto first = run(f, torch::tensor({{0.3}}, torch::kFloat64), o, search);
  const auto second = run(f, torch::tensor({{6.0}}, torch::kFloat64), o, search);
  EXPECT_NEAR(both.z[0][0].item<double>(), first.z[0].item<double>(), 1e-12);
  EXPECT_NEAR(both.z[0][1].item<double>(), second.z[0].item<double>(), 1e-12);
  EXPECT_EQ(both.report.reasons[1], Reason::converged);
}

TEST(Broyden, E13BacktracksFromWhereTheMapIsNotFinite) {
  const FixedPointMap f = from_residual([](const Tensor& z) { return -z.log(); });  // a full step leaves the domain
  const auto out = run(f, torch::tensor({{8.0}}, torch::kFloat64), {.tolerance = 1e-8, .max_evaluations = 80, .stop = "absolute"},
                       {{"line_search", true}});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_NEAR(out.z[0].item<double>(), 1.0, 1e-6);
}

TEST(Broyden, ExportsItsInverseJacobian) {
  const AffineMap f{matrix_of_norm(5, 0.7, 13), randn({1, 5}, 14)};
  const auto solver = make_solver("broyden");
  solve::solve(*solver, "broyden", f.map(), State(torch::zeros({1, 5}, torch::kFloat64)), {.tolerance = 0, .max_evaluations = 14, .stall_window = 0});
  auto* estimate = query<InverseJacobian>(*solver);
  ASSERT_NE(estimate, nullptr);
  const Tensor v = randn({1, 5}, 15), w = randn({1, 5}, 16);
  EXPECT_NEAR((estimate->apply(v) * w).sum().item<double>(), (v * estimate->apply_transpose(w)).sum().item<double>(), 1e-9);
}

}  // namespace
