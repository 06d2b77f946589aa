#pragma once
/// \file Diagnostics: messages about a source text, with the line and carets under what is wrong.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace zstar::experiment {

/// A stretch of one line of a source. Lines and columns from 1; line 0: no position.
struct Place {
  std::string source;
  std::uint32_t line = 0, column = 0, length = 1;

  std::string text() const;  ///< "FILE:LINE:COLUMN"
};

/// What is wrong and what to do; parts that do not apply are empty.
struct Message {
  Place place;
  std::string what, expected, did_you_mean, remedy;
};

/// Collects messages; knows the lines of all sources.
class Diagnostics {
 public:
  void add_source(const std::string& name, const std::string& text);
  void report(Message message) { messages_.push_back(std::move(message)); }
  bool empty() const { return messages_.empty(); }
  std::size_t count() const { return messages_.size(); }
  /// Names of the sources, the experiment file first.
  const std::vector<std::string>& sources() const { return sources_; }
  /// Formatted, in the order of sources and lines.
  std::vector<std::string> formatted() const;
  std::vector<Message> sorted() const;
  /// A message with the line that it is about, whether it was reported or not.
  std::string format(const Message& message) const;

 private:
  std::map<std::string, std::vector<std::string>> lines_;
  std::vector<std::string> sources_;
  std::vector<Message> messages_;
};

}  // namespace zstar::experiment
