#include "core/experiment/flat.hpp"

#include <sstream>

#include "core/experiment/experiment.hpp"
#include "core/experiment/merge.hpp"

namespace zstar::experiment {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

void walk(const toml::node& node, const std::string& path, Rows& rows) {
  const auto below = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
  if (const auto* table = node.as_table()) {
    for (const auto& [key, inner] : *table) walk(inner, below(std::string(key.str())), rows);
    return;
  }
  const auto* array = node.as_array();
  if (array && !array->empty() && array->get(0)->is_table()) {
    for (std::size_t i = 0; i < array->size(); ++i) walk(*array->get(i), below(std::to_string(i)), rows);
    return;
  }
  std::ostringstream text;
  if (const auto* word = node.as_string()) text << word->get();
  else node.visit([&](const auto& value) { text << value; });
  rows.emplace_back(path, text.str());
}

}  // namespace

Rows flatten(const std::filesystem::path& file) {
  Diagnostics diagnostics;
  const toml::table root = merge_file(file, diagnostics).root;
  if (!diagnostics.empty()) throw Refused(diagnostics.formatted(), diagnostics.sorted());
  Rows rows;
  walk(root, "", rows);
  return rows;
}

}  // namespace zstar::experiment
