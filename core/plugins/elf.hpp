#pragma once
/// \file The tag reader: what a file says of itself, by bounded reads; nothing of it is executed or mapped.

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/plugins/refusal.hpp"

namespace zstar::plugins {

using Lines = std::vector<std::pair<std::string, std::string>>;

/// The value of a key, empty if it is missing.
std::string value_of(const Lines& lines, std::string_view key);
/// "key=value" lines as pairs. \return nothing if a line has no '='
std::optional<Lines> parse_lines(std::string_view text);

struct FileTag {
  Lines ident;
  std::vector<Lines> provides;
  std::string ident_text;              ///< as in the file, to be compared with the one in memory
  std::vector<std::string> needed;     ///< DT_NEEDED
  std::uint64_t device = 0, inode = 0;
};

/// Reads the tag of a file.
std::variant<FileTag, Refusal> read_tag(const std::filesystem::path& file);

}  // namespace zstar::plugins
