#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

#include "cohorts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;
using Parts = std::vector<Part>;

solve::Outcome run(const std::string& name, const FixedPointMap& f, const Tensor& z0, const solve::Options& o, const Settings& settings) {
  const auto solver = make_solver(name, settings);
  return solve::solve(*solver, name, f, State(z0), o);
}

std::vector<std::int64_t> solvers_of(const solve::Outcome& out) {
  const Tensor t = out.report.statistics.at(0).second;
  return {t.data_ptr<std::int64_t>(), t.data_ptr<std::int64_t>() + t.numel()};
}

/// Rows with slopes of their own: z ↦ a_b z + 1.
FixedPointMap slopes(std::initializer_list<double> a) {
  const Tensor rows = torch::tensor(std::vector<double>(a), torch::kFloat64).unsqueeze(1);
  return {[](const State& z, const std::vector<Tensor>& t) { return State(t[0] * z[0] + 1); }, {{rows, 0}}, /*samples_independent=*/true};
}

TEST(Chain, EachSampleIsSolvedByTheFirstThatCan) {  // Picard contracts only row 0
  const Settings chain{{"solvers", Parts{{"fixed_point", {}}, {"fixed_point", {{"beta", 0.3}}}, {"newton_krylov", {}}}}};
  for (const char* finished : {"mask", "compact"}) {
    const auto out = run("chain", slopes({0.5, -4.0, 3.0}), torch::zeros({3, 2}, torch::kFloat64),
                         {.tolerance = 1e-10, .max_evaluations = 150, .finished = finished}, chain);
    for (const Reason reason : out.report.reasons) EXPECT_EQ(reason, Reason::converged) << finished;
    EXPECT_EQ(solvers_of(out), (std::vector<std::int64_t>{1, 2, 3})) << finished;
    EXPECT_NEAR(out.z[0][2][0].item<double>(), -0.5, 1e-8);
  }
}

TEST(Chain, ASampleThatHasStoppedStaysWithTheSolverThatSolvedIt) {  // others go on for longer than the patience of 10
  const Settings chain{{"solvers", Parts{{"fixed_point", {}}, {"newton_krylov", {}}}}};
  for (const double start : {1.0, 0.0})  // row 1 gets there exactly, so that its proposals no longer move
    for (const char* finished : {"mask", "compact"}) {
      const auto out = run("chain", slopes({0.5, 0.0, 0.9}), torch::full({3, 2}, start, torch::kFloat64), {.tolerance = 1e-3, .max_evaluations = 150, .finished = finished}, chain);
      for (const Reason reason : out.report.reasons) EXPECT_EQ(reason, Reason::converged) << finished;
      EXPECT_GT(out.report.calls, out.report.evaluations[0] + 10);
      EXPECT_EQ(solvers_of(out), (std::vector<std::int64_t>{1, 1, 1})) << finished;
    }
}

TEST(Chain, TheNextSolverStartsFromTheBestIterateWithoutRepeatingIt) {
  const FixedPointMap f = slopes({-3.0});
  const auto out = run("chain", f, torch::full({1, 1}, 0.2, torch::kFloat64), {.tolerance = 0, .max_evaluations = 6, .select = "last"},
                       {{"solvers", Parts{{"fixed_point", {}}, {"fixed_point", {{"beta", 0.25}}}}}, {"growth", 5.0}});
  // residuals 0.2, −0.6, 1.8 > 5 · 0.2: the second solver steps from z = 0.2 to 0.2 + 0.2/4, which is the solution
  EXPECT_NEAR(out.report.trace.absolute[2], 1.8, 1e-12);
  EXPECT_NEAR(out.report.trace.absolute[3], 0, 1e-12);
}

TEST(Chain, EverySolveBeginsWithTheFirstSolver) {
  const auto solver = make_solver("chain", {{"solvers", Parts{{"fixed_point", {}}, {"newton_krylov", {}}}}});
  const solve::Options o{.tolerance = 1e-10, .max_evaluations = 60};
  for (int pass = 0; pass < 2; ++pass) {
    const auto hard = solve::solve(*solver, "chain", slopes({-3.0}), State(torch::ones({1, 2}, torch::kFloat64)), o);
    EXPECT_EQ(solvers_of(hard), (std::vector<std::int64_t>{2}));
    const auto easy = solve::solve(*solver, "chain", slopes({0.5}), State(torch::zeros({1, 2}, torch::kFloat64)), o);
    EXPECT_EQ(solvers_of(easy), (std::vector<std::int64_t>{1}));
    EXPECT_NEAR(easy.report.trace.absolute[1] / easy.report.trace.absolute[0], 0.5, 1e-12);  // a plain step
  }
}

TEST(Chain, ANonFiniteImageGoesToTheNextSolver) {
  int calls = 0;
  const FixedPointMap f([&calls](const State& z) {
    return ++calls == 4 ? State(torch::full_like(z[0], NAN)) : State(0.9 * z[0] + 1);
  });
  const auto out = run("chain", f, torch::zeros({2, 3}, torch::kFloat64), {.tolerance = 1e-6, .max_evaluations = 80},
                       {{"solvers", Parts{{"fixed_point", {}}, {"anderson", {}}}}});
  EXPECT_EQ(out.report.reasons[0], Reason::converged);
  EXPECT_EQ(solvers_of(out), (std::vector<std::int64_t>{2, 2}));
}

TEST(Chain, SamplesAreSolvedAsIfTheyWereAlone) {
  const Settings chain{{"solvers", Parts{{"fixed_point", {}}, {"anderson", {}}}}, {"patience", std::int64_t{3}}, {"growth", 2.0}};
  const TanhMap f(4, 6, 3.0, 5);
  const solve::Options o{.tolerance = 1e-9, .max_evaluations = 150, .finished = "compact"};
  const auto all = run("chain", f.map(), torch::zeros({4, 6}, torch::kFloat64), o, chain);
  for (std::int64_t b = 0; b < 4; ++b) {
    const auto alone = run("chain", f.map().at_rows(torch::tensor({b})), torch::zeros({1, 6}, torch::kFloat64), o, chain);
    EXPECT_EQ(alone.report.evaluations[0], all.report.evaluations[static_cast<std::size_t>(b)]) << b;
    EXPECT_LT((alone.z[0][0] - all.z[0][b]).abs().max().item<double>(), 1e-10) << b;
  }
}

TEST(Restart, EveryKIsTheInnerSolverBegunAgain) {
  const AffineMap f{matrix_of_norm(6, 0.9, 1), randn({2, 6}, 2)};
  const auto out = run("restart", f.map(), torch::zeros({2, 6}, torch::kFloat64), {.tolerance = 0, .max_evaluations = 7, .select = "last"},
                       {{"every", std::int64_t{3}}, {"growth", 1e6}});
  Tensor z = torch::zeros({2, 6}, torch::kFloat64);
  for (int cycle = 0; cycle < 2; ++cycle) {
    const auto solver = make_solver("anderson");
    solver->begin(2, 6);
    for (int k = 0; k < 3; ++k) z = solver->propose(z, f(z));
  }
  EXPECT_LT(relative_error(out.z[0], z), 1e-13);
}

/// A solver that is wild after two steps: it must not be taken at its word.
const Part wild{"anderson", {{"beta", 2.0}, {"growth", 1e9}}};

TEST(Safeguard, ABoundThatAllowsNothingMakesPlainSteps) {
  const AffineMap f{matrix_of_norm(6, 0.9, 3), randn({1, 6}, 4)};
  const auto out = run("safeguard", f.map(), torch::zeros({1, 6}, torch::kFloat64), {.tolerance = 0, .max_evaluations = 5, .select = "last"},
                       {{"solver", Parts{wild}}, {"safeguard", 1e-9}, {"beta", 0.25}});
  Tensor z = torch::zeros({1, 6}, torch::kFloat64);
  for (int k = 0; k < 4; ++k) z = 0.75 * z + 0.25 * f(z);
  EXPECT_LT(relative_error(out.z[0], z), 1e-14);
}

TEST(Safeguard, LongStepsAreNotTaken) {
  const AffineMap f{torch::full({1, 1}, 0.999, torch::kFloat64), torch::ones({1, 1}, torch::kFloat64)};
  const auto out = run("safeguard", f.map(), torch::zeros({1, 1}, torch::kFloat64), {.tolerance = 0, .max_evaluations = 4, .select = "last"},
                       {{"longest", 10.0}, {"beta", 1.0}});
  EXPECT_LT(out.z[0].item<double>(), 4.0);  // the secant step is to 1000
}

TEST(Delay, TheInnerSolverKnowsNothingOfTheStepsBefore) {
  const AffineMap f{matrix_of_norm(6, 0.9, 5), randn({1, 6}, 6)};
  const auto out = run("delay", f.map(), torch::zeros({1, 6}, torch::kFloat64), {.tolerance = 0, .max_evaluations = 5, .select = "last"},
                       {{"steps", std::int64_t{2}}});
  Tensor z = f(f(torch::zeros({1, 6}, torch::kFloat64)));
  const auto solver = make_solver("anderson");
  solver->begin(1, 6);
  for (int k = 0; k < 2; ++k) z = solver->propose(z, f(z));
  EXPECT_LT(relative_error(out.z[0], z), 1e-14);
}

TEST(DampingSchedule, BetaGoesFromTheFirstToTheLast) {
  for (const char* shape : {"linear", "cosine", "geometric"}) {
    const auto solver = make_solver("damping_schedule", {{"solver", Parts{{"fixed_point", {}}}}, {"from", 0.25}, {"to", 1.0}, {"steps", std::int64_t{2}}, {"shape", std::string(shape)}});
    solver->begin(1, 1);
    const Tensor z = torch::zeros({1, 1}, torch::kFloat64), one = torch::ones({1, 1}, torch::kFloat64);
    const double middle = std::string(shape) == "geometric" ? 0.5 : 0.625;
    for (const double beta : {0.25, middle, 1.0, 1.0}) EXPECT_NEAR(solver->propose(z, one).item<double>(), beta, 1e-15) << shape;
  }
}

/// Where the indices of keep lie; proposals say nothing.
struct Recording final : Solver {
  std::vector<torch::Device>& seen;
  explicit Recording(std::vector<torch::Device>& devices) : seen(devices) {}
  void begin(std::int64_t, std::int64_t) override {}
  Tensor propose(const Tensor&, const Tensor& fz) override { return fz; }
  void keep(const Tensor& rows) override { seen.push_back(rows.device()); }
};

TEST(Compose, SamplesThatStayAreNamedOnTheDeviceOfTheState) {  // the meta device stands for any that is not the host
  std::vector<torch::Device> seen;
  zstar_compose::Cohorts cohorts([&seen](std::size_t) { return std::make_unique<Recording>(seen); });
  cohorts.begin(4, 3);
  const Tensor z = torch::zeros({4, 3}, torch::TensorOptions(torch::kMeta));
  cohorts.propose(z, z);
  cohorts.move({1}, 0);
  cohorts.keep(torch::tensor({0, 2}, torch::kInt64));
  EXPECT_EQ(seen, (std::vector<torch::Device>{torch::kMeta, torch::kMeta}));
}

TEST(Compose, LineSearchesOfTheInnerSolverAreInTheReport) {
  const FixedPointMap f([](const State& z) { return State(z[0] - 3 * z[0].atan()); });  // full steps from 6 overshoot
  const solve::Options o{.tolerance = 1e-10, .max_evaluations = 60, .stop = "absolute"};
  const Tensor z0 = torch::full({1, 1}, 6.0, torch::kFloat64);
  const Part search{"broyden", {{"line_search", true}}};
  const std::int64_t alone = run(search.name, f, z0, o, search.settings).report.line_search_calls;
  EXPECT_GT(alone, 0);
  const std::vector<std::pair<const char*, Settings>> transparent{{"chain", {{"solvers", Parts{search}}, {"growth", 1e9}, {"patience", std::int64_t{60}}}},
                                                                  {"restart", {{"solver", Parts{search}}, {"growth", 1e9}}},
                                                                  {"safeguard", {{"solver", Parts{search}}, {"growth", 1e9}, {"safeguard", 1e9}}},
                                                                  {"delay", {{"solver", Parts{search}}, {"steps", std::int64_t{0}}}},
                                                                  {"damping_schedule", {{"solver", Parts{search}}, {"from", 1.0}}}};
  for (const auto& [name, settings] : transparent) EXPECT_EQ(run(name, f, z0, o, settings).report.line_search_calls, alone) << name;
  const Settings nested{{"solvers", Parts{{"restart", transparent[1].second}}}, {"growth", 1e9}, {"patience", std::int64_t{60}}};
  EXPECT_EQ(run("chain", f, z0, o, nested).report.line_search_calls, alone);
}

/// Stands at a shortened step whenever it is asked.
struct Searching final : Solver, Statistics {
  LineSearchCalls calls;
  void* query(std::string_view id) override { return id == Statistics::id ? static_cast<Statistics*>(this) : nullptr; }
  std::vector<std::pair<std::string, Tensor>> statistics() override { return {calls.statistic()}; }
  void begin(std::int64_t, std::int64_t) override { calls.clear(); }
  Tensor propose(const Tensor&, const Tensor& fz) override { return calls.count(torch::ones({1}, torch::kBool)), fz; }
  void keep(const Tensor&) override {}
};

TEST(Compose, ACallAtWhichSeveralCopiesSearchIsCountedOnceAndNoneIsForgotten) {
  zstar_compose::Cohorts cohorts([](std::size_t) { return std::make_unique<Searching>(); });
  const Tensor z = torch::zeros({3, 2});
  const auto calls = [&cohorts] { return cohorts.line_searches().second.item<std::int64_t>(); };
  for (int solve = 0; solve < 2; ++solve) {
    cohorts.begin(3, 2);
    EXPECT_EQ(calls(), 0);
    cohorts.propose(z, z);
    cohorts.move({1}, 0);
    cohorts.propose(z, z);
    EXPECT_EQ(calls(), 2);
    cohorts.move({0, 2}, 0);  // the first copy is no more
    cohorts.propose(z, z);
    EXPECT_EQ(calls(), 3);
  }
}

TEST(Compose, ASolverThatChoosesItsEvaluationsIsRefused) {
  for (const char* name : {"restart", "safeguard", "delay", "damping_schedule"}) {
    try {
      make_solver(name, {{"solver", Parts{{"torchdeq_anderson", {}}}}});
      FAIL() << name;
    } catch (const std::exception& error) {
      EXPECT_NE(std::string(error.what()).find("chooses its own evaluations"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
