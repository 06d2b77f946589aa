/// \file Failures that fixed-point engines have shown, one test each: the layer and its options. Others stand beside the gradient methods.
#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"
#include "zstar/abi/regularizer.hpp"
#include "zstar/claims.hpp"
#include "zstar/testing/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options tight{.tolerance = 1e-12, .max_evaluations = 400};

TEST(EngineLayer, E21TheConvergedStateIsTheLastOutputInBothModes) {
  const FixedPointMap f([](const State& z) { return State(0.9 * z[0] + 1); });
  const State z0(torch::zeros({1, 1}, torch::kFloat64));
  auto deq = layer("phantom", {.tolerance = 1e-10, .max_evaluations = 400}, tight, "fixed_point", "fixed_point", {}, {.sample_at = {3}});

  const auto training = deq.solve(f, z0).states, evaluation = deq.solve(f, z0, {.training = false}).states;

  ASSERT_EQ(training.size(), 2u);
  EXPECT_NEAR(training[0][0].item<double>(), 3.439, 1e-12);  // z_3 = 2.71 and one step of the phantom gradient
  EXPECT_NEAR(training[1][0].item<double>(), 10, 1e-7);      // ‖z − z⋆‖ ≤ 10 · 1e-10 · ‖z⋆‖
  EXPECT_NEAR(evaluation.back()[0].item<double>(), 10, 1e-7);
}

/// Solvers whose rules let them solve any contraction: those that ask for more say so.
std::vector<std::string> general_solvers() {
  std::vector<std::string> names;
  for (const std::string& name : catalogue().names(Kind::solver)) {
    const auto solver = make_solver(name);
    const auto* exemptions = query<Exemptions>(*solver);
    bool special = false;
    if (exemptions)
      for (const auto& e : exemptions->checks) special = special || e.check == "*" || e.check == "honest";
    if (!special) names.push_back(name);
  }
  return names;
}

bool composed(const std::string& name) {
  for (const OptSpec& o : catalogue().options(Kind::solver, name))
    if (o.type == OptType::part && std::holds_alternative<std::monostate>(o.def)) return true;
  return false;
}

TEST(EngineLayer, E19SegmentsHaveReportsOfTheirOwnAndE22KeepTheRemainder) {
  const FixedPointMap f([](const State& z) { return State(0.99 * z[0] + 1); });
  auto deq = layer("phantom", {.tolerance = 0, .max_evaluations = 40, .stall_window = 0}, tight, "fixed_point", "fixed_point", {}, {.states = 3, .form = "sliced"});
  const auto e = deq.solve(f, State(torch::zeros({1, 1}, torch::kFloat64)));
  ASSERT_EQ(e.forward.size(), 3u);
  std::vector<std::int64_t> calls;
  for (const Report& r : e.forward) calls.push_back(r.calls);
  EXPECT_EQ(calls, (std::vector<std::int64_t>{14, 13, 13}));  // 40 in all
  EXPECT_EQ(e.gradient_evaluations, 3);
}

TEST(EngineLayer, E22TheListsOfStatesAndOfGradientsMayNotDisagree) {
  const auto made = [](const std::string& gradient) { return zstar::testing::make_layer("name = 'fixed_point'", gradient, "name = 'fixed_point'"); };
  for (const char* impossible : {"name = 'phantom'\nsteps = [3]\nat = [7]", "name = 'phantom'\nsteps = []"})
    EXPECT_ANY_THROW(made(impossible)) << impossible;
  const auto twice = made("name = 'phantom'\nsteps = [5]\nat = [2, 5]");
  EXPECT_EQ(twice->solve(TanhMap(3, 6, 0.5).map(), State(torch::zeros({3, 6}, torch::kFloat64))).states.size(), 2u);  // the last step once
}

TEST(EngineLayer, E23EverySolverSolvesTheAdjointToo) {
  const TanhMap f(3, 6, 0.5);
  const Tensor z0 = torch::zeros({3, 6}, torch::kFloat64), v = randn({3, 6}, 5), want = unrolled_gradients(f.map(), z0, v, {f.w}, 200)[0];
  int tried = 0;
  for (const std::string& name : general_solvers()) {
    if (composed(name)) continue;  // without an inner solver it is none
    ++tried;
    auto deq = layer("implicit", tight, {.tolerance = 1e-8, .max_evaluations = 200}, "anderson", name);
    const Tensor got = torch::autograd::grad({(v * deq.solve(f.map(), State(z0)).z()[0]).sum()}, {f.w})[0];
    EXPECT_LT(relative_error(got, want), 1e-6) << name;  // 1e-8 and a condition of at most 4
  }
  EXPECT_GT(tried, 10);
}

TEST(EngineLayer, E24TheBudgetAndToleranceOfOneCallMayBeOthers) {
  const FixedPointMap f([](const State& z) { return State(0.9 * z[0] + 1); });
  const State z0(torch::zeros({1, 1}, torch::kFloat64));
  auto deq = layer("implicit", {.tolerance = 1e-3, .max_evaluations = 200}, tight, "fixed_point");

  EXPECT_EQ(deq.solve(f, z0, {.max_evaluations = 5}).forward.back().calls, 5);
  const auto coarse = deq.solve(f, z0).forward.back(), fine = deq.solve(f, z0, {.tolerance = 1e-6}).forward.back();
  EXPECT_EQ(fine.tolerance, 1e-6);
  EXPECT_GT(fine.calls, coarse.calls);
  EXPECT_EQ(deq.solve(f, z0).forward.back().calls, coarse.calls);  // nothing stays
}

TEST(EngineLayer, E25EverySolverStateModeAndGradientGoTogether) {
  const zstar::testing::TwoStates pair{zstar::testing::contraction(2, 4, 0.5)};
  const TanhMap single(2, 4, 0.5);
  for (const std::string& solver : general_solvers()) {
    if (composed(solver)) continue;
    for (const std::string& gradient : catalogue().names(Kind::gradient))
      for (const bool training : {true, false}) {
        auto deq = layer(gradient, {.tolerance = 1e-6, .max_evaluations = 100}, tight, solver, "anderson");
        const auto one = deq.solve(single.map(), State(torch::zeros({2, 4}, torch::kFloat64)), {.training = training});
        const auto two = deq.solve(pair.map(), pair.zeros(), {.training = training});
        EXPECT_EQ(one.z().size(), 1u);
        ASSERT_EQ(two.z().size(), 2u) << solver << ' ' << gradient;
        EXPECT_EQ(two.z()[1].sizes().vec(), (std::vector<std::int64_t>{2, 2})) << solver << ' ' << gradient;
        EXPECT_EQ(one.z()[0].requires_grad(), training) << solver << ' ' << gradient;
      }
  }
}

TEST(EngineLayer, E26OptionsAreNotTakenOnTrust) {
  const auto refusal = [](const std::string& options) {
    try {
      zstar::testing::make_solver("anderson", options);
    } catch (const std::exception& refused) {
      return std::string(refused.what());
    }
    return std::string();
  };
  EXPECT_NE(refusal("memroy = 3").find("memory"), std::string::npos);  // the nearest name
  EXPECT_NE(refusal("memory = 0").find("memory"), std::string::npos);
  EXPECT_NE(refusal("memory = 'many'").find("memory"), std::string::npos);
  EXPECT_EQ(refusal("memory = 3"), "");
  try {
    zstar::testing::make_solver("andersen");
    FAIL() << "an unknown solver was made";
  } catch (const std::exception& refused) {
    EXPECT_NE(std::string(refused.what()).find("anderson"), std::string::npos);
  }
}

TEST(EngineLayer, E28TheStartIsTheCallersAndTheResultHasNoSideEffects) {
  const TanhMap f;
  auto deq = layer("implicit", tight, tight);
  const Tensor z0 = randn({3, 6}, 3), before = z0.clone();
  for (const std::int64_t budget : {0, 1, 40}) {
    const auto e = deq.solve(f.map(), State(z0), {.training = false, .max_evaluations = budget});
    EXPECT_FALSE(e.z()[0].requires_grad());
    EXPECT_FALSE(e.z()[0].is_alias_of(z0)) << budget;
    EXPECT_TRUE(z0.equal(before) && !z0.requires_grad());
  }
}

TEST(EngineLayer, E29ALayerMadeAgainFromItsOptionsGivesTheSameBits) {
  const TanhMap f;
  const State z0(torch::zeros({3, 6}, torch::kFloat64));
  const auto made = [&] {
    return zstar::testing::make_layer("name = 'anderson'\nmemory = 3\ntolerance = 1e-7", "name = 'implicit'", "name = 'broyden'\ntolerance = 1e-7");
  };
  const auto slope = [&](EquilibriumLayer& deq) { return torch::autograd::grad({deq.solve(f.map(), z0).z()[0].square().sum()}, {f.w})[0]; };
  const auto first = made(), second = made();
  EXPECT_TRUE(first->solve(f.map(), z0).z()[0].equal(second->solve(f.map(), z0).z()[0]));
  EXPECT_TRUE(slope(*first).equal(slope(*second)));
}

TEST(EngineLayer, E36TheJacobianPenaltyTakesItsProbesOrAGenerator) {
  const TanhMap f(1, 6);
  Equilibrium e;
  e.states = {State(randn({1, 6}, 20))};
  const auto with = [&](const Settings& settings, std::uint64_t seed) {
    return make<Regularizer>(Kind::regularizer, "jacobian", settings)->penalty({f.map(), e}, at::detail::createCPUGenerator(seed)).item<double>();
  };
  EXPECT_EQ(with({}, 1), with({}, 1));
  EXPECT_NE(with({}, 1), with({}, 2));
  const Tensor slope = 1 - f(e.z()[0]).square();
  const double exact = (slope.t() * f.w).square().sum().item<double>() / 6;
  // 4000 probes of random signs: the standard deviation of one is below the value itself
  EXPECT_NEAR(with({{"probes", std::int64_t{4000}}, {"distribution", std::string("rademacher")}}, 3), exact, 5 * exact / std::sqrt(4000.0));
  EXPECT_ANY_THROW(zstar::testing::make_object(Kind::regularizer, "jacobian", "probes = 0", ZSTAR_PLUGIN_DIR));
}

}  // namespace
