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
  /// Continues the file of a run.
  explicit MetricsFile(std::filesystem::path run);
  void add(const Record& record);
  /// Keeps the first `count` records: those behind them are of the lost end of a run.
  void cut(std::int64_t count);
  std::int64_t records() const { return records_; }

 private:
  std::filesystem::path run_;
  std::int64_t records_ = 0;
};

/// Writes curves.gp, curves.dat and, with gnuplot, curves.svg. \return a sentence if there is no picture
std::string draw_curves(const std::filesystem::path& run);

}  // namespace zstar::runs
