#include "core/experiment/merge.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
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

std::string below(const std::string& path, std::string_view key) { return path + (path.empty() ? "" : ".") + std::string(key); }

/// Notes what `base` holds where `top` names another part.
void note_replaced(const toml::table& base, const toml::table& top, const std::string& path, std::vector<Replaced>& replaced) {
  const auto was = base["name"].value<std::string>(), is = top["name"].value<std::string>();
  if (!was || !is || *was == *is) return;
  Replaced old{path, *was, place_of(*base.get("name")), place_of(*top.get("name")), {}};
  for (const auto& [key, node] : base) old.keys.emplace_back(key.str(), place_of(node));
  replaced.push_back(std::move(old));
}

/// Later wins; tables are merged key by key, anything else is replaced.
void overlay(toml::table& base, toml::table&& top, const std::string& path, std::vector<Replaced>& replaced) {
  note_replaced(base, top, path, replaced);
  for (auto&& [key, node] : top) {
    toml::table* into = base.get_as<toml::table>(key.str());
    if (into && node.is_table()) overlay(*into, std::move(*node.as_table()), below(path, key.str()), replaced);
    else base.insert_or_assign(key, std::move(node));
  }
}

/// What the parser says, with what helps against it.
Message not_toml(const toml::parse_error& error) {
  const std::string said(error.description());
  const auto says = [&](const char* words) { return said.find(words) != std::string::npos; };
  std::string remedy = "look at the marked place and just before it";
  if (says("utf-8")) remedy = "save the file in UTF-8";
  if (says("not representable") || says("could not be interpreted")) remedy = "write a smaller number; text stands in quotes";
  return {place(error.source()), "not TOML: " + said, "", "", remedy};
}

/// All of a file; nothing for a folder, what cannot be read, and what is no experiment by its length, as a device that never ends.
std::optional<std::string> text_of(const fs::path& path) {
  constexpr std::size_t most = std::size_t{1} << 24;
  std::error_code unknown;
  if (fs::is_directory(path, unknown)) return std::nullopt;  // reading one throws
  std::ifstream in(path, std::ios::binary);
  if (!in.is_open()) return std::nullopt;
  std::string text;
  for (char block[4096]; text.size() <= most && (in.read(block, sizeof block), in.gcount() > 0);) text.append(block, static_cast<std::size_t>(in.gcount()));
  return in.bad() || text.size() > most ? std::nullopt : std::optional(std::move(text));
}

class Reader {
 public:
  explicit Reader(Diagnostics& d) : diagnostics_(d) {}
  std::vector<Replaced> replaced;

  toml::table file(const fs::path& path, const Place& asked_from) {
    const std::string name = path.lexically_normal().string();
    for (const std::string& open : open_)
      if (open == name) {
        diagnostics_.report({asked_from, "'" + name + "' includes itself", "", "", "remove it from the include list"});
        return {};
      }
    const auto text = text_of(path);
    if (!text) {
      Place where = asked_from.line ? asked_from : Place{name, 0, 0, 1};
      diagnostics_.report({where, asked_from.line ? "'" + name + "' cannot be read" : "cannot be read", "an experiment file, of at most 16 MiB", "", "check the path"});
      return {};
    }
    open_.push_back(name);
    toml::table table = this->text(*text, name, path.parent_path());
    open_.pop_back();
    return table;
  }

  toml::table text(std::string_view text, const std::string& name, const fs::path& folder) {
    diagnostics_.add_source(name, std::string(text));
    toml::table table;
    try {
      table = toml::parse(text, name);
    } catch (const toml::parse_error& error) {
      diagnostics_.report(not_toml(error));
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
      const auto path = entry.is_string() ? entry.value<std::string>() : std::nullopt;
      if (path && path->compare(0, 2, "~/") == 0)
        diagnostics_.report({place_of(entry), "'" + *path + "' begins with '~', which an experiment does not expand", "a path, absolute or from the folder of this file", "", "write the whole path"});
      else if (path) overlay(base, file(folder / *path, place_of(entry)), "", replaced);
      else diagnostics_.report({place_of(entry), "include holds what is no file name", "array of texts", "", "write file names in quotes"});
    };
    if (auto* array = list->as_array()) array->for_each([&](auto& entry) { one(entry); });
    else one(*list);
    table.erase("include");
    overlay(base, std::move(table), "", replaced);
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

/// How far a dotted path leads into what is there: a table, and the keys that it has not, at least the last of the path.
struct Descent {
  toml::table* table;
  std::vector<std::string> left;
};

std::string dotted(const std::vector<std::string>& keys, std::size_t first = 0) {
  std::string path;
  for (std::size_t i = first; i < keys.size(); ++i) path += (path.empty() ? "" : ".") + keys[i];
  return path;
}

/// \param nowhere  takes what is wrong with the path, and the nearest one
std::optional<Descent> descend(toml::table& root, const std::vector<std::string>& path, Message& nowhere) {
  nowhere.expected = "section.key, or section.INDEX.key for arrays of tables";
  toml::table* at = &root;
  std::string walked;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    toml::node* next = at->get(path[i]);
    if (!next) return Descent{at, {path.begin() + static_cast<std::ptrdiff_t>(i), path.end()}};
    walked += (walked.empty() ? "" : ".") + path[i];
    if (auto* array = next->as_array()) {
      const std::string& index = path[++i];
      const std::size_t first = index.find_first_not_of("+-");
      const bool number = first != std::string::npos && index.find_first_not_of("0123456789", first) == std::string::npos;  // one that may lie outside
      if (!number || first > 0 || index.size() > 6 || i + 1 == path.size() || std::stoul(index) >= array->size()) {
        nowhere.what = "'" + dotted(path) + "' leads nowhere: '" + walked + "' is an array with " + std::to_string(array->size()) + (array->size() == 1 ? " entry" : " entries");
        if (!array->empty() && !(number && i + 1 == path.size()))
          nowhere.did_you_mean = "'" + walked + "." + std::to_string(number ? array->size() - 1 : 0) + "." + dotted(path, number ? i + 1 : i) + "'";
        nowhere.remedy = "name an entry that is there, counted from 0, or give the whole array";
        return std::nullopt;
      }
      next = array->get(std::stoul(index));
      walked += "." + index;
    }
    at = next->as_table();
    if (at) continue;
    nowhere.what = "'" + dotted(path) + "' leads nowhere: '" + walked + "' is no table";
    nowhere.did_you_mean = "'" + walked + "'";
    nowhere.remedy = "set that key itself";
    return std::nullopt;
  }
  return Descent{at, {path.back()}};
}

/// A number beyond what 64 bits hold, which the parser takes for none.
bool too_large(std::string word) {
  word.erase(std::remove(word.begin(), word.end(), '_'), word.end());
  const std::size_t first = word.find_first_not_of("+-");
  if (first == std::string::npos || first > 1 || word[first] < '1' || word[first] > '9') return false;
  char* end = nullptr;
  errno = 0;
  if (word.find_first_not_of("0123456789", first) == std::string::npos) return std::strtoll(word.c_str(), &end, 10), errno == ERANGE;
  return std::isinf(std::strtod(word.c_str(), &end)) && *end == '\0';
}

/// The value of an assignment as TOML: as it was typed, or as text where it is none.
std::string toml_value(const std::string& typed) {
  try {
    if (toml::parse("v = " + typed).size() == 1) return typed;
  } catch (const toml::parse_error&) {  // a bare word
  }
  return to_toml_value(typed);
}

}  // namespace

Place place_of(const toml::node& node) { return place(node.source()); }
Place place_of(const toml::key& key) { return place(key.source()); }

Merged merge_file(const fs::path& file, Diagnostics& diagnostics) {
  Reader reader(diagnostics);
  toml::table root = reader.file(file, {});
  return {std::move(root), std::move(reader.replaced)};
}

Merged merge_text(std::string_view text, const std::string& name, Diagnostics& diagnostics) {
  Reader reader(diagnostics);
  toml::table root = reader.text(text, name, fs::current_path());
  return {std::move(root), std::move(reader.replaced)};
}

void apply_override(Merged& merged, const std::string& assignment, Diagnostics& diagnostics) {
  const std::string source = "--set '" + assignment + "'";
  const Place whole{source, 0, 0, 1};
  const std::size_t equals = assignment.find('=');
  std::vector<std::string> path = split(assignment.substr(0, equals));
  if (equals == std::string::npos || path.empty() || path.back().empty() || assignment[equals - 1] == '.') {
    diagnostics.report({whole, "not an assignment", "section.key=value", "", "write for example --set train.epochs=20"});
    return;
  }
  const std::string value = assignment.substr(equals + 1);
  if (too_large(value)) {
    diagnostics.report({whole, "the number is too large", "an integer up to 9223372036854775807, or a real number up to 1.8e308", "", "write a smaller one; text stands in quotes"});
    return;
  }
  Message nowhere{whole};
  const auto descent = descend(merged.root, path, nowhere);
  if (!descent) return diagnostics.report(std::move(nowhere));
  std::string keys;  // parsed with the value, so that both have their place
  for (const std::string& key : descent->left) keys += (keys.empty() ? "" : ".") + to_toml_value(key);
  try {
    toml::table one = toml::parse(keys + " = " + toml_value(value), source);
    path.resize(path.size() - descent->left.size());
    note_replaced(*descent->table, one, dotted(path), merged.replaced);
    for (auto&& [key, node] : one) descent->table->insert_or_assign(key, std::move(node));
  } catch (const toml::parse_error& error) {
    diagnostics.report({whole, "not an assignment: " + std::string(error.description()), "section.key=value", "", "write it in UTF-8"});
  }
}

}  // namespace zstar::experiment
