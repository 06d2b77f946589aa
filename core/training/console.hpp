#pragma once
/// \file What a person sees of a run: one line that is rewritten on a terminal, plain lines elsewhere.

#include <chrono>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

namespace zstar::training {

class Console {
 public:
  Console(std::ostream& out, bool terminal) : out_(out), terminal_(terminal) {}

  /// Where training stands; on a terminal only, at most ten times a second. The time left is that of the steps seen so far.
  void progress(std::int64_t step, std::int64_t steps, const std::string& text);
  /// A line that stays.
  void line(const std::string& text);

 private:
  std::ostream& out_;
  bool terminal_;
  std::optional<std::int64_t> first_;  ///< step of the first call: a resumed run begins behind 0
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), last_{};
};

}  // namespace zstar::training
