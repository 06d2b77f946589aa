#pragma once
/// \file Metrics: one record a line in metrics.jsonl, the same in metrics.csv, and learning curves from them.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace zstar::runs {

/// Named numbers and texts in a fixed order.
struct Record {
  std::vector<std::pair<std::string, double>> numbers;
  std::string kind;  ///< "train" or a split
  std::int64_t step = 0;
};

class MetricsFile {
 public:
  /// Continues the files of a run. \param keep_until  records of later steps are dropped (those of a lost end of a run)
  MetricsFile(std::filesystem::path run, std::int64_t keep_until);
  void add(const Record& record);

 private:
  std::filesystem::path run_;
};

/// Writes curves.gp, curves.dat and, with gnuplot, curves.svg. \return a sentence if there is no picture
std::string draw_curves(const std::filesystem::path& run);

}  // namespace zstar::runs
