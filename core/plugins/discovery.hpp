#pragma once
/// \file Discovery: which files are looked at, in which order, and whose folders are trusted.

#include <filesystem>
#include <optional>
#include <vector>

#include "core/plugins/refusal.hpp"

namespace zstar::plugins {

/// The folders that are searched, the earlier winning: `--plugins`, ZSTAR_PLUGIN_PATH (ignored in a privileged process),
/// the user's configuration, beside the executable, $XDG_DATA_HOME/zstar/plugins.
std::vector<std::filesystem::path> search_folders(const Discovery& discovery);

/// The folders beside the executable: their plugins are part of the installation.
std::vector<std::filesystem::path> installation_folders();
/// Whether a file, its links resolved, lies in one of them.
bool of_installation(const std::filesystem::path& file);

/// A folder of the user: the variable's value, else `fallback` in the home; empty where there is neither, and in a privileged
/// process, which trusts no environment.
std::filesystem::path user_folder(const char* variable, const char* fallback);

/// `*.so` and `*/*.so` of a folder, sorted by bytes; nothing if it cannot be listed.
std::vector<std::filesystem::path> plugin_files(const std::filesystem::path& folder);

/// Why a folder or file is not to be trusted (Z142): others may write it, or it belongs to another user than root and us. Not asked of what is of
/// the installation.
std::optional<Refusal> distrust(const std::filesystem::path& path);

}  // namespace zstar::plugins
