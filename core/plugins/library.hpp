#pragma once
/// \file Library: a plugin file loaded and entered. Once loaded, a library stays until the process ends.

#include <string>
#include <vector>

#include "core/plugins/elf.hpp"
#include "core/plugins/held_file.hpp"

namespace zstar::plugins {

struct Library {
  std::vector<const Factory*> factories;
  std::vector<std::string> warnings;  ///< what loading changed in the process, undone
};

/// Loads a file whose tag was read, and enters it. \throws PluginError  Z141, Z151, Z155–Z158
Library load(const HeldFile& file, const FileTag& tag);

}  // namespace zstar::plugins
