/// \file Gradcheck: exact methods agree with the dense gradient, inexact ones visibly do not, refusals are rows; and the program's tables.
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/gradient/exact.hpp"
#include "core/training/gradcheck.hpp"
#include "tests/lab/lab.hpp"
#include "tests/support/parts.hpp"
#include "tests/support/process.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;
using training::GradcheckReport;
using training::GradcheckRow;

GradcheckReport checked(const std::string& kind, const training::GradcheckRequest& request, std::vector<std::string> more = {}) {
  std::ostringstream warnings;
  more.insert(more.begin(), "experiment.dtype=\"float64\"");
  return training::gradcheck(lab_experiment(kind, more), lab_plugins(), request, warnings);
}

/// A layer with the exact gradient, dense up to so many unknowns.
gradient::Layer exact_layer(std::int64_t dense_unknowns) {
  const gradient::SolverChoice plain = choice("fixed_point", {.tolerance = 1e-13, .max_evaluations = 500});
  const auto exact = gradient::exact_gradient({.dense_unknowns = dense_unknowns, .tolerance = 1e-13});
  return gradient::Layer({plain, plain, exact, exact, {}});
}

const GradcheckRow& row_of(const GradcheckReport& report, const std::string& method) {
  for (const GradcheckRow& r : report.rows)
    if (r.method == method) return r;
  throw std::runtime_error("no row " + method);
}

TEST(Gradcheck, ImplicitAgreesWithTheDenseGradientAndOneStepVisiblyDoesNot) {
  const GradcheckReport report = checked("tanh", {});
  EXPECT_EQ(report.reference, "dense");
  EXPECT_EQ(report.batch, 16);
  EXPECT_EQ(report.width, 8);
  EXPECT_LT(report.solution_residual, 1e-12);
  EXPECT_GT(row_of(report, "implicit").cosine, 1 - 1e-8);  // adjoint solved to 1e-5: 1 − cosine is of the order of its square
  EXPECT_LT(row_of(report, "jacobian_free").cosine, 0.999);
  EXPECT_GT(row_of(report, "jacobian_free").error, 0.05);
  EXPECT_LT(row_of(report, "neumann, terms = 20").error, row_of(report, "neumann, terms = 1").error);
  EXPECT_LT(row_of(report, "unrolled, steps = 160").error, 1e-9);  // plain iteration contracts by 0.7 a step
}

TEST(Gradcheck, CertificatesAreNoLessThanTheErrorOfTheAdjoint) {  // an error of the gradient lies within that of the adjoint times ‖∂f/∂θ‖
  const GradcheckReport report = checked("tanh", {.defaults_only = true});
  for (const char* method : {"implicit", "jacobian_free", "neumann"}) {
    const GradcheckRow& row = row_of(report, method);
    ASSERT_TRUE(row.certificate) << method;
    EXPECT_GT(3 * *row.certificate, row.error) << method;
    EXPECT_EQ(row.kind, gradient::CertificateKind::estimate) << method;
  }
}

TEST(Gradcheck, CountsWhatAMethodSpends) {
  const GradcheckReport report = checked("tanh", {});
  EXPECT_EQ(row_of(report, "jacobian_free").products, 1);
  EXPECT_EQ(row_of(report, "jacobian_free").evaluations, 1);
  EXPECT_EQ(row_of(report, "phantom, steps = 4").products, 4);
  EXPECT_EQ(row_of(report, "phantom, steps = 4").evaluations, 4);
  EXPECT_EQ(row_of(report, "neumann").evaluations, 2);             // y = f(z⋆), and the graph of J
  EXPECT_EQ(row_of(report, "neumann, measure = false").products, row_of(report, "neumann").products - 1);
  EXPECT_GT(row_of(report, "implicit").solver_evaluations, 3);
}

TEST(Gradcheck, EverySolverOfTheAdjointHasARowAndRefusalsAreSentences) {
  const GradcheckReport report = checked("tanh", {.methods = {"implicit"}});
  for (const std::string& solver : lab_plugins().names(Kind::solver)) EXPECT_NO_THROW(row_of(report, "implicit by " + solver));
  EXPECT_THAT(row_of(report, "implicit by cg").refused, ::testing::HasSubstr("symmetric"));
  EXPECT_LT(row_of(report, "implicit by broyden").error, 1e-4);  // ten times its tolerance
  EXPECT_EQ(row_of(report, "implicit by gmres").reason, Reason::converged);
}

TEST(Gradcheck, AFailedAdjointIsSeenInResidualReasonAndError) {
  const GradcheckReport report = checked("expansive", {.methods = {"implicit"}, .solvers = {"fixed_point", "gmres"}}, {"solver.name=\"broyden\"", "solver.max_evaluations=200"});
  EXPECT_NE(row_of(report, "implicit by fixed_point").reason, Reason::converged);
  EXPECT_GT(row_of(report, "implicit by fixed_point").error, 0.1);
  EXPECT_LT(row_of(report, "implicit by gmres").error, 1e-4);
}

TEST(Gradcheck, ShowsWhatALooseForwardSolveCosts) {
  const GradcheckReport loose = checked("stiff", {.methods = {"implicit"}, .solvers = {"gmres"}}, {"solver.name=\"fixed_point\"", "solver.tolerance=0.01"});
  EXPECT_GT(loose.forward_error, 1e-3);
  EXPECT_LT(row_of(loose, "implicit").error, 1e-4);
  EXPECT_GT(row_of(loose, "implicit").solution_error, 1e-3);
}

TEST(Gradcheck, ShowsTheExperimentsOwnSolveAndNotWhereATighterOneEnded) {
  const std::vector<std::string> loose{"solver.name=\"fixed_point\"", "solver.tolerance=0.01"};
  const GradcheckReport cold = checked("stiff", {.methods = {"jacobian_free"}}, loose), stored = checked("stiff", {.methods = {"jacobian_free"}}, {loose[0], loose[1], "start.store=\"position\""});
  EXPECT_EQ(stored.forward_residual, cold.forward_residual);
  EXPECT_EQ(stored.forward_error, cold.forward_error);
  EXPECT_EQ(stored.rows[0].solver_evaluations, cold.rows[0].solver_evaluations);
}

TEST(Gradcheck, AResidualThatWasNotMeasuredIsNotZero) {
  EXPECT_TRUE(std::isnan(checked("tanh", {.methods = {"implicit"}, .solvers = {"gmres"}}, {"solver={name=\"torchdeq_anderson\",max_evaluations=0}"}).forward_residual));
}

TEST(Gradcheck, GmresAndTheDenseSolveAgree) {
  const TanhMap f(3, 6, 0.9);
  const auto gradient_with = [&](std::int64_t dense_unknowns) {
    auto deq = exact_layer(dense_unknowns);
    return torch::autograd::grad({deq.solve(f.map(), State(torch::zeros({3, 6}, torch::kFloat64))).z()[0].pow(3).sum()}, {f.w})[0];
  };
  EXPECT_LT((gradient_with(2000) - gradient_with(0)).norm().item<double>(), 1e-10 * gradient_with(0).norm().item<double>());
}

TEST(Gradcheck, RefusesUnknownNamesWithTheNearest) {
  try {
    checked("tanh", {.methods = {"implicid"}});
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("did you mean: 'implicit'"));
  }
}

TEST(Gradcheck, RefusesAModelWhoseLossDoesNotReachTheEquilibrium) {
  try {
    checked("unreached", {});
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("no gradient of the loss passes"));
  }
}

TEST(Gradcheck, OptionsAreComparedOneAtATime) {
  const OptSpec count{.name = "terms", .type = OptType::integer, .def = std::int64_t{8}, .low = 1, .high = 100}, flag{.name = "measure", .type = OptType::boolean, .def = true};
  std::vector<std::string> words;
  for (const auto& [text, settings] : training::settings_to_compare({count, flag})) words.push_back(text);
  EXPECT_THAT(words, ::testing::ElementsAre("", "terms = 2", "terms = 32", "measure = false"));
}

TEST(Gradcheck, TheProgramPrintsATableAndJson) {
  const TemporaryFolder home;
  const std::string program = "HOME=" + home.path.string() + " XDG_CACHE_HOME= " ZSTAR_BINARY_DIR "/bin/zstar gradcheck " ZSTAR_SOURCE_DIR
                              "/experiments/quickstart.toml --only implicit --only neumann --defaults";
  const Finished table = shell(program);
  EXPECT_EQ(table.status, 0) << table.text;
  EXPECT_THAT(table.text, ::testing::HasSubstr("certificate"));
  EXPECT_THAT(table.text, ::testing::ContainsRegex("\nneumann +[0-9-]"));
  const Finished json = shell(program + " --json 2>/dev/null");
  const auto parsed = nlohmann::json::parse(json.text);
  EXPECT_EQ(parsed["rows"].size(), 2u);
  EXPECT_EQ(parsed["rows"][0]["method"], "implicit");
  EXPECT_TRUE(parsed["rows"][0]["error"].is_number());
  const Finished wrong = shell(program + " --samples -1");
  EXPECT_EQ(wrong.status, 2) << wrong.text;
}

}  // namespace
