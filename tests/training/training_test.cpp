/// \file What the training loop promises, on a small experiment.
#include "tests/training/training.hpp"

#include <chrono>
#include <cmath>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/runs/compare.hpp"
#include "core/training/console.hpp"
#include "core/training/solve_statistics.hpp"
#include "core/training/trainer.hpp"
#include "zstar/testing/matchers.hpp"

namespace {

using namespace zstar;
using test::Trained;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Steps = std::vector<std::int64_t>;

TEST(Training, AccumulatedBatchesAreTheLargeBatch) {
  const Trained large({"train.epochs=3", "train.batch_size=30"});
  const Trained parts({"train.epochs=3", "train.batch_size=8", "train.accumulate=4"});  // 8 + 8 + 8 + 6 pictures

  EXPECT_EQ(parts.steps("test").back(), 3);
  EXPECT_THAT(parts.weights(), zstar::testing::near(large.weights(), 1e-11));  // solves are exact to 1e-13, and amplified by 1/(1 − L)
}

TEST(Training, TheLastStepOfAPassHasFewerBatches) {
  const Trained run({"train.epochs=2", "train.batch_size=10", "train.accumulate=2"});  // 10 + 10, and 10

  EXPECT_EQ(run.steps("train"), (Steps{2, 4}));
}

TEST(Training, DependsOnTheSeedAloneHoweverBatchesAreLoaded) {
  const std::vector<std::string> base{"train.epochs=2", "train.batch_size=7"};
  const auto with = [&](const std::string& more) {
    auto settings = base;
    settings.push_back(more);
    return Trained(settings).weights();
  };
  const torch::Tensor weights = Trained(base).weights();

  EXPECT_TRUE(with("experiment.seed=1").equal(weights));
  EXPECT_TRUE(with("train.prefetch=0").equal(weights));
  EXPECT_TRUE(with("train.loader_threads=3").equal(weights));
  EXPECT_FALSE(with("experiment.seed=2").equal(weights));
}

TEST(Training, Y18EvaluatesAfterEpochsStepsAndAtTheEnd) {
  EXPECT_EQ(Trained({"train.epochs=5", "train.batch_size=10", "train.eval_every=2"}).steps("test"), (Steps{6, 12, 15}));
  EXPECT_EQ(Trained({"train.steps=8", "train.epochs=9", "train.batch_size=10", "train.eval_every=0", "train.eval_every_steps=3"}).steps("validation"), (Steps{3, 6, 8}));
  EXPECT_EQ(Trained({"train.epochs=2", "train.batch_size=30", "train.eval_every=0"}).steps("test"), (Steps{2}));
}

TEST(Training, StopsEarlyWhenTheMetricNoLongerRises) {
  const Trained run({"train.epochs=50", "train.batch_size=30", "train.patience=3", "optimizer.lr=0.0"});  // nothing is learned

  EXPECT_EQ(run.steps("validation"), (Steps{1, 2, 3, 4}));  // the first is the best
}

TEST(Training, KeepsTheLastCheckpointsAndTheBest) {
  const Trained run({"train.epochs=6", "train.batch_size=30", "train.keep_last=3", "train.checkpoint_every=1"});
  std::vector<std::string> names;
  for (const auto& file : runs::checkpoints(run.run)) names.push_back(file.filename().string());

  EXPECT_THAT(names, ElementsAre("step-000000006.ckpt", "step-000000005.ckpt", "step-000000004.ckpt"));
  EXPECT_TRUE(test::fs::exists(run.run / "checkpoints/best.ckpt"));
}

TEST(Training, KeepsAsTheBestOfEqualMetricsTheOneWithTheSmallestLoss) {
  const Trained run({"train.epochs=12", "train.batch_size=30", "optimizer.lr=0.02"});
  const auto records = run.records("validation");
  const auto better = [](const auto& a, const auto& b) { return a["accuracy"] != b["accuracy"] ? a["accuracy"] < b["accuracy"] : a["loss"] > b["loss"]; };
  const auto best = *std::max_element(records.begin(), records.end(), better);
  const auto first = *std::find_if(records.begin(), records.end(), [&best](const auto& r) { return r["accuracy"] == best["accuracy"]; });
  ASSERT_NE(first["step"], best["step"]) << "no two evaluations are equally accurate; choose other settings";

  EXPECT_EQ(nlohmann::json::parse(runs::load(run.run / "checkpoints/best.ckpt").state)["step"], best["step"]);
}

TEST(Training, EvaluatesTheAveragedWeightsAndTrainsTheOthers) {
  const Trained plain({"train.epochs=4", "train.batch_size=10"}), averaged({"train.epochs=4", "train.batch_size=10", "train.ema=0.9"});

  EXPECT_TRUE(averaged.weights().equal(plain.weights()));
  EXPECT_NE(averaged.records("test").back()["loss"].get<double>(), plain.records("test").back()["loss"].get<double>());
}

TEST(Training, StartsFromTheWeightsOfAnotherRun) {
  const Trained first({"train.epochs=2", "train.batch_size=10"});
  const std::string last = runs::checkpoints(first.run).front().string();
  const Trained next({"train.epochs=1", "train.batch_size=30", "experiment.seed=2", "optimizer.lr=0.0", "train.weights=" + last});  // a rate of zero: nothing is learned

  EXPECT_TRUE(next.weights().equal(first.weights()));
}

TEST(Training, StopsSkipsOrWarnsWhenALossIsNotFinite) {
  const auto diverging = [](const std::string& what) {  // the first step makes weights whose gradient is infinite
    return std::vector<std::string>{"train.epochs=3", "train.batch_size=30", "experiment.dtype=float32", "optimizer={ name = \"sgd\", lr = 1e30, weight_decay = 1e6 }", "train.on_divergence=" + what};
  };
  const Trained stopped(diverging("stop")), skipped(diverging("skip")), warned(diverging("warn"));

  EXPECT_THAT(stopped.failure, HasSubstr("is not finite\n  remedy: lower the learning rate"));
  EXPECT_EQ(skipped.failure, "");
  EXPECT_EQ(skipped.records("train").back()["skipped_steps"].get<double>(), 2);
  EXPECT_THAT(skipped.said, Not(HasSubstr("warning: step")));
  EXPECT_THAT(warned.said, HasSubstr("or its gradient is not finite; the step was left out"));
}

TEST(Training, RecordsWhatTheSolvesCost) {
  const Trained run({"train.epochs=2", "train.batch_size=10", "solver.max_evaluations=3"});
  const auto record = run.records("train").front();

  for (const char* key : {"epoch", "lr", "loss", "seconds_data", "seconds_forward", "seconds_backward", "samples_per_second", "skipped_steps", "forward_evaluations",
                          "forward_residual_median", "forward_residual_p90", "forward_residual_max", "backward_evaluations", "backward_residual_max"})
    EXPECT_TRUE(record.contains(key)) << key;
  EXPECT_EQ(record["forward_evaluations"].get<double>(), 3);
  EXPECT_EQ(record["forward_budget"].get<double>(), 30);  // every picture ran out of evaluations
  EXPECT_EQ(record["forward_converged"].get<double>(), 0);
  EXPECT_THAT(run.said, HasSubstr("forward   solves: 100 % budget"));
  std::ifstream csv(run.run / "metrics.csv");
  std::string header;
  std::getline(csv, header);
  EXPECT_THAT(header, HasSubstr("kind,step,epoch,lr,loss"));
  for (const char* file : {"curves.gp", "curves.dat", "summary.json", "run.json", "experiment.toml"}) EXPECT_TRUE(test::fs::exists(run.run / file)) << file;
}

/// A penalty that weighs nothing is not computed: it would ask for derivatives of derivatives.
TEST(Training, Z15PenaltiesAreComputedInTheStepsThatHaveThem) {
  for (const auto& [how, there] : {std::pair("weight = 0.0", false), std::pair("chance = 0.0", false), std::pair("weight = 0.1", true)}) {
    const Trained run({"train.epochs=1", "train.batch_size=30", std::string("regularizers=[{ name = \"jacobian\", ") + how + " }]"});
    EXPECT_EQ(run.failure, "") << how;
    EXPECT_EQ(run.records("train").front().contains("regularizer_jacobian"), there) << how;
  }
}

TEST(Training, Z28EvaluationBuildsNoGraph) {
  std::ostringstream said;
  training::Session session(test::small_experiment(), test::all_plugins(), said);
  std::vector<Solved> solves;
  session.layer().record_into(&solves);
  training::evaluate_split(session, Split::test, 10);
  session.layer().record_into(nullptr);
  ASSERT_EQ(solves.size(), 1u);
  EXPECT_FALSE(solves[0].equilibrium.z()[0].requires_grad());
  EXPECT_EQ(solves[0].equilibrium.gradient_evaluations, 0);
}

TEST(Training, SaysNoResidualWhereNoneWasMeasured) {  // all steps on the graph, none in the solver
  const std::vector<std::string> settings{"train.epochs=1", "train.batch_size=10", "solver.max_evaluations=0", "gradient.name=phantom"};

  const Trained run(settings);
  EXPECT_THAT(run.said, AllOf(HasSubstr("evaluations   0.0 "), Not(HasSubstr("nan")), HasSubstr("forward   solves: none, the solver evaluated nothing\n")));
  EXPECT_EQ(run.records("train").front()["forward_budget"].get<double>(), 0);  // and no solve ran out of anything
  EXPECT_THAT(Trained(settings, /*terminal=*/true).said, AllOf(HasSubstr("evaluations 0.0"), Not(HasSubstr("nan"))));
}

TEST(Training, RecordsWhatSolversSayOfThemselves) {
  const auto record = Trained({"train.epochs=1", "train.batch_size=30", "solver.name=\"anderson\"", "solver.max_evaluations=6"}).records("train").front();
  EXPECT_GT(record["forward_gain"].get<double>(), 0);  // Anderson's θ_k, the mean over samples and steps
  EXPECT_LE(record["forward_gain"].get<double>(), 1);
  const auto chain = Trained({"train.epochs=1", "train.batch_size=30", "solver.name=\"chain\"", "solver.solvers=[{name=\"fixed_point\"}, {name=\"anderson\"}]"}).records("train").front();
  EXPECT_GE(chain["forward_solver"].get<double>(), 1);
  EXPECT_LE(chain["forward_solver"].get<double>(), 2);
}

TEST(Training, SamplesThatHaveStoppedSayNothingOfTheStepsThatFollow) {
  const auto record = [](const std::string& finished, const std::vector<std::string>& more) {
    std::vector<std::string> settings{"train.epochs=1", "train.batch_size=30", "solver.tolerance=1e-3", "solver.max_evaluations=60", "solver.finished=\"" + finished + "\""};
    settings.insert(settings.end(), more.begin(), more.end());
    return Trained(settings).records("train").front();
  };
  const std::vector<std::string> anderson{"solver.name=\"anderson\""}, chain{"solver.name=\"chain\"", "solver.patience=1", "solver.solvers=[{name=\"fixed_point\"}, {name=\"anderson\"}]"};
  const auto frozen = record("mask", anderson), left = record("compact", anderson);
  ASSERT_NE(frozen["forward_evaluations"].get<double>(), std::round(frozen["forward_evaluations"].get<double>())) << "all samples stop together; choose another tolerance";
  EXPECT_NEAR(frozen["forward_gain"].get<double>(), left["forward_gain"].get<double>(), 1e-12);
  EXPECT_EQ(record("mask", chain)["forward_solver"], record("compact", chain)["forward_solver"]);
}

TEST(Training, WhatSolversSayOfThemselvesIsPartOfACheckpoint) {
  Report report;
  report.relative = {1e-6, 1e-6}, report.evaluations = {3, 3}, report.reasons.assign(2, Reason::converged), report.residual = report.relative, report.calls = 3;
  report.statistics = {{"gain", torch::tensor({{0.5, 0.25}, {0.75, std::nan("")}}, torch::kFloat64)}, {"solver", torch::tensor({1, 2})}, {"odd", torch::zeros({7})}};
  Equilibrium e;
  e.forward = {report};
  training::SolveStatistics before, after;
  before.add({{FixedPointMap(), e}});
  runs::Checkpoint checkpoint;
  before.save(checkpoint);
  after.load(checkpoint);
  runs::Record one, two;
  before.flush(one), after.flush(two);
  EXPECT_EQ(one.numbers, two.numbers);
  const auto number = [&](const std::string& name) {
    for (const auto& [key, value] : two.numbers)
      if (key == name) return value;
    return -1.0;
  };
  EXPECT_EQ(number("forward_gain"), 0.5);
  EXPECT_EQ(number("forward_solver"), 1.5);
  EXPECT_EQ(number("forward_odd"), -1);
}

TEST(Training, AStepAfterTheLastEvaluationOfASampleIsNotCounted) {
  Report report;
  report.relative = {1e-6, 1e-6, 1e-6}, report.evaluations = {4, 3, 1}, report.reasons.assign(3, Reason::converged), report.residual = report.relative, report.calls = 4;
  report.statistics = {{"gain", torch::tensor({{0.5, 0.25, 0.75}, {0.5, 0.25, 8.0}, {8.0, 8.0, 8.0}}, torch::kFloat64)}};  // the step to the second evaluation, and on
  Equilibrium e;
  e.forward = {report};
  training::SolveStatistics statistics;
  statistics.add({{FixedPointMap(), e}});
  runs::Record record;
  statistics.flush(record);
  for (const auto& [name, value] : record.numbers)
    if (name == "forward_gain") {
      EXPECT_DOUBLE_EQ(value, 0.45);
    }
}

TEST(Training, RecordsTheBackwardSideOfMethodsThatSolveNothing) {
  const auto phantom = [](const std::string& more) {
    return Trained({"train.epochs=1", "train.batch_size=30", "gradient.name=\"phantom\"", "gradient.steps=[3]", more}).records("train").front();
  };
  const auto plain = phantom("gradient.residual=false"), measured = phantom("gradient.residual=true");
  EXPECT_EQ(plain["backward_evaluations"].get<double>(), 3);
  EXPECT_EQ(plain["backward_budget"].get<double>(), 30);
  EXPECT_FALSE(plain.contains("backward_residual_max"));  // nothing was measured
  EXPECT_EQ(measured["backward_evaluations"].get<double>(), 4);
  EXPECT_GT(measured["backward_residual_max"].get<double>(), 0);
  EXPECT_EQ(plain["loss"], measured["loss"]);
}

TEST(Training, LeavesAnOutcomeThatRunsAndCompareRead) {
  const Trained run({"train.epochs=2", "train.batch_size=10"});
  const auto outcome = runs::outcome(run.run);

  EXPECT_EQ(outcome.state, "done");
  EXPECT_EQ(outcome.step, 6);
  EXPECT_THAT(outcome.headline, HasSubstr("test accuracy "));
  std::vector<std::string> names;
  for (const auto& [name, value] : outcome.numbers) names.push_back(name);
  EXPECT_THAT(names, ::testing::IsSupersetOf({"validation accuracy", "test accuracy", "steps", "seconds"}));
}

TEST(Training, DrawsTheQuantitiesThatAreAskedForAlone) {
  const Trained run({"train.epochs=1", "train.batch_size=10"});
  const auto data = [&](const std::vector<std::string>& only) {
    runs::draw_comparison({run.run}, run.folder / "c.svg", only);
    std::ifstream in(run.folder / "c.dat");
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_THAT(data({"loss"}), AllOf(HasSubstr("# train loss"), Not(HasSubstr("accuracy"))));
  EXPECT_THAT(data({}), AllOf(HasSubstr("# train loss"), HasSubstr("# test accuracy")));
  EXPECT_THAT(runs::draw_comparison({run.run}, run.folder / "d.svg", {"los"}), HasSubstr("no run has records of 'los'"));
}

TEST(Training, DrawsTheCertificatesOfGradients) {
  const Trained run({"train.epochs=3", "train.batch_size=10", "gradient.certificate=2"});
  const auto text = [&run](const char* name) {
    std::ifstream in(run.run / name);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_THAT(text("curves.dat"), HasSubstr("# gradient_error_"));
  EXPECT_THAT(text("curves.gp"), HasSubstr("set logscale y\nset format y '10^{%T}'\nset ylabel 'gradient_error_"));
  runs::draw_comparison({run.run}, run.folder / "c.svg", {"gradient_sigma_min"});  // what is not drawn unasked
  std::ifstream in(run.folder / "c.dat");
  EXPECT_THAT(std::string(std::istreambuf_iterator<char>(in), {}), HasSubstr("# train gradient_sigma_min"));
}

TEST(Training, ShowsABarOnATerminalAndPlainLinesElsewhere) {
  const std::vector<std::string> settings{"train.epochs=2", "train.batch_size=10"};

  const std::string bar = Trained(settings, /*terminal=*/true).said;
  EXPECT_THAT(bar, HasSubstr("\r\033[K["));
  for (const char* word : {"loss", "evaluations", "residual", "samples/s", "ETA"}) EXPECT_THAT(bar, HasSubstr(word));
  EXPECT_THAT(Trained(settings).said, Not(HasSubstr("\r")));
}

TEST(Console, ReckonsTheTimeLeftFromTheStepsThatItSaw) {  // a resumed run begins far from 0
  std::ostringstream out;
  training::Console console(out, /*terminal=*/true);
  console.progress(900, 1000, "a");
  EXPECT_THAT(out.str(), HasSubstr("90 % a  ETA -:--"));
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  console.progress(990, 1000, "b");
  EXPECT_THAT(out.str(), HasSubstr("99 % b  ETA 0:00"));
}

TEST(Console, ItsTableHasTheMetricsOfEverySplitUnderTheirNames) {
  const std::string table = training::table_of({{"train", {{"epe", 1}, {"loss", 2}}}, {"validation", {{"epe", 3}, {"final_epe", NAN}, {"loss", 4}}}}, "best");

  EXPECT_EQ(table, "\nbest                 epe        loss   final_epe\n"
                   "train             1.0000      2.0000           -\n"
                   "validation        3.0000      4.0000         nan\n\n");
}

TEST(Console, LeavesOutTheLastFieldsWhereColumnsAreFew) {
  const auto shown = [](std::size_t columns) {
    std::ostringstream out;
    training::Console(out, /*terminal=*/true, [columns] { return columns; }).progress(50, 100, "step 50  μ 0.5  1.0 samples/s");
    return out.str();
  };
  const std::string all = "\r\033[K[============            ]  50 % step 50  μ 0.5  1.0 samples/s  ETA -:--";  // 72 characters
  EXPECT_EQ(shown(0), all);
  EXPECT_EQ(shown(73), all);
  EXPECT_EQ(shown(72), "\r\033[K[============            ]  50 % step 50  μ 0.5  ETA -:--");
  EXPECT_EQ(shown(20), "\r\033[K[============      ");
}

TEST(Table, KeepsItsNumbersApart) {
  const std::string said = Trained({"train.epochs=2", "train.batch_size=30", "optimizer.lr=1e20"}).said;
  const auto words = [](const std::string& line) {
    std::istringstream in(line);
    return std::distance(std::istream_iterator<std::string>(in), {});
  };
  std::istringstream lines(said.substr(said.find("\nbest ") + 1));
  std::string head, row;
  std::getline(lines, head), std::getline(lines, row);
  EXPECT_EQ(words(row), words(head)) << said;
}

}  // namespace
