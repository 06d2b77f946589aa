#pragma once
/// \file Gradcheck: every installed gradient method on one batch of an experiment, against the gradient solved as well as the dtype allows.

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "core/gradient/certificate.hpp"
#include "core/training/session.hpp"

namespace zstar::training {

struct GradcheckRequest {
  std::vector<std::string> methods;         ///< to try; empty: all installed
  std::vector<std::string> solvers;         ///< of the adjoint equation, to try; empty: all installed
  bool defaults_only = false;               ///< each method with its default options and the experiment's adjoint solver alone
  std::int64_t samples = 0;                 ///< of the batch at most; 0: all
  std::optional<WeightsFrom> weights;       ///< none: as the model begins
};

/// One method with one choice of options.
struct GradcheckRow {
  std::string method;                       ///< "neumann, terms = 20"; "implicit by broyden"
  std::string refused;                      ///< the sentence of a method that refused; empty: it ran, and the rest is known
  /// Of the flat gradient g of all parameters against the exact one ĝ at the state that the method was handed; a method that iterates by itself
  /// is held against that of the solution. error = ‖g − ĝ‖ / ‖ĝ‖
  double cosine = 0, error = 0;
  double solution_error = 0;                ///< ‖g − g⋆‖ / ‖g⋆‖, g⋆ the exact gradient of the solution
  std::optional<double> certificate;        ///< relative error of the adjoint as gradient::certify has it; nothing: it gives none
  gradient::CertificateKind kind = gradient::CertificateKind::estimate;
  std::optional<double> residual;           ///< greatest of all samples, relative to the cotangent; nothing: the method reports none
  std::optional<Reason> reason;             ///< of the sample that went worst
  std::int64_t solver_evaluations = 0;      ///< of f by the forward solver
  std::int64_t evaluations = 0, products = 0;  ///< of f, and with J, by the method
  double milliseconds = 0;                  ///< of forward and backward pass
};

struct GradcheckReport {
  std::string reference;                    ///< how exact gradients were found: "dense" or "gmres"
  std::int64_t batch = 0, width = 0, parameters = 0, calls = 0;  ///< calls of the layer in one forward pass
  double reference_residual = 0;            ///< of their adjoints, relative to the cotangent
  double solution_residual = 0;             ///< relative residual of the solution
  double forward_residual = 0;              ///< that of the experiment's own solve
  Reason forward_reason = Reason::converged;
  double forward_cosine = 0, forward_error = 0;  ///< of the exact gradient there against that of the solution: what the forward solve costs
  std::vector<GradcheckRow> rows;
};

/// Compares on the first batch of training, in training mode, with the same random numbers for every method. Methods see the experiment's own
/// solve; the solution is solved to 1e-12 (float64) or 1e-6. Only the last of several sampled states is used.
/// \throws std::runtime_error  if the model solves no equilibrium, or its gradient is zero
GradcheckReport gradcheck(const experiment::Experiment& experiment, plugins::Catalogue& catalogue, const GradcheckRequest& request, std::ostream& warnings);

/// The settings of a part that are worth a comparison: the defaults (first), and each option at other values, one at a time: the other
/// choices, the other truth value, counts at a quarter and at four times the default. Words: "terms = 20"; empty for the defaults.
std::vector<std::pair<std::string, Settings>> settings_to_compare(const std::vector<OptSpec>& options);

/// What gradcheck and frozen cells override in an experiment: float64.
std::vector<std::string> laboratory_overrides();

}  // namespace zstar::training
