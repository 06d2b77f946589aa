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

TEST(Doctor, LeavesTheQuickstartInPeace) {
  expect_healthy(experiment::Experiment::read(ZSTAR_SOURCE_DIR "/experiments/quickstart.toml", {"experiment.threads=1"}, training::schema(), training::CatalogueTables(lab_plugins())));
}

/// A model on the pictures of the SDK's template.
experiment::Experiment pictures(const std::string& model) {
  return experiment::Experiment::parse("[experiment]\nthreads = 1\n[dataset]\nname = 'my_dataset'\n[model]\nname = '" + model + "'\n[solver]\nmax_evaluations = 100\n"
                                       "[gradient]\nsolver = { name = 'gmres', max_evaluations = 200 }\n",
                                       "pictures.toml", {}, training::schema(), training::CatalogueTables(lab_plugins()));
}
TEST(Doctor, LeavesTheTemplateInPeace) { expect_healthy(pictures("my_model")); }
TEST(Doctor, LeavesTheMonotoneModelInPeace) { expect_healthy(pictures("mondeq")); }

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
