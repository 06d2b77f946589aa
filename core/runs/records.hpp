#pragma once
/// \file Records of a run as they stand in metrics.jsonl.

#include <filesystem>
#include <vector>

#include <nlohmann/json.hpp>

namespace zstar::runs {

/// The records that can be read, in the order of the file; each has `kind` and `step`. A torn last line is left out.
std::vector<nlohmann::ordered_json> read_records(const std::filesystem::path& run);

/// Whether a quantity is drawn for a kind of record; of training, what a reader looks for first.
bool drawn(const std::string& quantity, const std::string& kind);

}  // namespace zstar::runs
