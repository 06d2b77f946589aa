#include "core/experiment/merge.hpp"

#include <fstream>
#include <iterator>
#include <sstream>

#include "core/experiment/spec_text.hpp"

namespace zstar::experiment {
namespace fs = std::filesystem;
namespace {

Place place(const toml::source_region& region) {
  const std::uint32_t length =
      region.end.line == region.begin.line && region.end.column > region.begin.column ? region.end.column - region.begin.column : 1;
  const std::string source = region.path ? *region.path : "";
  if (source.compare(0, 6, "--set ") == 0) return {source, 0, 0, 1};  // the whole assignment is shown already
  return {source, region.begin.line, region.begin.column, length};
}

/// Later wins; tables are merged key by key, anything else is replaced.
void overlay(toml::table& base, toml::table&& top) {
  for (auto&& [key, node] : top) {
    toml::table* into = base.get_as<toml::table>(key.str());
    if (into && node.is_table()) overlay(*into, std::move(*node.as_table()));
    else base.insert_or_assign(key, std::move(node));
  }
}

class Reader {
 public:
  explicit Reader(Diagnostics& d) : diagnostics_(d) {}

  toml::table file(const fs::path& path, const Place& asked_from) {
    const std::string name = path.lexically_normal().string();
    for (const std::string& open : open_)
      if (open == name) {
        diagnostics_.report({asked_from, "'" + name + "' includes itself", "", "", "remove it from the include list"});
        return {};
      }
    std::error_code unknown;
    const bool folder = fs::is_directory(path, unknown);  // reading one throws
    std::ifstream in(path);
    const std::string text = folder ? "" : std::string{std::istreambuf_iterator<char>(in), {}};
    if (folder || !in.is_open() || in.bad()) {
      Place where = asked_from.line ? asked_from : Place{name, 0, 0, 1};
      diagnostics_.report({where, asked_from.line ? "'" + name + "' cannot be read" : "cannot be read", "an experiment file", "", "check the path"});
      return {};
    }
    open_.push_back(name);
    toml::table table = this->text(text, name, path.parent_path());
    open_.pop_back();
    return table;
  }

  toml::table text(std::string_view text, const std::string& name, const fs::path& folder) {
    diagnostics_.add_source(name, std::string(text));
    toml::table table;
    try {
      table = toml::parse(text, name);
    } catch (const toml::parse_error& error) {
      diagnostics_.report({place(error.source()), "not TOML: " + std::string(error.description()), "", "", "look at the marked place and just before it"});
      return {};
    }
    return included(std::move(table), folder);
  }

 private:
  toml::table included(toml::table&& table, const fs::path& folder) {
    toml::node* list = table.get("include");
    if (!list) return std::move(table);
    toml::table base;
    const auto one = [&](toml::node& entry) {
      if (const auto path = entry.value<std::string>(); path && entry.is_string()) overlay(base, file(folder / *path, place_of(entry)));
      else diagnostics_.report({place_of(entry), "include holds what is no file name", "array of texts", "", "write file names in quotes"});
    };
    if (auto* array = list->as_array()) array->for_each([&](auto& entry) { one(entry); });
    else one(*list);
    table.erase("include");
    overlay(base, std::move(table));
    return base;
  }

  Diagnostics& diagnostics_;
  std::vector<std::string> open_;
};

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> parts;
  std::istringstream in(path);
  for (std::string part; std::getline(in, part, '.');) parts.push_back(part);
  return parts;
}

/// The table that a dotted path leads to, made where it is missing; an index leads into an array of tables.
toml::table* descend(toml::table& root, const std::vector<std::string>& path) {
  toml::table* at = &root;
  for (std::size_t i = 0; i < path.size(); ++i) {
    toml::node* next = at->get(path[i]);
    if (!next) next = &at->insert_or_assign(path[i], toml::table{}).first->second;
    if (auto* array = next->as_array()) {
      if (++i >= path.size() || path[i].find_first_not_of("0123456789") != std::string::npos || path[i].size() > 6) return nullptr;
      next = array->get(std::stoul(path[i]));
    }
    if (!next || !(at = next->as_table())) return nullptr;
  }
  return at;
}

}  // namespace

Place place_of(const toml::node& node) { return place(node.source()); }
Place place_of(const toml::key& key) { return place(key.source()); }

toml::table merge_file(const fs::path& file, Diagnostics& diagnostics) { return Reader(diagnostics).file(file, {}); }

toml::table merge_text(std::string_view text, const std::string& name, Diagnostics& diagnostics) {
  return Reader(diagnostics).text(text, name, fs::current_path());
}

void apply_override(toml::table& root, const std::string& assignment, Diagnostics& diagnostics) {
  const std::string source = "--set '" + assignment + "'";
  const Place whole{source, 0, 0, 1};
  const std::size_t equals = assignment.find('=');
  std::vector<std::string> path = split(assignment.substr(0, equals));
  if (equals == std::string::npos || path.empty() || path.back().empty() || assignment[equals - 1] == '.') {
    diagnostics.report({whole, "not an assignment", "section.key=value", "", "write for example --set train.epochs=20"});
    return;
  }
  const std::string value = assignment.substr(equals + 1);
  toml::table parsed;
  try {
    parsed = toml::parse("v = " + value, source);
    if (parsed.size() != 1) throw std::invalid_argument("more than a value");
  } catch (const std::exception&) {
    parsed = toml::parse("v = " + to_toml_value(value), source);  // a bare word is text
  }
  const std::string key = path.back();
  path.pop_back();
  if (toml::table* table = descend(root, path)) table->insert_or_assign(key, std::move(*parsed.get("v")));
  else diagnostics.report({whole, "'" + assignment.substr(0, equals) + "' leads nowhere", "section.key, or section.INDEX.key for arrays of tables", "", ""});
}

}  // namespace zstar::experiment
