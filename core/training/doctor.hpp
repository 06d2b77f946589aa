#pragma once
/// \file Doctor: whether the model of an experiment is an equilibrium model, and what to do if it is not.

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "core/gradient/certificate.hpp"
#include "core/training/session.hpp"
#include "core/training/solve_statistics.hpp"

namespace zstar::training {

/// sick: something is wrong; note: worth knowing; skipped: not looked at, with the reason.
enum class Verdict : std::uint8_t { good, note, sick, skipped };
const char* name_of(Verdict verdict);

/// What one check found.
struct Finding {
  std::string check;              ///< what was asked: "solve"
  Verdict verdict = Verdict::good;
  std::string number;             ///< what was measured: "28 of 32 samples solved, residual 3e-6"
  std::string disease = {};       ///< what is wrong, by name; empty unless sick
  std::string sentence = {};      ///< what that means
  std::string remedy = {};        ///< what to do
};

/// What the model makes of another budget of evaluations.
struct BudgetRow {
  std::int64_t budget = 0;
  double residual = 0, loss = 0;  ///< greatest relative residual of all samples; loss of the batch
};

/// Samples whose relative residual is in a decade: from ≤ r < to; exactly 0 and not finite have rows of their own, from = to.
struct ResidualRow {
  double from = 0, to = 0;
  std::int64_t samples = 0;
};

/// The certificate of a gradient method on this batch, with its default options.
struct MethodRow {
  std::string method;
  double relative_error = 0;
  gradient::CertificateKind kind = gradient::CertificateKind::estimate;
};

struct Diagnosis {
  std::vector<Finding> findings;      ///< in the order of the checks
  ReasonCounts reasons{};             ///< of all samples of all solves
  std::vector<ResidualRow> residuals;
  std::vector<MethodRow> methods;     ///< three others than the experiment's; empty where causes were found before
  std::vector<BudgetRow> budgets;
  std::int64_t calls = 0, batch = 0, width = 0;
  double forward_milliseconds = 0, backward_milliseconds = 0, peak_megabytes = 0;
  bool sick() const;
};

struct DoctorRequest {
  std::int64_t samples = 0;           ///< of the batch at most; 0: all
  std::optional<WeightsFrom> weights; ///< none: as the model begins
};

/// Examines the model on the first batch of training, in the dtype of the experiment. A check that finds something from which the others
/// would only follow ends the examination.
Diagnosis diagnose(const experiment::Experiment& experiment, plugins::Catalogue& catalogue, const DoctorRequest& request, std::ostream& warnings);

}  // namespace zstar::training
