#pragma once
/// \file What came out of runs, and their learning curves over one another.

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace zstar::runs {

struct Outcome {
  std::string state;     ///< "done" or "unfinished"
  std::int64_t step = 0; ///< last step that is recorded
  std::string headline;  ///< "test accuracy 0.9958"; empty: nothing was evaluated
  /// "test accuracy", …: of the best weights where the run is done, else of the last evaluation; costs of training after them.
  std::vector<std::pair<std::string, double>> numbers;
};

/// Reads summary.json and metrics.jsonl of a run folder; what is missing or damaged is left out.
Outcome outcome(const std::filesystem::path& run);

/// Draws the curves of all runs, one panel a quantity. \param only  quantities that are drawn (loss, accuracy, …); empty: all
/// \return a sentence if there is no picture
std::string draw_comparison(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& svg, const std::vector<std::string>& only = {});

}  // namespace zstar::runs
