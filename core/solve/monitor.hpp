#pragma once
/// \file Monitor: per-sample bookkeeping of one solve: residuals, best, reasons, trace. It sees numbers, not states.

#include <cstdint>
#include <limits>
#include <vector>

#include "core/solve/solve.hpp"

namespace zstar::solve {

class Monitor {
 public:
  /// \param patience  non-finite evaluations in a row that the method answers by a shorter step
  Monitor(const Options& options, std::int64_t batch, std::int64_t width, double epsilon, std::int64_t patience);

  /// What evaluation `calls() + 1` measured.
  /// \param norms  ‖f(z) − z‖ of n rows, then ‖f(z)‖ of n rows \param rows  their samples, all if null
  void evaluated(const double* norms, const std::vector<std::int64_t>* rows);

  /// An evaluation that is counted alone: its point is no iterate.
  void probed();

  /// Of the last evaluation, by row: its state is the sample's best so far and the sample was running.
  const std::vector<char>& improved() const { return improved_; }
  bool all_improved() const { return all_improved_; }
  bool running(std::int64_t sample) const { return !stopped_[static_cast<std::size_t>(sample)]; }
  std::int64_t running_count() const { return running_count_; }
  /// Whether the set of running samples changed at the last evaluation.
  bool changed() const { return changed_; }
  std::int64_t calls() const { return calls_; }

  /// The report, with budget as the reason of samples still running. \param last  of the last, not the best iterate
  Report finish(bool last);

 private:
  struct Sample {
    double first = 0, best = std::numeric_limits<double>::infinity(), best_relative = 0;
    double residual = 0, relative = 0;        // of the last evaluation while running
    double mark = 0;                          // best at the last progress of 5 %
    std::int64_t mark_call = 0, best_call = 0, hit = 0, calls = 0, bad = 0;
  };
  double relative(double residual, double scale) const { return residual == 0 ? 0 : residual / std::max(scale, tiny_); }
  bool within(double residual, double relative) const;
  bool update(std::size_t sample, double residual, double relative);
  bool judge(std::size_t sample);
  void stop(std::size_t sample, Reason reason);
  void extend_trace();

  const Options& options_;
  std::int64_t patience_;
  enum class Stop { relative, absolute, any, all } stop_;
  bool whole_;
  double scale_, epsilon_, tiny_, absolute_tolerance_;
  std::vector<Sample> samples_;
  std::vector<Reason> reasons_;
  std::vector<char> stopped_, improved_;
  bool all_improved_ = false, changed_ = false;
  std::int64_t running_count_, calls_ = 0, converged_running_ = 0;
  Trace trace_;
};

}  // namespace zstar::solve
