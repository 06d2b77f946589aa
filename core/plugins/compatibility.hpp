#pragma once
/// \file Whether a tagged file fits this process, decided before anything of it runs.

#include <optional>

#include "core/plugins/elf.hpp"

namespace zstar::plugins {

/// Base names of the libraries mapped in this process.
std::vector<std::string> mapped_libraries();

/// The first rule that the file breaks; nothing if it fits. \param own  lines that this program would write of itself
/// \param mapped  base names of the libraries of this process
std::optional<Refusal> incompatibility(const FileTag& tag, const Lines& own, const std::vector<std::string>& mapped);

/// This program's own lines (abi, sdk, layout, torch, …).
const Lines& own_lines();

}  // namespace zstar::plugins
