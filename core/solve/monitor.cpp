#include "core/solve/monitor.hpp"

#include <algorithm>
#include <cmath>

namespace zstar::solve {

Monitor::Monitor(const Options& options, std::int64_t batch, std::int64_t width, double epsilon, std::int64_t patience)
    : options_(options), patience_(patience),
      stop_(options.stop == "relative"   ? Stop::relative
            : options.stop == "absolute" ? Stop::absolute
            : options.stop == "any"      ? Stop::any
                                         : Stop::all),
      whole_(options.finished == "whole"),
      scale_(options.measure == "rms" ? 1.0 / std::sqrt(static_cast<double>(std::max<std::int64_t>(width, 1))) : 1.0),
      epsilon_(epsilon), tiny_(epsilon < 1e-12 ? std::numeric_limits<double>::min() : std::numeric_limits<float>::min()),
      absolute_tolerance_(options.absolute_tolerance.value_or(options.tolerance)), samples_(static_cast<std::size_t>(batch)), reasons_(static_cast<std::size_t>(batch), Reason::budget),
      stopped_(static_cast<std::size_t>(batch), 0), running_count_(batch) {
  trace_.batch = batch;
}

bool Monitor::within(double residual, double relative) const {
  const double absolute = residual * scale_;
  switch (stop_) {
    case Stop::relative: return relative <= options_.tolerance;
    case Stop::absolute: return absolute <= options_.tolerance;
    case Stop::any: return absolute <= absolute_tolerance_ || relative <= options_.tolerance;
    default: return absolute <= absolute_tolerance_ && relative <= options_.tolerance;
  }
}

void Monitor::stop(std::size_t sample, Reason reason) {
  reasons_[sample] = reason;
  stopped_[sample] = 1;
  --running_count_;
  changed_ = true;
}

/// Notes a residual. \return whether the state is the best so far: one within the tolerance before any that is not, then the least residual
bool Monitor::update(std::size_t sample, double residual, double relative) {
  Sample& s = samples_[sample];
  s.calls = calls_;
  if (!std::isfinite(residual) || !std::isfinite(relative)) {
    ++s.bad;
    s.residual = s.relative = std::numeric_limits<double>::infinity();
    return false;
  }
  s.bad = 0;
  s.residual = residual;
  s.relative = relative;
  if (s.first == 0) s.first = residual;
  const bool met = within(residual, relative), first_met = met && s.hit == 0;
  if (first_met) s.hit = calls_;
  if (!first_met && (!(residual < s.best) || (s.hit > 0 && !met))) return false;
  if (residual < 0.95 * s.mark || s.best_call == 0) s.mark = residual, s.mark_call = calls_;
  s.best = residual;
  s.best_relative = relative;
  s.best_call = calls_;
  return true;
}

/// Decides whether and why a running sample stops now. \return whether it is within the tolerance
bool Monitor::judge(std::size_t sample) {
  const Sample& s = samples_[sample];
  if (s.bad > 0) {
    if (s.bad > patience_) stop(sample, Reason::nonfinite);
    return false;
  }
  if (within(s.residual, s.relative)) {
    if (!whole_) stop(sample, Reason::converged);
    return true;
  }
  const bool idle = calls_ - s.best_call >= 3;
  if (s.residual > options_.divergence * s.first) stop(sample, Reason::diverged);
  else if (options_.floor && idle && s.best_relative <= 4 * epsilon_) stop(sample, Reason::floor);
  else if (options_.stall_window > 0 && calls_ - s.mark_call >= options_.stall_window) stop(sample, Reason::stalled);
  return false;
}

void Monitor::evaluated(const double* norms, const std::vector<std::int64_t>* rows) {
  const std::size_t n = rows ? rows->size() : samples_.size();
  ++calls_;
  changed_ = false;
  all_improved_ = true;
  improved_.assign(n, 0);
  std::int64_t within_tolerance = 0;
  for (std::size_t row = 0; row < n; ++row) {
    const std::size_t sample = rows ? static_cast<std::size_t>((*rows)[row]) : row;
    if (!stopped_[sample]) {
      improved_[row] = update(sample, norms[row], relative(norms[row], norms[n + row]));
      within_tolerance += judge(sample);
    }
    all_improved_ = all_improved_ && improved_[row];
  }
  if (whole_ && running_count_ > 0 && within_tolerance == running_count_)
    for (std::size_t sample = 0; sample < samples_.size(); ++sample)
      if (!stopped_[sample]) stop(sample, Reason::converged);
  extend_trace();
}

void Monitor::probed() {
  ++calls_;
  changed_ = false;
  for (std::size_t b = 0; b < samples_.size(); ++b)
    if (!stopped_[b]) samples_[b].calls = calls_;
  extend_trace();
}

void Monitor::extend_trace() {
  if (!options_.trace) return;
  for (const Sample& s : samples_) {
    trace_.absolute.push_back(s.residual);
    trace_.relative.push_back(s.relative);
  }
}

Report Monitor::finish(bool last) {
  Report report;
  const auto nan = std::numeric_limits<double>::quiet_NaN();
  for (const Sample& s : samples_) {
    const bool any = s.best_call > 0;
    report.residual.push_back(!any ? nan : last ? s.residual : s.best);
    report.relative.push_back(!any ? nan : last ? s.relative : s.best_relative);
    report.best.push_back(last ? s.calls : s.best_call);
    report.evaluations.push_back(s.calls);
    report.first_converged.push_back(s.hit);
  }
  report.reasons = std::move(reasons_);
  report.calls = calls_;
  report.tolerance = options_.tolerance;
  report.trace = std::move(trace_);
  return report;
}

}  // namespace zstar::solve
