#pragma once
/// \file What the solves since the last record were like: evaluations, residuals, reasons.

#include <array>
#include <map>
#include <string>

#include "core/runs/checkpoint.hpp"
#include "core/runs/metrics.hpp"
#include "zstar/abi/regularizer.hpp"

namespace zstar::training {

/// Samples by the reason for which their solve ended.
using ReasonCounts = std::array<std::int64_t, reason_count>;

class SolveStatistics {
 public:
  /// Adds the forward and backward reports of the calls of a step.
  void add(const std::vector<Solved>& solves);
  /// Appends means, quantiles (0.5, 0.9, 1), counts per reason and the means of what solvers say of themselves (Anderson's gain), and
  /// starts afresh; the whole run's counts go on.
  void flush(runs::Record& record);
  /// The last call of add() in a few words: "evaluations 12.0 residual 3.1e-05"; empty without a solve.
  std::string glance() const;
  /// Counts per reason since the run began.
  const ReasonCounts& forward() const { return forward_.all; }
  const ReasonCounts& backward() const { return backward_.all; }

  void save(runs::Checkpoint& checkpoint) const;
  void load(const runs::Checkpoint& checkpoint);

 private:
  struct Mean {
    double sum = 0, count = 0;
  };
  struct Side {
    std::map<std::string, Mean> said;  ///< by solvers, of numbers a sample or a sample and step
    double evaluations = 0;
    std::int64_t samples = 0;
    std::vector<double> residuals;
    ReasonCounts reasons{}, all{};
    void add(const Report& report);
    void listen(const Report& report);
    void flush(runs::Record& record, const std::string& prefix);
    torch::Tensor packed() const;
    void unpack(const torch::Tensor& numbers);
  };
  Side forward_, backward_;
  double last_evaluations_ = 0, last_residual_ = 0;
  bool solved_ = false;
};

/// "97.5 % converged, 2.5 % budget" of all samples; empty where none was solved.
std::string shares(const ReasonCounts& counts);

}  // namespace zstar::training
