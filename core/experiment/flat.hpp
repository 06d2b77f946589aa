#pragma once
/// \file Experiment files as flat lists of keys, unchecked: for comparison and completion, where parts may be gone.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace zstar::experiment {

/// Every value of a file and its includes: dotted key and the value as text ("solver.memory", "5").
/// \throws Refused  if it cannot be read or is not TOML
std::vector<std::pair<std::string, std::string>> flatten(const std::filesystem::path& file);

}  // namespace zstar::experiment
