#pragma once
/// \file Merging: an experiment file with its includes and overrides as one table; positions stay with the values.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#define TOML_ENABLE_FORMATTERS 1
#define TOML_ASSERT(expr) static_assert(true)  // bad input trips the parser's assertions before it is refused
#include <toml++/toml.h>

#include "core/experiment/diagnostics.hpp"

namespace zstar::experiment {

/// A part that a later layer replaced by naming another one, with the keys that its table had until then: options of the old part leave with it.
struct Replaced {
  std::string path, name;  ///< of the table ("gradient.solver"), of the old part
  Place place, by;         ///< of the old name and of the new one
  std::vector<std::pair<std::string, Place>> keys;
};

/// Layers laid over each other; the sources that nodes point to live in the diagnostics.
struct Merged {
  toml::table root;
  std::vector<Replaced> replaced;
};

Merged merge_file(const std::filesystem::path& file, Diagnostics& diagnostics);
Merged merge_text(std::string_view text, const std::string& name, Diagnostics& diagnostics);
/// Applies "section.key=value"; a word that is no TOML value is taken as text.
void apply_override(Merged& merged, const std::string& assignment, Diagnostics& diagnostics);

Place place_of(const toml::node& node);
Place place_of(const toml::key& key);

}  // namespace zstar::experiment
