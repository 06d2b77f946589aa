#include "core/plugins/discovery.hpp"

#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace zstar::plugins {
namespace fs = std::filesystem;
namespace {

fs::path executable_folder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

fs::path data_home() {
  if (const char* home = std::getenv("XDG_DATA_HOME"); home && *home) return home;
  if (const char* home = std::getenv("HOME"); home && *home) return fs::path(home) / ".local/share";
  return {};
}

}  // namespace

std::vector<fs::path> search_folders(const Discovery& discovery) {
  std::vector<fs::path> folders = discovery.folders;
  if (!discovery.user_folders) return folders;
  if (const char* path = std::getenv("ZSTAR_PLUGIN_PATH"); path && getauxval(AT_SECURE) == 0) {
    std::istringstream list(path);
    for (std::string folder; std::getline(list, folder, ':');)
      if (!folder.empty()) folders.emplace_back(folder);
  }
  folders.insert(folders.end(), discovery.configured.begin(), discovery.configured.end());
  const fs::path here = executable_folder();
  if (!here.empty()) {
    folders.push_back(here / "../plugins");
    folders.push_back(here / "../lib/zstar/plugins");
  }
  if (const fs::path home = data_home(); !home.empty()) folders.push_back(home / "zstar/plugins");
  return folders;
}

std::vector<fs::path> plugin_files(const fs::path& folder) {
  std::vector<fs::path> files;
  const auto list = [&files](const fs::path& in, bool deeper, const auto& self) -> void {
    std::error_code error;
    for (fs::directory_iterator entry(in, error), end; !error && entry != end; entry.increment(error)) {
      if (entry->path().extension() == ".so") files.push_back(entry->path());
      else if (deeper && entry->is_directory(error)) self(entry->path(), false, self);
    }
  };
  list(folder, true, list);
  std::sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  return files;
}

std::optional<Refusal> distrust(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;  // opening it will say why
  if (status.st_uid != 0 && status.st_uid != ::geteuid())
    return Refusal{"Z142", "'" + path.string() + "' belongs to another user", "a file of yours or root's",
                   "--trust-folder DIR, if you trust them"};
  const bool sticky = S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX);
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) && !sticky)
    return Refusal{"Z142", "others may change '" + path.string() + "'", "writable by its owner alone",
                   "chmod go-w, or --trust-folder DIR"};
  return std::nullopt;
}

}  // namespace zstar::plugins
