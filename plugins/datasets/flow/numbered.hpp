#pragma once
/// \file Files of a folder by the number in their names: partners are found by it, never by their place in a list.

#include <algorithm>
#include <filesystem>
#include <map>

#include <zstar/sdk.hpp>

namespace zstar_flow_files {
namespace {

namespace fs = std::filesystem;

/// A number with at least this many digits.
inline std::string digits(std::int64_t n, std::size_t least) {
  const std::string text = std::to_string(n);
  return std::string(text.size() < least ? least - text.size() : 0, '0') + text;
}

/// The name of a file, `.gz` left out.
inline fs::path bare(const fs::path& file) { return file.extension() == ".gz" ? file.stem() : file.filename(); }

/// A folder of a layout is not there.
struct NoFolder : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Entries of a folder that are wanted, sorted. \throws NoFolder
template <class Wanted>
std::vector<fs::path> entries(const fs::path& folder, Wanted wanted) {
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (wanted(*entry)) found.push_back(entry->path());
  if (error) throw NoFolder(folder.string() + " cannot be listed: " + error.message());
  std::sort(found.begin(), found.end());
  return found;
}

/// Files with this ending, compressed or not.
inline std::vector<fs::path> listed(const fs::path& folder, const std::string& ending) {
  return entries(folder, [&](const fs::directory_entry& e) { return bare(e.path()).string().ends_with(ending); });
}

inline std::vector<fs::path> folders(const fs::path& folder) {
  return entries(folder, [](const fs::directory_entry& e) { return e.is_directory(); });
}

/// The files BEFORE number AFTER of a folder; others are no part of the layout.
class Numbered {
 public:
  Numbered() = default;
  Numbered(fs::path folder, std::string before, std::string after) : folder_(std::move(folder)), before_(std::move(before)), after_(std::move(after)) {
    for (const fs::path& file : listed(folder_, after_)) {
      const std::string name = bare(file).string();
      if (!name.starts_with(before_) || name.size() <= before_.size() + after_.size()) continue;
      const std::string number = name.substr(before_.size(), name.size() - before_.size() - after_.size());
      if (number.size() > 15 || number.find_first_not_of("0123456789") != std::string::npos) continue;
      width_ = number.size();
      files_.emplace(std::stoll(number), file);
    }
  }

  const std::map<std::int64_t, fs::path>& files() const { return files_; }

  /// \param asking  the file whose partner it is \throws std::runtime_error  naming the one that is missing
  const fs::path& at(std::int64_t n, const fs::path& asking) const {
    if (const auto found = files_.find(n); found != files_.end()) return found->second;
    const std::size_t width = width_ > 0 ? width_ : bare(asking).string().find_first_not_of("0123456789");
    throw std::runtime_error((folder_ / (before_ + digits(n, width == std::string::npos || width == 0 ? 4 : width) + after_)).string() + " is missing, the partner of " + asking.string() +
                             "\n  remedy: unpack the data set again");
  }

 private:
  fs::path folder_;
  std::string before_, after_;
  std::size_t width_ = 0;
  std::map<std::int64_t, fs::path> files_;
};

/// Sees to it that every file has its partner: the one whose number is `later` higher.
inline void each_has(const Numbered& files, const Numbered& partners, std::int64_t later = 0) {
  for (const auto& [n, file] : files.files()) partners.at(n + later, file);
}

/// Calls visit(n, frame n, frame n + 1) for all frames but the last. \throws std::runtime_error  naming a frame that is missing between others
template <class Visit>
void each_step(const Numbered& frames, Visit visit) {
  const auto& files = frames.files();
  for (auto at = files.begin(); at != files.end() && std::next(at) != files.end(); ++at) visit(at->first, at->second, frames.at(at->first + 1, at->second));
}

}  // namespace
}  // namespace zstar_flow_files
