#pragma once
/// \file What the solves since the last record were like: evaluations, residuals, reasons.

#include <array>

#include "core/runs/metrics.hpp"
#include "zstar/abi/regularizer.hpp"

namespace zstar::training {

class SolveStatistics {
 public:
  /// Adds the forward and backward reports of the calls of a step.
  void add(const std::vector<Solved>& solves);
  /// Appends means, quantiles (0.5, 0.9, 1) and counts per reason, and starts afresh.
  void flush(runs::Record& record);
  /// Samples whose forward solve diverged or was not finite.
  std::int64_t lost() const { return lost_; }

 private:
  struct Side {
    double evaluations = 0;
    std::int64_t samples = 0;
    std::vector<double> residuals;
    std::array<std::int64_t, reason_count> reasons{};
    void add(const Report& report);
    void flush(runs::Record& record, const std::string& prefix);
  };
  Side forward_, backward_;
  std::int64_t lost_ = 0;
};

}  // namespace zstar::training
