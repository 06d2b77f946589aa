#pragma once
/// \file Checkpoints: tensors and a JSON header in one file with a checksum.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>
#include <torch/types.h>

namespace zstar::runs {

/// Tensors by name ("model/W", "optimizer", "random/cpu", …) and numbers as JSON text.
struct Checkpoint {
  std::map<std::string, torch::Tensor> tensors;
  std::string state = "{}";  ///< JSON object
};

/// Writes whole or not at all. \throws RunError
void save(const Checkpoint& checkpoint, const std::filesystem::path& file);

/// \throws RunError  for a file that is truncated, damaged or no checkpoint, saying which
Checkpoint load(const std::filesystem::path& file);

/// The checkpoints of a run folder, newest first; none where it has no folder for them. \throws RunError  if they cannot be reached
std::vector<std::filesystem::path> checkpoints(const std::filesystem::path& run);

}  // namespace zstar::runs
