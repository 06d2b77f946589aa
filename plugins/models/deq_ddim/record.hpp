#pragma once
/// \file What sampling took, as JSON: a number that is not finite is null.

#include <cmath>
#include <fstream>
#include <limits>

#include <nlohmann/json.hpp>

#include <zstar/sdk.hpp>

namespace zstar_ddim {
namespace {

using Json = nlohmann::ordered_json;

/// The largest; NaN if there is one.
inline double worst(const std::vector<double>& values) {
  double most = 0;
  for (const double v : values)
    if (std::isnan(v)) return v;
    else most = std::max(most, v);
  return most;
}

/// Sweeps, the largest residuals, and how many samples of the solver ended for which reason.
inline Json outcome(const zstar::Report& report) {
  static constexpr const char* names[zstar::reason_count] = {"converged", "floor", "stalled", "diverged", "nonfinite", "budget", "refused"};
  Json reasons = Json::object();
  for (const zstar::Reason reason : report.reasons) {
    Json& count = reasons[names[static_cast<int>(reason)]];
    count = count.is_null() ? 1 : count.get<int>() + 1;
  }
  return {{"sweeps", report.calls}, {"residual", worst(report.residual)}, {"relative_residual", worst(report.relative)}, {"reasons", reasons}};
}

inline void write(const std::string& file, const Json& record) {
  std::ofstream out(file);
  out << record.dump(2) << '\n';
  if (!out.flush()) throw std::runtime_error(file + " cannot be written");
}

}  // namespace
}  // namespace zstar_ddim
