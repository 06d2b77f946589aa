#include <gtest/gtest.h>

#include "tests/support/parts.hpp"
#include "zstar/abi/linear.hpp"
#include "zstar/krylov.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const std::string& name, const AffineMap& f, const solve::Options& o, const Settings& settings = {}) {
  const auto solver = make_solver(name, settings);
  return solve::solve(*solver, name, f.map(), State(f.zeros()), o);
}

/// The adjoint solve of a layer over f by `solver`: relative error against the dense solution, and its report.
std::pair<double, Report> adjoint(const AffineMap& f, const Declared& declared, const std::string& solver, const solve::Options& o, const Settings& settings = {},
                                  const std::string& forward = "broyden") {
  Tensor b = f.b.clone().requires_grad_();
  FixedPointMap map = AffineMap{f.a, b}.map();
  map.declare(declared);
  gradient::Layer deq({choice(forward, {.tolerance = 1e-12, .max_evaluations = 200, .divergence = 1e9}), choice(solver, o, settings), make<GradientMethod>(Kind::gradient, "implicit"),
                       make<GradientMethod>(Kind::gradient, "phantom"), {}});
  const Tensor v = randn(f.b.sizes(), 99);
  const Equilibrium e = deq.solve(map, State(f.zeros()));
  const Tensor got = torch::autograd::grad({(v * e.z()[0]).sum()}, {b})[0];
  const Tensor want = torch::linalg_solve(torch::eye(f.width(), torch::kFloat64) - f.a.t(), v.t()).t();
  return {relative_error(got, want), e.backward->front()};
}

TEST(KrylovSpace, KnowsTheResidualOfItsSolution) {
  const AffineMap f = zstar::testing::contraction(3, 12, 1.4);  // I − A need not be near the identity
  KrylovSpace space(solve::local_products(), f.b, 8);
  const auto times = [&](const Tensor& x) { return x - x.mm(f.a.t()); };
  for (int k = 0; k < 8; ++k) {
    space.add(times(space.direction()));
    const Tensor r = f.b - times(space.solution());
    for (std::int64_t b = 0; b < 3; ++b) EXPECT_NEAR(space.residual(static_cast<std::size_t>(b)), r[b].norm().item<double>(), 1e-12) << k;  // rounding of 8 steps
  }
}

TEST(Gmres, SolvesAnAffineMapInAsManyStepsAsItIsWide) {
  for (const AffineMap& f : {zstar::testing::contraction(3, 8, 0.9), zstar::testing::expansive(3, 8), zstar::testing::rotation(2, 4, 1.5)}) {
    const auto out = run("gmres", f, {.tolerance = 1e-10, .max_evaluations = f.width() + 2});  // the start, a probe for each dimension, the end
    EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-9);
    for (const Reason r : out.report.reasons) EXPECT_EQ(r, Reason::converged);
  }
}

TEST(Gmres, ReportsTheResidualOfWhatItReturnsWhateverTheBudget) {
  const AffineMap f = zstar::testing::stiff(2, 40, 0.999);
  for (const std::int64_t budget : {1, 2, 3, 7, 30}) {
    const auto out = run("gmres", f, {.tolerance = 1e-12, .max_evaluations = budget}, {{"restart", std::int64_t{5}}});
    const Tensor residual = (f(out.z[0]) - out.z[0]).norm(2, {1});
    EXPECT_LE(out.report.calls, budget);
    for (std::int64_t b = 0; b < 2; ++b) EXPECT_NEAR(out.report.residual[static_cast<std::size_t>(b)], residual[b].item<double>(), 1e-12) << budget;
  }
}

TEST(Krylov, GoesOnUntilEveryToleranceIsKept) {  // the solver knows of one of them
  const AffineMap f = zstar::testing::stiff(2, 40, 0.9);
  for (const char* solver : {"gmres", "bicgstab", "cg"})
    for (const char* stop : {"any", "all"}) {
      const zstar::Settings settings = solver == std::string("cg") ? zstar::Settings{{"symmetric", std::string("assumed")}} : zstar::Settings{};
      const auto out = run(solver, f, {.tolerance = 1e-3, .max_evaluations = 200, .stop = stop, .absolute_tolerance = 1e-8}, settings);
      for (std::size_t b = 0; b < 2; ++b) {
        EXPECT_EQ(out.report.reasons[b], Reason::converged) << solver << ' ' << stop;
        EXPECT_LE(stop == std::string("all") ? out.report.residual[b] : out.report.relative[b], stop == std::string("all") ? 1e-8 : 1e-3) << solver << ' ' << stop;
      }
    }
}

TEST(Gmres, RestartedNeedsMoreEvaluationsAndArrives) {
  const AffineMap f = zstar::testing::stiff(2, 40, 0.9);
  const solve::Options o{.tolerance = 1e-9, .max_evaluations = 300};
  const auto whole = run("gmres", f, o, {{"restart", std::int64_t{40}}}), restarted = run("gmres", f, o, {{"restart", std::int64_t{4}}});
  EXPECT_EQ(restarted.report.reasons[0], Reason::converged);
  EXPECT_GT(restarted.report.calls, whole.report.calls);
}

TEST(Gmres, SamplesAreSolvedAsIfTheyWereAlone) {
  const AffineMap f = zstar::testing::contraction(4, 10, 0.95);
  const solve::Options o{.tolerance = 1e-8, .max_evaluations = 60};
  const auto all = run("gmres", f, o);
  for (std::int64_t b = 0; b < 4; ++b) {
    const auto alone = run("gmres", {f.a, f.b.narrow(0, b, 1)}, o);
    EXPECT_LT(relative_error(alone.z[0][0], all.z[0][b]), 1e-7);  // both within the tolerance; the batch may have gone on
  }
}

TEST(Gmres, ZeroAndSinglePrecisionAndOneUnknown) {
  AffineMap f = zstar::testing::contraction(2, 6, 0.9).to(torch::kFloat32);
  f.b[1].zero_();
  const auto out = run("gmres", f, {.tolerance = 1e-5, .max_evaluations = 30});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_EQ(out.z[0][1].abs().max().item<float>(), 0.f);
  const AffineMap one{torch::full({1, 1}, -3.0, torch::kFloat64), torch::ones({1, 1}, torch::kFloat64)};
  EXPECT_NEAR(run("gmres", one, {.tolerance = 1e-12, .max_evaluations = 5}).z[0].item<double>(), 0.25, 1e-12);
}

TEST(Krylov, RefusesAMapThatIsNotAffineWithASentence) {
  for (const char* name : {"gmres", "bicgstab"}) {
    const TanhMap f(1, 8, 0.9, 3);
    const auto solver = make_solver(name);
    try {
      solve::solve(*solver, name, f.map(), State(torch::zeros({1, 8}, torch::kFloat64)), {.tolerance = 1e-12, .max_evaluations = 60});
      FAIL() << name;
    } catch (const std::exception& error) {
      EXPECT_NE(std::string(error.what()).find("affine"), std::string::npos);
    }
  }
}

TEST(Krylov, ASingularSystemIsNotTakenForAMapThatIsNotAffine) {
  for (const char* name : {"gmres", "bicgstab"})
    for (std::uint64_t seed = 1; seed <= 20; ++seed)
      for (const Tensor& eigenvalues : {torch::ones({4}, torch::kFloat64), torch::tensor({1.0, 0.5, 0.25, -0.5}, torch::kFloat64)}) {
        const AffineMap f{torch::diag(eigenvalues), randn({2, 4}, seed)};  // the first unknown has no solution
        solve::Outcome out;
        ASSERT_NO_THROW(out = run(name, f, {.tolerance = 1e-6, .max_evaluations = 80, .stop = "absolute"})) << name << seed;
        for (std::int64_t b = 0; b < 2; ++b) {
          const double z = out.z[0][b][0].item<double>(), c = f.b[b][0].item<double>();
          EXPECT_TRUE(std::isfinite(z)) << name << seed;
          const bool solved = out.report.reasons[static_cast<std::size_t>(b)] == Reason::converged;
          EXPECT_TRUE(!solved || z + c == z) << name << seed;  // then it is a solution in this arithmetic
        }
      }
}

TEST(Krylov, E31SolvesTheAdjointOfADivergingIteration) {
  const AffineMap f = zstar::testing::rotation(2, 3, 1.5);
  for (const char* name : {"gmres", "bicgstab"}) {
    const auto [error, report] = adjoint(f, {}, name, {.tolerance = 1e-9, .max_evaluations = 40});
    EXPECT_LT(error, 1e-8) << name;
    EXPECT_EQ(report.reasons[0], Reason::converged) << name;
  }
  EXPECT_LE(adjoint(f, {}, "gmres", {.tolerance = 1e-9, .max_evaluations = 40}).second.calls, 4);  // the minimal polynomial has degree two
}

TEST(Bicgstab, SolvesAffineMapsWithConstantMemory) {
  for (const AffineMap& f : {zstar::testing::contraction(3, 30, 0.95), zstar::testing::stiff(2, 40, 0.9)}) {
    const auto out = run("bicgstab", f, {.tolerance = 1e-9, .max_evaluations = 200});
    EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-7);
    EXPECT_EQ(out.report.reasons[0], Reason::converged);
  }
}

TEST(Cg, SolvesTheAdjointOfAMapThatDeclaresASymmetricJacobian) {
  const AffineMap f = zstar::testing::stiff(3, 30, 0.99);
  const auto [error, report] = adjoint(f, {.symmetric = true}, "cg", {.tolerance = 1e-9, .max_evaluations = 60});
  EXPECT_LT(error, 1e-7);  // the condition of I − A is 100
  EXPECT_EQ(report.reasons[0], Reason::converged);
}

TEST(Cg, IsRefusedWhereNothingIsDeclared) {
  const AffineMap f = zstar::testing::stiff(2, 10, 0.9);
  EXPECT_THROW(adjoint(f, {}, "cg", {.tolerance = 1e-9, .max_evaluations = 60}), std::exception);
  EXPECT_THROW(run("cg", f, {.tolerance = 1e-9, .max_evaluations = 60}), std::exception);
  const auto out = run("cg", f, {.tolerance = 1e-9, .max_evaluations = 60}, {{"symmetric", std::string("assumed")}});
  EXPECT_LT(relative_error(out.z[0], f.fixed_point()), 1e-7);
}

TEST(Gmres, TakesTheForwardEstimateAsStartAndPreconditioner) {
  const AffineMap f = zstar::testing::stiff(2, 30, 0.98);
  const solve::Options o{.tolerance = 1e-8, .max_evaluations = 80};
  const auto plain = adjoint(f, {}, "gmres", o, {}, "chord");
  const auto helped = adjoint(f, {}, "gmres", o, {{"preconditioner", std::string("forward")}, {"start", std::string("forward")}}, "chord");
  EXPECT_LT(plain.first, 1e-5);
  EXPECT_LT(helped.first, 1e-5);
  EXPECT_LT(helped.second.calls, plain.second.calls);
}

TEST(Gmres, OneSpaceForTheBatchIsRightWhereSamplesInteract) {
  const Tensor coupling = matrix_of_norm(3, 0.5, 5), c = randn({3, 4}, 6).requires_grad_();
  const FixedPointMap f([coupling, c](const State& z) { return State(coupling.mm(z[0]) + c); });  // rows are mixed
  auto deq = layer("implicit", {.tolerance = 1e-13, .max_evaluations = 200}, {.tolerance = 1e-10, .max_evaluations = 40}, "fixed_point", "gmres");
  const Tensor v = randn({3, 4}, 7);
  const Tensor got = torch::autograd::grad({(v * deq.solve(f, State(torch::zeros({3, 4}, torch::kFloat64))).z()[0]).sum()}, {c})[0];
  const Tensor want = torch::linalg_solve(torch::eye(3, torch::kFloat64) - coupling.t(), v);
  EXPECT_LT(relative_error(got, want), 1e-9);
}

}  // namespace
