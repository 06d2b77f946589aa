#include "core/training/solve_statistics.hpp"

#include <algorithm>
#include <cmath>

#include "core/solve/solve.hpp"

namespace zstar::training {

void SolveStatistics::Side::add(const Report& report) {
  for (std::size_t b = 0; b < report.reasons.size(); ++b) {
    evaluations += static_cast<double>(report.evaluations[b]);
    ++samples;
    ++reasons[static_cast<std::size_t>(report.reasons[b])];
    if (std::isfinite(report.relative[b])) residuals.push_back(report.relative[b]);
  }
}

void SolveStatistics::Side::flush(runs::Record& record, const std::string& prefix) {
  if (samples == 0) return;
  record.numbers.emplace_back(prefix + "evaluations", evaluations / static_cast<double>(samples));
  std::sort(residuals.begin(), residuals.end());
  for (const auto& [name, q] : {std::pair("median", 0.5), std::pair("p90", 0.9), std::pair("max", 1.0)}) {
    const auto at = static_cast<std::size_t>(q * static_cast<double>(residuals.empty() ? 0 : residuals.size() - 1));
    record.numbers.emplace_back(prefix + "residual_" + name, residuals.empty() ? std::nan("") : residuals[at]);
  }
  for (int r = 0; r < reason_count; ++r)
    record.numbers.emplace_back(prefix + solve::text_of(static_cast<Reason>(r)).name, static_cast<double>(reasons[static_cast<std::size_t>(r)]));
  *this = Side();
}

void SolveStatistics::add(const std::vector<Solved>& solves) {
  for (const Solved& s : solves) {
    for (const Report& r : s.equilibrium.forward) {
      forward_.add(r);
      for (const Reason reason : r.reasons) lost_ += reason == Reason::diverged || reason == Reason::nonfinite;
    }
    if (s.equilibrium.backward)
      for (const Report& r : *s.equilibrium.backward) backward_.add(r);
  }
}

void SolveStatistics::flush(runs::Record& record) {
  forward_.flush(record, "forward_");
  backward_.flush(record, "backward_");
}

}  // namespace zstar::training
