#pragma once
/// \file What a person sees of a run: one line that is rewritten on a terminal, plain lines elsewhere, a table at the end.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "zstar/abi/model.hpp"

namespace zstar::training {

/// Columns of the terminal that standard output is; 0: it is none, or does not say.
std::size_t terminal_columns();

class Console {
 public:
  /// \param columns  asked before each rewriting: a window may change its size
  Console(std::ostream& out, bool terminal, std::function<std::size_t()> columns = terminal_columns) : out_(out), terminal_(terminal), columns_(std::move(columns)) {}

  /// Where training stands; on a terminal only, at most ten times a second. Where its columns are few, the last fields, two blanks between them, are left out. The time left is that of the steps seen so far.
  void progress(std::int64_t step, std::int64_t steps, const std::string& text);
  /// A line that stays.
  void line(const std::string& text);

 private:
  std::ostream& out_;
  bool terminal_;
  std::function<std::size_t()> columns_;
  std::optional<std::int64_t> first_;  ///< step of the first call: a resumed run begins behind 0
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), last_{};
};

/// The metrics of splits, by their names.
using SplitMetrics = std::vector<std::pair<std::string, std::vector<Metric>>>;

/// A row for each split, a column for each metric that one of them has. \param label  of the weights, above the names of the splits
std::string table_of(const SplitMetrics& splits, const std::string& label);

}  // namespace zstar::training
