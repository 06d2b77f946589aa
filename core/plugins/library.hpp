#pragma once
/// \file Library: a plugin file loaded and entered. Once loaded, a library stays until the process ends.

#include <filesystem>
#include <string>
#include <vector>

#include "core/plugins/elf.hpp"

namespace zstar::plugins {

struct Library {
  std::vector<const Factory*> factories;
  std::string sha256;
  std::uintmax_t size = 0;
  std::vector<std::string> warnings;  ///< what loading changed in the process, undone
};

/// Loads a file whose tag was read. \param allowed  SHA-256 digests; empty: any
/// \throws PluginError  Z141, Z151, Z155–Z158
Library load(const std::filesystem::path& file, const FileTag& tag, const std::vector<std::string>& allowed);

}  // namespace zstar::plugins
