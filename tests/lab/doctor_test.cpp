/// \file The doctor: models with one known fault each are named rightly, healthy ones are left in peace.
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/training/doctor.hpp"
#include "tests/lab/lab.hpp"
#include "tests/support/process.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;
using training::Finding;
using training::Verdict;

training::Diagnosis diagnosed(const experiment::Experiment& experiment) {
  std::ostringstream warnings;
  return training::diagnose(experiment, lab_plugins(), {}, warnings);
}

/// The diseases found, and the answers behind them.
std::vector<std::string> diseases(const training::Diagnosis& diagnosis) {
  std::vector<std::string> names;
  for (const Finding& f : diagnosis.findings)
    if (f.verdict == Verdict::sick) names.push_back(f.disease);
  return names;
}

std::string answers(const training::Diagnosis& diagnosis) {
  std::string text;
  for (const Finding& f : diagnosis.findings) text += std::string(training::name_of(f.verdict)) + "  " + f.check + "  " + f.number + "\n";
  return text;
}

struct Case {
  const char *disease, *kind;
  std::vector<std::string> overrides;
};

const Case sick_cases[] = {
    {"random", "random", {}},
    {"nonfinite", "nonfinite", {}},
    {"batch_mates", "batch_mates", {}},
    {"identity", "identity", {}},
    {"precision", "tanh", {"solver.tolerance=1e-9"}},
    {"budget", "stiff", {"solver.name=\"fixed_point\""}},
    {"diverging", "expansive", {"solver.name=\"fixed_point\""}},
    {"drifting", "drifting", {"solver.name=\"fixed_point\""}},
    {"marginal", "marginal", {"solver.name=\"fixed_point\""}},
    {"lazy", "lazy", {}},
    {"fold", "fold", {}},
    {"several_equilibria", "several", {}},
    {"input_ignored", "deaf", {}},
    {"unreached", "unreached", {}},
    {"wrong_gradient", "stiff", {"gradient.name=\"jacobian_free\""}},
    {"evaluation_budget", "stiff", {"solver.eval_max_evaluations=3"}},
};

class Diseases : public ::testing::TestWithParam<Case> {};

TEST_P(Diseases, AreNamedRightly) {
  const auto diagnosis = diagnosed(lab_experiment(GetParam().kind, GetParam().overrides));
  EXPECT_THAT(diseases(diagnosis), ::testing::ElementsAre(GetParam().disease)) << answers(diagnosis);
  for (const Finding& f : diagnosis.findings) EXPECT_EQ(f.verdict == Verdict::sick, !f.remedy.empty()) << f.check;
}

INSTANTIATE_TEST_SUITE_P(Doctor, Diseases, ::testing::ValuesIn(sick_cases), [](const auto& info) { return std::string(info.param.disease); });

/// What looks like another disease.
struct LookAlike {
  const char *name, *disease, *kind, *words;  ///< words: of the sentence or the remedy
  std::vector<std::string> overrides;
};

const LookAlike look_alikes[] = {
    {"AnAdjointThatDiverges", "wrong_gradient", "expansive", "the adjoint solve by 'fixed_point' fails for 16 of 16 samples",
     {"solver.name=\"broyden\"", "gradient.solver={name=\"fixed_point\",max_evaluations=60}"}},
    {"AnAdjointOfOneEvaluation", "wrong_gradient", "tanh", "raise gradient.solver.max_evaluations", {"gradient.solver={name=\"fixed_point\",max_evaluations=1}"}},
    {"FailedSamplesAtZero", "wrong_gradient", "stiff", "16 of 16 samples (budget", {"gradient.solver={name=\"fixed_point\",max_evaluations=3}", "gradient.failed_samples=\"zero\""}},
    {"FailedSamplesDropped", "wrong_gradient", "stiff", "16 of 16 samples (budget", {"gradient.solver={name=\"fixed_point\",max_evaluations=3}", "gradient.failed_samples=\"drop\""}},
    {"IterationThatStandsStill", "wrong_solver", "tanh", "plain iteration solves it", {"solver={name=\"fixed_point\",beta=0.0,tolerance=1e-5,max_evaluations=60}"}},
    {"IterationThatOvershoots", "wrong_solver", "tanh", "plain iteration solves it", {"solver={name=\"fixed_point\",beta=2.0,divergence=1.01,tolerance=1e-5,max_evaluations=60}"}},
    {"CropWithoutMixing", "wrong_solver", "stiff", "plain iteration solves it", {"solver={name=\"crop\",beta=0.0,tolerance=1e-5,max_evaluations=60}"}},
    {"LittlePatience", "stalled", "tanh", "widen solver.stall_window", {"solver={name=\"newton_krylov\",stall_window=3,tolerance=1e-5,max_evaluations=60}"}},
    {"AResidualThatGrowsFirst", "diverged", "growing", "raise solver.divergence", {"solver={name=\"fixed_point\",divergence=1.1,tolerance=1e-5,max_evaluations=60}"}},
    {"AndersonWhereFIsExpansive", "diverging", "expansive", "(broyden, newton_krylov)", {"solver={name=\"anderson\",tolerance=1e-5,max_evaluations=60}"}},
    {"AChainThatHasNewtonKrylov", "diverging", "expansive", "(broyden)", {"solver={name=\"chain\",tolerance=1e-5,max_evaluations=60}"}},
    {"ADriftThatWasFollowedFar", "fold", "drifting", "nearly singular", {"solver={name=\"crop\",tolerance=1e-5,max_evaluations=60}"}},
    {"DeafAtALooseTolerance", "input_ignored", "deaf", "the same whatever the input", {"solver.tolerance=0.05"}},
    {"SeveralAtALooseTolerance", "several_equilibria", "several", "where the solve begins", {"solver.tolerance=0.03"}},
};

class LookAlikes : public ::testing::TestWithParam<LookAlike> {};

TEST_P(LookAlikes, AreToldApart) {
  const auto diagnosis = diagnosed(lab_experiment(GetParam().kind, GetParam().overrides));
  ASSERT_THAT(diseases(diagnosis), ::testing::ElementsAre(GetParam().disease)) << answers(diagnosis);
  for (const Finding& f : diagnosis.findings)
    if (!f.disease.empty()) { EXPECT_THAT(f.sentence + "; " + f.remedy, ::testing::HasSubstr(GetParam().words)); }
}

INSTANTIATE_TEST_SUITE_P(Doctor, LookAlikes, ::testing::ValuesIn(look_alikes), [](const auto& info) { return std::string(info.param.name); });

void expect_healthy(const experiment::Experiment& experiment) {
  const auto diagnosis = diagnosed(experiment);
  EXPECT_FALSE(diagnosis.sick()) << answers(diagnosis);
  for (const Finding& f : diagnosis.findings) EXPECT_NE(f.verdict, Verdict::note) << f.check << ": " << f.number;
}

TEST(Doctor, LeavesTheBoundedLayerInPeace) { expect_healthy(lab_experiment("tanh")); }
TEST(Doctor, LeavesAStiffMapWithItsAcceleratorInPeace) { expect_healthy(lab_experiment("stiff")); }
TEST(Doctor, LeavesAnExpansiveMapThatBroydenSolvesInPeace) { expect_healthy(lab_experiment("expansive", {"solver.name=\"broyden\""})); }

TEST(Doctor, LeavesAFixedNumberOfEvaluationsInPeaceIfTheySuffice) {
  expect_healthy(lab_experiment("tanh", {"solver.tolerance=0", "solver.max_evaluations=12"}));
  EXPECT_THAT(diseases(diagnosed(lab_experiment("stiff", {"solver.tolerance=0", "solver.max_evaluations=3"}))), ::testing::ElementsAre("budget"));
}

/// With chains of four nodes.
experiment::Experiment quickstart(std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), {"experiment.threads=1", "dataset.length=4"});
  return experiment::Experiment::read(ZSTAR_SOURCE_DIR "/experiments/quickstart.toml", overrides, training::schema(), training::CatalogueTables(lab_plugins()));
}
TEST(Doctor, LeavesTheQuickstartInPeace) { expect_healthy(quickstart({"dataset.length=20"})); }

TEST(Doctor, LeavesLooseTolerancesInPeace) {
  for (const char* tolerance : {"0.01", "0.03", "0.05", "0.1"}) {
    SCOPED_TRACE(tolerance);
    expect_healthy(lab_experiment("tanh", {"solver.tolerance=" + std::string(tolerance)}));
    expect_healthy(lab_experiment("growing", {"solver.tolerance=" + std::string(tolerance)}));  // f moves what lies far away by a small part of its size
    expect_healthy(quickstart({"solver.tolerance=" + std::string(tolerance)}));
  }
}

TEST(Doctor, LeavesOtherMeasuresOfTheResidualInPeace) {
  for (const char* tolerance : {"1e-6", "1e-7"}) expect_healthy(quickstart({"solver.stop=\"absolute\"", "solver.measure=\"rms\"", "solver.tolerance=" + std::string(tolerance)}));
  expect_healthy(quickstart({"solver.stop=\"any\"", "solver.tolerance=1e-9", "solver.absolute_tolerance=1e-3"}));
}

/// Two and three solves of one call are one solve: it begins with the first and spends what all of them spend.
TEST(Doctor, LeavesSlicedSolvesInPeaceAndCountsThemTogether) {
  const std::string sliced = "gradient={name=\"phantom\",form=\"sliced\",states=3}";
  expect_healthy(quickstart({sliced}));
  const auto diagnosis = diagnosed(lab_experiment("tanh", {sliced, "solver={name=\"fixed_point\",tolerance=0,max_evaluations=9}"}));
  EXPECT_THAT(answers(diagnosis), ::testing::HasSubstr("9.0 evaluations of 9"));
}

TEST(Doctor, DoesNotBeginWhereAnEarlierPassEnded) {
  expect_healthy(lab_experiment("tanh", {"start.store=\"position\""}));
  const std::vector<std::string> small{"experiment.threads=1", "dataset.size=16", "model.width=16"};  // of a model that carries its states from step to step
  expect_healthy(experiment::Experiment::read(ZSTAR_SOURCE_DIR "/experiments/inr_zone_plate.toml", small, training::schema(), training::CatalogueTables(lab_plugins())));
}

TEST(Doctor, SaysThatAResidualWasNotMeasured) {
  const auto diagnosis = diagnosed(lab_experiment("tanh", {"solver={name=\"torchdeq_anderson\",max_evaluations=0}"}));
  EXPECT_THAT(answers(diagnosis), ::testing::HasSubstr("greatest residual not measured"));
}

/// A model on the pictures of the SDK's template.
experiment::Experiment pictures(const std::string& model) {
  return experiment::Experiment::parse("[experiment]\nthreads = 1\n[dataset]\nname = 'my_dataset'\n[model]\nname = '" + model + "'\n[solver]\nmax_evaluations = 100\n"
                                       "[gradient]\nsolver = { name = 'gmres', max_evaluations = 200 }\n",
                                       "pictures.toml", {}, training::schema(), training::CatalogueTables(lab_plugins()));
}
TEST(Doctor, LeavesTheTemplateInPeace) { expect_healthy(pictures("my_model")); }
TEST(Doctor, LeavesTheMonotoneModelInPeace) { expect_healthy(pictures("mondeq")); }

TEST(Doctor, SaysAtMostOfABoundAndAboutOfAnEstimate) {
  EXPECT_THAT(answers(diagnosed(lab_experiment("declared"))), ::testing::ContainsRegex("wrong by at most [0-9.e+-]+ of its size .bound"));
  EXPECT_THAT(answers(diagnosed(lab_experiment("tanh"))), ::testing::ContainsRegex("wrong by about [0-9.e+-]+ of its size .estimate"));
}

TEST(Doctor, ShowsWhatOtherBudgetsGive) {
  const auto diagnosis = diagnosed(lab_experiment("stiff", {"solver.max_evaluations=16"}));
  ASSERT_EQ(diagnosis.budgets.size(), 5u);
  EXPECT_EQ(diagnosis.budgets.front().budget, 4);
  EXPECT_EQ(diagnosis.budgets.back().budget, 64);
  EXPECT_LT(diagnosis.budgets.back().residual, 1e-2 * diagnosis.budgets.front().residual);
}

TEST(Doctor, ShowsWhySolvesEndedAndTheResidualsByDecade) {
  const auto diagnosis = diagnosed(lab_experiment("tanh"));
  std::int64_t by_reason = 0, by_residual = 0;
  for (const std::int64_t n : diagnosis.reasons) by_reason += n;
  for (const auto& row : diagnosis.residuals) {
    by_residual += row.samples;
    EXPECT_LE(row.from, 1e-5);  // the tolerance
  }
  EXPECT_EQ(by_reason, diagnosis.batch);
  EXPECT_EQ(by_residual, diagnosis.batch);
  EXPECT_EQ(diagnosis.reasons[static_cast<std::size_t>(Reason::converged)], diagnosis.batch);
}

TEST(Doctor, ShowsTheCertificateOfThreeOtherGradientMethods) {
  const auto diagnosis = diagnosed(lab_experiment("stiff", {"gradient.name=\"jacobian_free\""}));
  ASSERT_EQ(diagnosis.methods.size(), 3u);
  EXPECT_EQ(diagnosis.methods[0].method, "implicit");
  EXPECT_LT(diagnosis.methods[0].relative_error, 1e-2);
  for (const auto& row : diagnosis.methods) EXPECT_NE(row.method, "jacobian_free");
  EXPECT_TRUE(diagnosed(lab_experiment("random")).methods.empty());  // no gradient to speak of
}

TEST(Doctor, TheProgramSaysItInWordsAndJsonAndByItsExitStatus) {
  const TemporaryFolder home;
  const std::string program = "HOME=" + home.path.string() + " XDG_CACHE_HOME= " ZSTAR_BINARY_DIR "/bin/zstar doctor " ZSTAR_SOURCE_DIR "/experiments/quickstart.toml ";
  const Finished healthy = shell(program);
  EXPECT_EQ(healthy.status, 0) << healthy.text;
  EXPECT_THAT(healthy.text, ::testing::HasSubstr("this is an equilibrium model"));
  const Finished sick = shell(program + "-s solver.tolerance=1e-12");
  EXPECT_EQ(sick.status, 1) << sick.text;
  EXPECT_THAT(sick.text, ::testing::ContainsRegex("precision: the tolerance is below what the dtype can reach"));
  const auto json = nlohmann::json::parse(shell(program + "--json -s solver.tolerance=1e-12 2>/dev/null").text);
  EXPECT_FALSE(json["healthy"].get<bool>());
  EXPECT_EQ(json["findings"][4]["disease"], "precision");
}

TEST(Doctor, E37AModelWithoutOutputsIsRefusedWithASentence) {  // a loss over no states is no loss
  try {
    diagnosed(lab_experiment("mute"));
    FAIL();
  } catch (const std::runtime_error& refused) {
    EXPECT_THAT(refused.what(), ::testing::HasSubstr("returned no output"));
  }
}

TEST(Doctor, WithoutAnExperimentLooksAtTheInstallation) {
  const TemporaryFolder home;
  EXPECT_THAT(shell("HOME=" + home.path.string() + " XDG_CACHE_HOME= " ZSTAR_BINARY_DIR "/bin/zstar doctor").text, ::testing::HasSubstr("plugin ABI"));
}

}  // namespace
