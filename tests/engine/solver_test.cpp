/// \file Failures that fixed-point engines have shown, one test each: solvers and their reports. Others stand beside the solver they concern.
#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/held_to.hpp"
#include "tests/support/parts.hpp"
#include "zstar/claims.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

solve::Outcome run(const std::string& name, const FixedPointMap& f, const State& z0, const solve::Options& o, const std::vector<std::int64_t>& at = {}, const Settings& settings = {}) {
  const auto solver = make_solver(name, settings);
  return solve::solve(*solver, name, f, z0, o, at);
}

TEST(EngineSolvers, E14EverySolverHandsOutTheStateAfterAsManyCalls) {
  const AffineMap f = zstar::testing::contraction(2, 6, 0.8);
  const auto names = solvers_held_to("samples");
  EXPECT_GT(names.size(), 20u);
  for (const std::string& name : names) {
    std::vector<Tensor> asked;  // where f was evaluated: the state after i calls is what call i + 1 is asked for
    const FixedPointMap noting([&](const State& z) { return asked.push_back(z[0].clone()), State(f(z[0])); });
    const solve::Options o{.tolerance = 0, .max_evaluations = 7, .select = "last", .stall_window = 0, .floor = false};
    const auto all = run(name, noting, State(f.zeros()), o, {1, 2, 3, 4, 5, 6});
    ASSERT_EQ(all.samples.size(), 6u) << name;
    ASSERT_EQ(asked.size(), 7u) << name;
    for (std::size_t i = 1; i <= 6; ++i) EXPECT_TRUE(all.samples[i - 1][0].equal(asked[i])) << name << ' ' << i;
    const auto one = run(name, f.map(), State(f.zeros()), o, {5});
    ASSERT_EQ(one.samples.size(), 1u) << name;
    EXPECT_TRUE(one.samples[0][0].equal(all.samples[4][0])) << name;  // whatever else is handed out
  }
}

/// Most memory of this process since it was last asked, bytes.
std::int64_t peak_since_reset() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.compare(0, 6, "VmHWM:") == 0) return std::stoll(line.substr(6)) * 1024;
  return 0;
}
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

TEST(EngineSolvers, E15NothingIsAllocatedForStepsThatAreNotTaken) {
  const Tensor target = torch::full({1, 1000000}, 3.0);  // 4 MB a state
  const FixedPointMap f([target](const State& z) { return State(z[0] * 0 + target); });
  for (const char* name : {"anderson", "broyden"}) {
    run(name, f, State(torch::zeros_like(target)), {.tolerance = 1e-3, .max_evaluations = 10});
    reset_peak();
    const std::int64_t before = peak_since_reset();
    const auto out = run(name, f, State(torch::zeros_like(target)), {.tolerance = 1e-3, .max_evaluations = 10000});
    EXPECT_EQ(out.report.calls, 2) << name;
    EXPECT_LT(peak_since_reset() - before, (sanitized ? 400 : 60) << 20) << name;  // 14 states, and a sanitizer's shadow of them; 10000 steps would be 40 GB
  }
}

TEST(EngineSolvers, E16LowPrecisionWorksInEverySolverAndNothingOverNothingIsConverged) {
  for (const std::string& name : catalogue().names(Kind::solver)) {
    const auto solver = make_solver(name);
    if (query<Exemptions>(*solver)) continue;  // TorchDEQ's own rules, and methods for special maps
    for (const auto dtype : {torch::kFloat16, torch::kBFloat16, torch::kFloat32}) {
      const auto zero = run(name, FixedPointMap([](const State& z) { return State(z[0] * 0); }), State(torch::zeros({2, 3}, torch::TensorOptions(dtype))), {.tolerance = 1e-3});
      EXPECT_EQ(zero.report.reasons[0], Reason::converged) << name;
      EXPECT_EQ(zero.report.relative[0], 0) << name;
    }
    // 200 · √200000 = 9e4 is beyond float16 (65504), and so is every square of a residual: norms must be wider than the state
    const FixedPointMap wide([](const State& z) { return State((z[0].to(torch::kFloat32) / 2 + 100).to(z[0].scalar_type())); });
    Settings settings;  // differences over less than √ε of the dtype of f are its rounding
    for (const OptSpec& option : catalogue().options(Kind::solver, name))
      if (option.name == "difference") settings = {{"difference", 3e-2}};
    const auto half = run(name, wide, State(torch::zeros({1, 200000}, torch::TensorOptions(torch::kFloat16))), {.tolerance = 1e-3, .max_evaluations = 60}, {}, settings);
    EXPECT_EQ(half.z[0].scalar_type(), torch::kFloat16) << name;
    EXPECT_NEAR(half.z[0].to(torch::kFloat32).mean().item<double>(), 200, 0.5) << name;  // float16 has 0.125 there
  }
}

TEST(EngineSolvers, E19TheReportSaysWhatHappened) {
  const Tensor rates = torch::tensor({{0.1}, {0.9}}, torch::kFloat64);
  const FixedPointMap f([rates](const State& z) { return State(rates * z[0] + 1); });
  const auto out = run("fixed_point", f, State(torch::zeros({2, 1}, torch::kFloat64)), {.tolerance = 1e-3, .max_evaluations = 12});
  const Report& r = out.report;

  EXPECT_EQ(r.calls, 12);
  EXPECT_EQ(r.reasons, (std::vector<Reason>{Reason::converged, Reason::budget}));
  EXPECT_EQ(r.evaluations[0], r.first_converged[0]);
  EXPECT_LT(r.evaluations[0], 6);
  EXPECT_EQ(r.evaluations[1], 12);
  EXPECT_EQ(r.first_converged[1], 0);
  EXPECT_EQ(r.trace.steps(), 12);  // as many as were made, none filled in
  EXPECT_NEAR(r.trace.absolute[2 * 11 + 1], std::pow(0.9, 11), 1e-12);
  EXPECT_EQ(r.line_search_calls, 0);
}

/// How many of the points at which f was evaluated lie half way back to the point accepted before.
std::int64_t shortened(const std::vector<double>& points) {
  double base = points[0];
  std::int64_t count = 0;
  for (std::size_t k = 2; k < points.size(); ++k)
    if (std::abs((points[k] - base) - 0.5 * (points[k - 1] - base)) < 1e-12 * std::abs(points[k - 1])) ++count;
    else base = points[k - 1];
  return count;
}

TEST(EngineSolvers, E19CallsOfALineSearchAreReported) {
  std::vector<double> points;
  const FixedPointMap f([&points](const State& z) {
    points.push_back(z[0].item<double>());
    return State(z[0] - 3 * z[0].atan());  // full steps from 6 overshoot
  });
  const solve::Options o{.tolerance = 1e-10, .max_evaluations = 60, .stop = "absolute"};
  const State z0(torch::full({1, 1}, 6.0, torch::kFloat64));
  for (const char* update : {"good", "bad"}) {
    points.clear();
    const auto solver = make_solver("broyden", {{"line_search", true}, {"update", std::string(update)}});
    const Report r = solve::solve(*solver, "broyden", f, z0, o).report;
    EXPECT_EQ(r.line_search_calls, shortened(points)) << update;
    EXPECT_GT(r.line_search_calls, 0) << update;
    EXPECT_EQ(r.calls, static_cast<std::int64_t>(points.size())) << update;
  }
  EXPECT_EQ(run("broyden", f, z0, o).report.line_search_calls, 0);  // without one
}

TEST(EngineSolvers, E19HalvingsOfNewtonStepsAreReportedOnceForTheBatch) {
  const FixedPointMap f([](const State& z) { return State(z[0] - z[0].log()); });  // the full step from 8 is to a negative number
  const solve::Options o{.tolerance = 1e-10, .max_evaluations = 60, .stop = "absolute"};
  for (const char* name : {"newton_krylov", "chord"}) {
    const auto calls = [&](const std::vector<double>& starts) {
      return run(name, f, State(torch::tensor(starts, torch::kFloat64).unsqueeze(1)), o).report.line_search_calls;
    };
    EXPECT_EQ(calls({1.2}), 0) << name;
    const std::int64_t alone = calls({8.0});
    EXPECT_GT(alone, 0) << name;
    EXPECT_EQ(calls({8.0, 8.0}), alone) << name;  // one call of f for both
    EXPECT_EQ(calls({8.0, 1.2}), alone) << name;  // the second is done long before, and stands still
  }
}

TEST(EngineSolvers, E27AChangeOfDtypeOrOrderIsRefusedNamingTheTensor) {
  const State two({torch::zeros({1, 3}), torch::zeros({1, 2})});
  const auto sentence = [&](const FixedPointMap& f) {
    try {
      run("fixed_point", f, two, {});
    } catch (const std::invalid_argument& refused) {
      return std::string(refused.what());
    }
    return std::string();
  };
  EXPECT_NE(sentence({[](const State& z) { return State({z[1], z[0]}); }}).find("tensor 0"), std::string::npos);
  EXPECT_NE(sentence({[](const State& z) { return State({z[0], z[1].to(torch::kFloat64)}); }}).find("tensor 1"), std::string::npos);
  EXPECT_NE(sentence({[](const State& z) { return State({z[0]}); }}).find("1 tensors"), std::string::npos);
}

}  // namespace
