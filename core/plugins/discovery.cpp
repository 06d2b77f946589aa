#include "core/plugins/discovery.hpp"

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

bool within(const fs::path& file, const fs::path& folder) {
  const auto [in_folder, in_file] = std::mismatch(folder.begin(), folder.end(), file.begin(), file.end());
  return in_folder == folder.end();
}

}  // namespace

fs::path user_folder(const char* variable, const char* fallback) {
  if (const char* folder = ::secure_getenv(variable); folder && *folder) return folder;
  if (const char* home = ::secure_getenv("HOME"); home && *home) return fs::path(home) / fallback;
  return {};
}

std::vector<fs::path> installation_folders() {
  const fs::path here = executable_folder();
  if (here.empty()) return {};
  return {here / "../plugins", here / "../lib/zstar/plugins"};
}

bool of_installation(const fs::path& file) {
  std::error_code error;
  const fs::path resolved = fs::canonical(file, error);
  if (error) return false;
  for (const fs::path& folder : installation_folders())
    if (const fs::path place = fs::canonical(folder, error); !error && within(resolved, place)) return true;
  return false;
}

std::vector<fs::path> search_folders(const Discovery& discovery) {
  std::vector<fs::path> folders = discovery.folders;
  if (!discovery.user_folders) return folders;
  const auto add = [&folders](const std::vector<fs::path>& more) { folders.insert(folders.end(), more.begin(), more.end()); };
  if (discovery.only_installation) {
    add(installation_folders());
    return folders;
  }
  if (const char* path = ::secure_getenv("ZSTAR_PLUGIN_PATH")) {
    std::istringstream list(path);
    for (std::string folder; std::getline(list, folder, ':');)
      if (!folder.empty()) folders.emplace_back(folder);
  }
  add(discovery.configured);
  add(installation_folders());
  if (const fs::path home = user_folder("XDG_DATA_HOME", ".local/share"); !home.empty()) folders.push_back(home / "zstar/plugins");
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
