/// \file zstar gradcheck.
#include <iostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/app/command.hpp"
#include "core/app/devices.hpp"
#include "core/training/gradcheck.hpp"
#include "core/training/probe_run.hpp"

namespace zstar::app {
namespace {

using training::GradcheckReport;
using training::GradcheckRow;

/// The first line of a message: tables have no room for its remedy.
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string certificate_text(const GradcheckRow& r) {
  return r.certificate ? fmt::format("{:.1e} {}", *r.certificate, r.kind == gradient::CertificateKind::bound ? "bound" : "est.") : "none";
}

void print_row(const GradcheckRow& r, std::size_t width) {
  if (!r.refused.empty()) {
    std::cout << fmt::format("{:<{}}  refused: {}\n", r.method, width, first_line(r.refused));
    return;
  }
  const std::string adjoint = r.residual ? fmt::format("{:.1e} {}", *r.residual, solve::text_of(*r.reason).name) : "not measured";
  std::cout << fmt::format("{:<{}}  {:>12.9f}  {:>8.1e}  {:>8.1e}  {:>13}  {:<19}  {:>6}  {:>6}  {:>6}  {:>8.1f}\n", r.method, width, r.cosine, r.error, r.solution_error, certificate_text(r), adjoint,
                           r.solver_evaluations, r.evaluations, r.products, r.milliseconds);
}

void print(const GradcheckReport& report) {
  std::size_t width = 6;
  for (const GradcheckRow& r : report.rows) width = std::max(width, r.method.size());
  std::cout << fmt::format("{} {} of {} unknowns for {} samples; {} parameters\n", report.calls, report.calls == 1 ? "equilibrium" : "equilibria", report.width, report.batch,
                           report.parameters)
            << fmt::format("exact gradients by {}, adjoint residual at most {}\n", report.reference == "dense" ? "dense LU of I - J" : "GMRES", training::residual_text(report.reference_residual))
            << fmt::format("the relative residual of the experiment's solve is {} ({}); the exact gradient there has cosine {:.9f} and error {:.1e}\n"
                           "against that of the solution, whose residual is {}\n\n",
                           training::residual_text(report.forward_residual), solve::text_of(report.forward_reason).name, report.forward_cosine, report.forward_error, training::residual_text(report.solution_residual))
            << fmt::format("{:<{}}  {:>12}  {:>8}  {:>8}  {:>13}  {:<19}  {:>6}  {:>6}  {:>6}  {:>8}\n", "method", width, "cosine", "error", "at z*", "certificate", "adjoint residual", "solver",
                           "evals", "vjps", "ms");
  for (const GradcheckRow& r : report.rows) print_row(r, width);
  std::cout << "\ncosine, error = |g - g^| / |g^|: all parameters as one vector, g^ exact at the state that the method was handed (of the solution, for methods\n"
               "that iterate by themselves); at z*: the same against the exact gradient of the solution. certificate: relative error of the adjoint, a bound or\n"
               "an estimate (est.). solver: evaluations of f by the forward solver; evals, vjps: by the method, forward and backward.\n";
}

nlohmann::ordered_json to_json(const GradcheckRow& r) {
  nlohmann::ordered_json row{{"method", r.method}};
  if (!r.refused.empty()) {
    row["refused"] = r.refused;
    return row;
  }
  row["cosine"] = r.cosine, row["error"] = r.error, row["solution_error"] = r.solution_error;
  if (r.certificate) row["certificate"] = {{"relative_error", *r.certificate}, {"kind", gradient::name_of(r.kind)}};
  if (r.residual) row["adjoint"] = {{"residual", *r.residual}, {"reason", solve::text_of(*r.reason).name}};
  row["solver_evaluations"] = r.solver_evaluations, row["evaluations"] = r.evaluations, row["products"] = r.products, row["milliseconds"] = r.milliseconds;
  return row;
}

nlohmann::ordered_json to_json(const GradcheckReport& report) {
  nlohmann::ordered_json json{{"equilibria", report.calls}, {"batch", report.batch}, {"unknowns", report.width}, {"parameters", report.parameters},
                              {"reference", {{"method", report.reference}, {"adjoint_residual", report.reference_residual}, {"solution_residual", report.solution_residual}}},
                              {"forward", {{"residual", report.forward_residual}, {"reason", solve::text_of(report.forward_reason).name}, {"cosine", report.forward_cosine},
                                           {"error", report.forward_error}}},
                              {"rows", nlohmann::ordered_json::array()}};
  for (const GradcheckRow& r : report.rows) json["rows"].push_back(to_json(r));
  return json;
}

int run(const Arguments& arguments) {
  load_cuda();
  training::GradcheckRequest request;
  request.methods = arguments.list("only");
  request.solvers = arguments.list("solver");
  request.defaults_only = arguments.has("defaults");
  const BatchWords batch = batch_of(arguments);
  request.samples = batch.samples, request.weights = batch.weights;
  Checked checked(arguments, experiment_of(arguments), training::laboratory_overrides());
  const GradcheckReport report = training::gradcheck(*checked.experiment, checked.catalogue, request, std::cerr);
  if (arguments.has("json")) std::cout << to_json(report).dump(2) << '\n';
  else print(report);
  return done;
}

}  // namespace

Command gradcheck_command() {
  auto options = experiment_options("options");
  options.add_options()("only", values_of("METHOD"), "this gradient method; may be repeated")("solver", values_of("SOLVER"), "this solver of the adjoint equation; may be repeated")(
      "defaults", "each method with its default options and the experiment's adjoint solver alone");
  add_batch_options(options);
  return {"gradcheck", "gradcheck FILE [--checkpoint RUN]", "every gradient method on an experiment, against the dense or tightly solved gradient",
          "Takes the experiment's model and its first batch in float64, differentiates the loss by every installed gradient method (each\n"
          "at several settings, and one of them with every installed solver of the adjoint equation), and compares the gradient of all\n"
          "parameters with that of a dense (I - J)^-T, or of GMRES to 1e-14 where the state is too large for it. Prints cosine, relative error,\n"
          "the certificate that a run would have shown, residual and reason of the adjoint solve, cost, and what refused with its sentence.",
          {"file"}, std::move(options), run,
          {{"gradcheck experiments/quickstart.toml", "all methods on the untrained model"},
           {"gradcheck --checkpoint runs/quickstart/latest --defaults", "on a trained model, each method once"},
           {"gradcheck experiments/mdeq_fashion_mnist.toml --samples 2 --only implicit --solver gmres --solver broyden", "two adjoint solvers of a large model"}}};
}

}  // namespace zstar::app
