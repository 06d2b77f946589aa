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

/// The merged table; the sources that nodes point to live in `diagnostics`.
toml::table merge_file(const std::filesystem::path& file, Diagnostics& diagnostics);
toml::table merge_text(std::string_view text, const std::string& name, Diagnostics& diagnostics);
/// Applies "section.key=value"; a word that is no TOML value is taken as text.
void apply_override(toml::table& root, const std::string& assignment, Diagnostics& diagnostics);

Place place_of(const toml::node& node);
Place place_of(const toml::key& key);

}  // namespace zstar::experiment
