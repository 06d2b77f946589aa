#include <gtest/gtest.h>

#include "tests/support/solving.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

TEST(NewtonKrylov, OneStepSolvesAnAffineMapWhateverItsNorm) {  // D probes span the space
  for (const double norm : {0.9, 3.0, 20.0}) {
    const AffineMap f{matrix_of_norm(6, norm, 1), randn({3, 6}, 2)};
    const auto out = run("newton_krylov", f.map(), torch::zeros({3, 6}, torch::kFloat64), {.tolerance = 0, .max_evaluations = 8, .divergence = 1e9},
                         {{"forcing", 1e-9}});
    EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-5) << norm;  // √ε of the differences, times the condition
  }
}

TEST(NewtonKrylov, ConvergesSuperlinearly) {  // fails if A is not taken anew
  const TanhMap f(1, 8, 4.0, 3);
  const auto out = run("newton_krylov", f.map(), torch::zeros({1, 8}, torch::kFloat64), {.tolerance = 1e-12, .max_evaluations = 120});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_LT(out.report.residual[0], 1e-11);
}

TEST(NewtonKrylov, StepsThatLeaveTheDomainAreHalved) {
  const FixedPointMap f([](const State& z) { return State(z[0] - z[0].log()); });  // the full step from 8 is to a negative number
  for (const char* name : {"newton_krylov", "chord"}) {
    const auto out = run(name, f, torch::full({1, 1}, 8.0, torch::kFloat64), {.tolerance = 1e-10, .max_evaluations = 60, .stop = "absolute"});
    EXPECT_EQ(out.report.reasons[0], Reason::converged) << name;
    EXPECT_NEAR(out.z[0].item<double>(), 1.0, 1e-9) << name;
  }
}

TEST(NewtonKrylov, SamplesAreSolvedAsIfTheyWereAlone) {
  const TanhMap f(4, 6, 2.5, 5);
  const solve::Options o{.tolerance = 1e-9, .max_evaluations = 150, .finished = "compact"};
  for (const char* name : {"newton_krylov", "chord"}) {
    const auto all = run(name, f.map(), torch::zeros({4, 6}, torch::kFloat64), o);
    for (std::int64_t b = 0; b < 4; ++b) {
      const auto alone = run(name, f.map().at_rows(torch::tensor({b})), torch::zeros({1, 6}, torch::kFloat64), o);
      EXPECT_EQ(alone.report.evaluations[0], all.report.evaluations[static_cast<std::size_t>(b)]) << name << b;
      EXPECT_LT((alone.z[0][0] - all.z[0][b]).abs().max().item<double>(), 1e-9) << name << b;
    }
  }
}

TEST(Chord, NeverRepeatsAProbeOnAnAffineMap) {
  const AffineMap f{matrix_of_norm(12, 1.5, 7), randn({1, 12}, 8)};
  const Tensor z0 = torch::zeros({1, 12}, torch::kFloat64);
  const solve::Options o{.tolerance = 1e-8, .max_evaluations = 150};
  const auto chord = run("chord", f.map(), z0, o), newton = run("newton_krylov", f.map(), z0, o);
  EXPECT_EQ(chord.report.reasons[0], Reason::converged);
  EXPECT_LE(chord.report.calls, 12 + 10);  // D probes, a step each time that η is met
  EXPECT_LT(chord.report.calls, newton.report.calls);
}

TEST(Chord, ExportsItsInverseJacobian) {
  const AffineMap f{matrix_of_norm(5, 0.7, 13), randn({1, 5}, 14)};
  const auto solver = make_solver("chord", {{"forcing", 1e-9}});
  solve::solve(*solver, "chord", f.map(), State(torch::zeros({1, 5}, torch::kFloat64)), {.tolerance = 0, .max_evaluations = 8, .stall_window = 0});
  auto* estimate = query<InverseJacobian>(*solver);
  ASSERT_NE(estimate, nullptr);
  const Tensor v = randn({1, 5}, 15), w = randn({1, 5}, 16), a = f.a - torch::eye(5, torch::kFloat64);
  EXPECT_LT(relative_error(estimate->apply(v), torch::linalg_solve(a, v.t()).t()), 1e-4);
  EXPECT_NEAR((estimate->apply(v) * w).sum().item<double>(), (v * estimate->apply_transpose(w)).sum().item<double>(), 1e-9);
}

}  // namespace
