#include "core/gradient/plan.hpp"

#include <string>

namespace zstar::gradient {

std::vector<std::int64_t> sampling_marks(const Options& options, std::int64_t budget) {
  const auto text = [](std::int64_t n) { return std::to_string(n); };
  if (!options.sample_at.empty() && options.states > 1)
    throw OptionError("states", "states = " + text(options.states) + " and sample_at exclude one another; give one of them");
  if (options.states > 1) {
    if (options.states > budget)
      throw OptionError("states", "states = " + text(options.states) + " cannot be sampled within " + text(budget) +
                                      " evaluations; lower it or raise max_evaluations");
    std::vector<std::int64_t> marks;  // spaced evenly; what does not divide goes to the first segments
    for (std::int64_t k = 1; k <= options.states; ++k)
      marks.push_back(options.form == "indexing" ? budget - (options.states - k) * (budget / options.states)
                                                 : (k * budget + options.states - 1) / options.states);
    return marks;
  }
  std::vector<std::int64_t> marks;
  for (const std::int64_t mark : options.sample_at) {
    if (mark >= budget)
      throw OptionError("sample_at", "sample_at holds " + text(mark) + ", which is not below the budget of " + text(budget) +
                                         " evaluations, for the state at the end is always included");
    if (!marks.empty() && mark <= marks.back())
      throw OptionError("sample_at", "sample_at must rise: " + text(mark) + " follows " + text(marks.back()));
    marks.push_back(mark);
  }
  marks.push_back(budget);
  return marks;
}

}  // namespace zstar::gradient
