#pragma once
/// \file Text files of numbers, line by line, with the place of what is wrong.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <zstar/sdk.hpp>

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
using zstar::OptionError;

/// A text file; numbers of a line are separated by blanks and commas. Blank lines may stand at its end alone: elsewhere a line may be missing.
class Lines {
 public:
  explicit Lines(fs::path file) : file_(std::move(file)), bytes_(read_file(file_)), rest_(as_text(bytes_)) {}

  /// The next line. \return false at the end
  bool next() {
    for (std::size_t blank = 0; !rest_.empty(); blank = blank > 0 ? blank : number_) {
      const auto end = std::min(rest_.find('\n'), rest_.size());
      line_ = rest_.substr(0, end);
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      ++number_;
      if (line_.find_first_not_of(" \t\r,") == std::string_view::npos) continue;
      if (blank > 0) zstar::formats::damaged(file_, "line " + std::to_string(blank) + ": it is blank, and others follow; expected blank lines at the end alone");
      return true;
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

/// What a path says: the folder of the data, and the name of the graph or set, where it says one.
struct Located {
  fs::path folder;
  std::string name;
};

/// The name in "HEAD NAME TAIL", plain or .gz; nothing for another name.
inline std::optional<std::string> name_in(const fs::path& path, const std::string& head, const std::vector<std::string>& tails) {
  std::string file = path.filename().string();
  if (file.ends_with(".gz")) file.resize(file.size() - 3);
  for (const std::string& tail : tails)
    if (file.size() >= head.size() + tail.size() && file.starts_with(head) && file.ends_with(tail)) return file.substr(head.size(), file.size() - head.size() - tail.size());
  return std::nullopt;
}

/// A folder as it is; a file HEAD NAME TAIL as the folder that it lies in, with the name.
inline Located located(const fs::path& path, const std::string& head, const std::vector<std::string>& tails) {
  if (!fs::is_regular_file(path)) return {path, ""};
  const auto name = name_in(path, head, tails);
  if (!name) throw OptionError("path", path.string() + " is none of the files of this data set, by its name; name the folder of the data, or one of its files");
  return {path.parent_path().empty() ? "." : path.parent_path(), *name};
}

/// The names in a folder and in the folders below it, by the files HEAD NAME TAIL.
inline std::vector<std::string> names_in(const fs::path& folder, const std::string& head, const std::vector<std::string>& tails) {
  std::vector<std::string> names;
  const auto look = [&](const fs::path& place) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(place, error))
      if (const auto name = name_in(entry.path(), head, tails); name && !name->empty() && !entry.is_directory(error)) names.push_back(*name);
  };
  look(folder);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.is_directory(error)) look(entry.path());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

/// An option that takes the name of a graph or set: which is taken of several where it says none, and the file that shows that one is there.
struct NameOption {
  std::string option, usual, file;
};

/// The name that the option says, or that of the file named, or the only one there is; of several, the usual one.
inline std::string chosen(const std::string& said, const Located& at, const std::vector<std::string>& there, const NameOption& o, zstar::Host& host) {
  if (!said.empty() || !at.name.empty()) return said.empty() ? at.name : said;
  if (there.size() == 1) return there.front();
  if (there.empty()) throw OptionError("path", at.folder.string() + " holds no " + o.file + " (or .gz), nor does a folder in it; name the folder of the data: --set dataset.path=FOLDER");
  std::string list;
  for (const std::string& name : there) list += (list.empty() ? "" : ", ") + name;
  if (std::find(there.begin(), there.end(), o.usual) == there.end())
    throw OptionError(o.option, at.folder.string() + " holds several: " + list + "; name one: --set dataset." + o.option + "=" + there.front());
  host.warn(at.folder.string() + " holds several: " + list + "; this is " + o.usual + ", and the option " + o.option + " names another");
  return o.usual;
}

}  // namespace
}  // namespace zstar_graphs
