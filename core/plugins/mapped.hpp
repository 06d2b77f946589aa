#pragma once
/// \file The libraries of this process and their build ids.

#include <string>
#include <string_view>
#include <vector>

namespace zstar::plugins {

struct MappedLibrary {
  std::string name;      ///< base name; empty: the program itself
  std::string build_id;  ///< hex; empty: it has none
};

std::vector<MappedLibrary> mapped();
/// The first whose name begins so; empty: the program itself.
MappedLibrary mapped_library(std::string_view prefix);

}  // namespace zstar::plugins
