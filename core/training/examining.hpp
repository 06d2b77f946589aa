#pragma once
/// \file What the questions of an examination share: how findings are made, and which samples count as solved.

#include <string>

#include "core/training/doctor.hpp"
#include "zstar/abi/report.hpp"

namespace zstar::training {

inline Finding sick(const char* check, std::string number, const char* disease, std::string sentence, std::string remedy) {
  return {check, Verdict::sick, std::move(number), disease, std::move(sentence), std::move(remedy)};
}

/// What a solve without a tolerance, which spends its budget on purpose, is held to.
constexpr double loose = 1e-2;

inline bool good(Reason r) { return r == Reason::converged || r == Reason::floor; }

/// Whether sample b is not solved.
inline bool failing(const Report& report, std::size_t b) { return !good(report.reasons[b]) && !(report.tolerance == 0 && report.relative[b] <= loose); }

inline std::int64_t failing(const Report& report) {
  std::int64_t count = 0;
  for (std::size_t b = 0; b < report.reasons.size(); ++b) count += failing(report, b);
  return count;
}

/// More than one in twenty.
inline bool many(std::int64_t some, std::int64_t all) { return 20 * some > all; }

}  // namespace zstar::training
