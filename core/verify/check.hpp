#pragma once
/// \file Checks: one question to a part, answered by passing, by failing with a sentence, or by being skipped with a reason.

#include <chrono>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "zstar/abi/object.hpp"

namespace zstar::verify {

enum class Outcome { passed, failed, skipped };

/// The answer to one check of one part.
struct Result {
  Kind kind = Kind::solver;
  std::string part, check;
  Outcome outcome = Outcome::passed;
  std::string why;                                        ///< of what failed or was skipped
  std::vector<std::pair<std::string, double>> numbers;    ///< what was measured, by name
  std::uint64_t seed = 0;
  double seconds = 0;
};

/// What a check notes while it runs, and how it ends early.
class Scope {
 public:
  /// Fails the check with this sentence unless `holds`.
  void expect(bool holds, const std::string& sentence) {
    if (!holds) throw Failed(sentence);
  }
  [[noreturn]] void fail(const std::string& sentence) { throw Failed(sentence); }
  [[noreturn]] void skip(const std::string& reason) { throw Skipped(reason); }
  void note(const std::string& name, double value) { numbers_.emplace_back(name, value); }
  const std::vector<std::pair<std::string, double>>& numbers() const { return numbers_; }

  struct Failed : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  struct Skipped : std::runtime_error {
    using std::runtime_error::runtime_error;
  };

 private:
  std::vector<std::pair<std::string, double>> numbers_;
};

/// A check of parts of one kind, which are handed over as Subject.
template <class Subject>
struct Check {
  const char* name;
  const char* doc;  ///< what it asks, as a sentence
  void (*run)(Subject&, Scope&);
};

/// A number for a sentence: "3.2e-07".
std::string text(double value);

}  // namespace zstar::verify
