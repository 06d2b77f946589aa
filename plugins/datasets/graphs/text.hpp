#pragma once
/// \file Text files of numbers, line by line, with the place of what is wrong.

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "zstar/formats/files.hpp"

namespace zstar_graphs {
namespace {

namespace fs = std::filesystem;
using zstar::formats::about;
using zstar::formats::as_text;
using zstar::formats::Bytes;
using zstar::formats::find_file;
using zstar::formats::FormatError;
using zstar::formats::read_file;

/// A text file; numbers of a line are separated by blanks and commas.
class Lines {
 public:
  explicit Lines(fs::path file) : file_(std::move(file)), bytes_(read_file(file_)), rest_(as_text(bytes_)) {}

  /// The next line that is not empty. \return false at the end
  bool next() {
    while (!rest_.empty()) {
      const auto end = std::min(rest_.find('\n'), rest_.size());
      line_ = rest_.substr(0, end);
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      ++number_;
      if (line_.find_first_not_of(" \t\r,") != std::string_view::npos) return true;
    }
    line_ = {};
    return false;
  }

  /// Passes over the heading; a line that begins with a number is none.
  void heading() {
    if (!next()) zstar::formats::damaged(file_, "is empty; a heading was expected");
    const auto first = words(" \t\r,");
    if (std::int64_t n = 0; std::from_chars(first[0].data(), first[0].data() + first[0].size(), n).ec == std::errc()) fail("a heading was expected, the line begins with a number");
  }

  /// All numbers of the line.
  template <class T>
  std::vector<T> numbers() const {
    std::vector<T> out;
    for (std::string_view word : words(" \t\r,")) out.push_back(number<T>(word));
    return out;
  }
  std::vector<std::string_view> words(const char* separators) const {
    std::vector<std::string_view> out;
    for (std::size_t at = line_.find_first_not_of(separators); at != std::string_view::npos;) {
      const auto end = std::min(line_.find_first_of(separators, at), line_.size());
      out.push_back(line_.substr(at, end - at));
      at = line_.find_first_not_of(separators, end);
    }
    return out;
  }
  template <class T>
  T number(std::string_view word) const {
    T value{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) fail("'" + std::string(word.substr(0, 20)) + "' is no number");
    if constexpr (std::is_floating_point_v<T>)
      if (!std::isfinite(value)) fail("'" + std::string(word.substr(0, 20)) + "' is no finite number");
    return value;
  }
  /// Exactly one integer.
  std::int64_t integer() const {
    const auto all = numbers<std::int64_t>();
    if (all.size() != 1) fail("one number was expected, there are " + std::to_string(all.size()));
    return all[0];
  }

  [[noreturn]] void fail(const std::string& what) const { zstar::formats::damaged(file_, "line " + std::to_string(number_) + ": " + what); }
  const fs::path& file() const { return file_; }
  std::size_t line() const { return number_; }

 private:
  fs::path file_;
  Bytes bytes_;
  std::string_view rest_, line_;
  std::size_t number_ = 0;
};

/// One integer from each line of a file.
inline std::vector<std::int64_t> column(const fs::path& file) {
  std::vector<std::int64_t> out;
  for (Lines lines(file); lines.next();) out.push_back(lines.integer());
  return out;
}

/// A file that must be there, plain or .gz.
inline fs::path needed(const fs::path& folder, const std::string& name) {
  const fs::path file = find_file(folder, name);
  if (file.empty()) throw std::runtime_error(folder.string() + " holds no " + name + " (or .gz)\n  remedy: name the folder of the files: --set dataset.path=FOLDER");
  return file;
}

}  // namespace
}  // namespace zstar_graphs
