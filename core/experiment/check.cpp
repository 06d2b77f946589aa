#include "core/experiment/check.hpp"

#include "core/experiment/spec_text.hpp"
#include "zstar/nearest.hpp"

namespace zstar::experiment {
namespace {

constexpr const char* kind_words[] = {"solver", "gradient", "norm", "regularizer", "model", "dataset"};
const char* word(Kind kind) { return kind_words[static_cast<std::size_t>(kind)]; }

const char* type_word(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table: return "a table";
    case toml::node_type::array: return "an array";
    case toml::node_type::string: return "text";
    case toml::node_type::integer: return "an integer";
    case toml::node_type::floating_point: return "a real number";
    case toml::node_type::boolean: return "true or false";
    default: return "a date or time";
  }
}

/// What a table may hold: with ranges and defaults while the list is short; of a long one, those of the nearest names.
std::string known_list(const std::vector<OptSpec>& specs, const std::set<std::string>& known, const std::vector<std::string>& near) {
  const bool is_short = known.size() <= 8;
  std::string text;
  std::set<std::string> left = known;
  for (const OptSpec& s : specs)
    if (is_short || std::find(near.begin(), near.end(), s.name) != near.end()) {
      text += (text.empty() ? "" : ", ") + summary(s);
      left.erase(s.name);
    }
  return text + (text.empty() || left.empty() ? "" : is_short ? ", " : "; or ") + quoted({left.begin(), left.end()});
}

/// What any of the choices takes.
std::vector<OptSpec> options_of_any(const SectionSpec& spec) {
  std::vector<OptSpec> all;
  for (const auto& [variant, specs] : spec.variants)
    for (const OptSpec& s : specs)
      if (std::none_of(all.begin(), all.end(), [&](const OptSpec& o) { return o.name == s.name; })) all.push_back(s);
  return all;
}

bool altered(const Section& section, const std::string& default_part) {
  if (section.part != default_part) return true;
  for (const Settings* settings : {&section.framework, &section.options})
    for (const Setting& s : *settings)
      for (const OptSpec& spec : section.specs)
        if (spec.name == s.name && to_toml_value(spec.def) != to_toml_value(s.value)) return true;
  return std::any_of(section.nested.begin(), section.nested.end(), [](const Section& inner) { return inner.altered; });
}

}  // namespace

Message wrong_value(const Place& place, const OptSpec& spec, std::string what) {
  const std::string def = to_toml_value(spec.def);
  return {place, std::move(what), type_text(spec) + (def.empty() ? "" : ", default " + def), "",
          spec.doc.empty() ? "give such a value" : "give such a value ('" + spec.name + "': " + spec.doc + ")"};
}

Message refused_option(const Section& section, const OptionError& error, const Origins& origins, const Place& nowhere) {
  const auto spec = std::find_if(section.specs.begin(), section.specs.end(), [&](const OptSpec& o) { return o.name == error.option(); });
  const auto origin = std::find_if(origins.begin(), origins.end(), [&](const auto& o) { return o.first == section.path + "." + error.option(); });
  const bool given = origin != origins.end() && origin->second.source != "default", known = spec != section.specs.end();
  const Place table = section.place.source.empty() ? nowhere : section.place;
  const Fault fault = fault_of(error);
  Message message = wrong_value(given ? origin->second : table, known ? *spec : OptSpec{},
                                section.path + (section.part.empty() ? "" : " '" + section.part + "'") + ", option '" + error.option() + "': " + fault.what);
  if (!known || !fault.expected.empty()) message.expected = fault.expected;
  else if (spec->type == OptType::text && spec->choices.empty()) message.expected = fault.remedy.empty() ? "" : spec->doc;  // that it is a text was no fault
  if (!fault.remedy.empty()) message.remedy = fault.remedy;
  return message;
}

std::optional<Part> Checker::part(const OptSpec& spec, toml::node& node) {
  toml::table* table = node.as_table();
  const auto name = table ? (*table)["name"].value<std::string>() : std::nullopt;
  if (!name) {
    wrong(node, spec, "option '" + spec.name + "' names no " + word(spec.part_kind));
    return std::nullopt;
  }
  SectionSpec own{spec.name, "", spec.part_kind};
  const auto options = options_of(own, *name, place_of(*table->get("name")));
  if (!options) return std::nullopt;
  std::set<std::string> known{"name"};
  Part result{*name, settings(*options, table, "", known)};
  unknown_keys(*table, known, *options, std::string(word(spec.part_kind)) + " '" + *name + "'", *name);
  return result;
}

std::optional<OptValue> Checker::part_list(const OptSpec& spec, toml::node& node) {
  std::vector<Part> parts;
  bool good = true;
  const auto add = [&](toml::node& entry) {
    if (auto p = part(spec, entry)) parts.push_back(std::move(*p));
    else good = false;
  };
  if (auto* array = node.as_array(); array && spec.type == OptType::parts)
    for (auto& entry : *array) add(entry);
  else add(node);
  return good ? std::optional<OptValue>(std::move(parts)) : std::nullopt;
}

std::optional<OptValue> Checker::list(const OptSpec& spec, toml::node& node) {
  std::vector<std::int64_t> integers;
  std::vector<double> reals;
  std::vector<std::string> texts;
  const auto add = [&](toml::node& entry) {
    if (spec.type == OptType::integers && entry.is_integer()) integers.push_back(entry.as_integer()->get());
    else if (spec.type == OptType::reals && entry.is_number()) reals.push_back(*entry.value<double>());
    else if (spec.type == OptType::texts && entry.is_string()) texts.push_back(entry.as_string()->get());
    else return wrong(entry, spec, std::string("option '") + spec.name + "' holds " + type_word(entry)), false;
    return true;
  };
  if (auto* array = node.as_array()) {
    for (auto& entry : *array)
      if (!add(entry)) return std::nullopt;
  } else if (!add(node)) {
    return std::nullopt;
  }
  if (spec.type == OptType::integers) return integers;
  if (spec.type == OptType::reals) return reals;
  return texts;
}

std::optional<OptValue> Checker::value(const OptSpec& spec, toml::node& node) {
  std::optional<OptValue> result;
  switch (spec.type) {
    case OptType::boolean:
      if (node.is_boolean()) result = node.as_boolean()->get();
      break;
    case OptType::integer:
      if (node.is_integer()) result = node.as_integer()->get();
      break;
    case OptType::real:
      if (node.is_number()) result = *node.value<double>();
      break;
    case OptType::text:
      if (node.is_string()) result = node.as_string()->get();
      break;
    case OptType::integers:
    case OptType::reals:
    case OptType::texts:
      result = list(spec, node);
      if (!result) return std::nullopt;
      break;
    case OptType::part:
    case OptType::parts: return part_list(spec, node);
  }
  if (!result) {
    wrong(node, spec, "option '" + spec.name + "' is " + type_word(node));
    return std::nullopt;
  }
  if (const std::string fault = range_fault(spec, *result); !fault.empty()) {
    wrong(node, spec, "option '" + spec.name + "': " + fault);
    return std::nullopt;
  }
  return result;
}

OptValue Checker::default_of(const OptSpec& spec) {
  const auto* parts = std::get_if<std::vector<Part>>(&spec.def);
  if (!parts || parts->empty()) return spec.def;
  toml::table written = toml::parse(spec.name + " = " + to_toml_value(spec.def), std::string_view("default"));
  std::optional<OptValue> whole = part_list(spec, *written.get(spec.name));
  return whole ? std::move(*whole) : spec.def;
}

Settings Checker::settings(const std::vector<OptSpec>& specs, toml::table* table, const std::string& path, std::set<std::string>& known) {
  Settings result;
  for (const OptSpec& spec : specs) {
    known.insert(spec.name);
    toml::node* node = table ? table->get(spec.name) : nullptr;
    std::optional<OptValue> given = node ? value(spec, *node) : std::nullopt;
    if (!path.empty()) origins_.emplace_back(path + "." + spec.name, given ? place_of(*node) : Place{"default"});
    result.push_back({spec.name, given ? std::move(*given) : default_of(spec)});
  }
  return result;
}

void Checker::unknown_keys(const toml::table& table, const std::set<std::string>& known, const std::vector<OptSpec>& specs,
                           const std::string& owner, const std::string& plugin) {
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    if (known.count(name)) continue;
    const auto near = nearest(name, {known.begin(), known.end()});
    Place place = place_of(key);
    if (place.source != place_of(node).source) place = place_of(node);  // an override gives the key of a file another value
    diagnostics_.report({place, "unknown option '" + name + "' of " + owner, known_list(specs, known, near), quoted(near),
                         std::string(near.empty() ? "remove the key" : "rename the key") +
                             (plugin.empty() ? "" : "; 'zstar plugins show " + plugin + "' explains each option")});
  }
}

std::string Checker::part_name(const SectionSpec& spec, toml::table* table, const Place& place) {
  toml::node* node = table ? table->get("name") : nullptr;
  const std::string name = node ? node->value_or(std::string()) : "";
  if (!name.empty() || (!node && !whole_)) return name;
  if (node && node->is_string()) diagnostics_.report({place_of(*node), "'name' is empty", "the name of a " + std::string(spec.kind ? word(*spec.kind) : "choice"), "", "'zstar plugins list' shows which there are"});
  else if (node) diagnostics_.report({place_of(*node), std::string("'name' is ") + type_word(*node), "text", "", "write the name in quotes"});
  else if (spec.default_part.empty())
    diagnostics_.report({place, "section '" + spec.name + "' names no " + (spec.kind ? word(*spec.kind) : "choice"), "name = \"…\"", "",
                         spec.may_be_none ? "add the key 'name'; \"none\" leaves it out" : "add the key 'name'"});
  return spec.default_part;
}

std::optional<std::vector<OptSpec>> Checker::options_of(const SectionSpec& spec, const std::string& name, const Place& place) {
  std::vector<std::string> names;
  for (const auto& [variant, specs] : spec.variants) {
    if (variant == name) return specs;
    names.push_back(variant);
  }
  const std::string what = spec.kind ? word(*spec.kind) : spec.name;
  Fault fault{"", "unknown " + what + " '" + name + "'", quoted(names), quoted(nearest(name, names)), "name one of them"};
  if (spec.kind) try {
      return parts_.options(*spec.kind, name);
    } catch (const std::exception& error) {
      fault = fault_of(std::string(error.what()));
      if (fault.what.compare(0, 8, "unknown ") != 0) fault.what = what + " '" + name + "' cannot be used: " + fault.what;
      else if (spec.may_be_none) fault.expected += ", or 'none'";
    }
  diagnostics_.report({place, fault.what, fault.expected, fault.did_you_mean, fault.remedy});
  return std::nullopt;
}

/// Removes what files said for a part that a later layer replaced and the new one does not know, and says so. The old part is not asked: it
/// is not used, and may be gone.
void Checker::drop_replaced(toml::table& table, const std::string& path, const std::set<std::string>& known) {
  for (const Replaced& old : replaced_) {
    if (old.path != path) continue;
    std::vector<std::string> left;
    for (const auto& [key, place] : old.keys) {
      const toml::node* node = known.count(key) ? nullptr : table.get(key);
      if (!node || place.line == 0 || place_of(*node).text() != place.text()) continue;  // overrides belong together, whatever their order
      table.erase(key);
      left.push_back(key);
    }
    if (!left.empty())
      notes_.push_back(old.place.text() + ": " + path + " '" + old.name + "' was replaced by " + old.by.text() + "; what the file says of its options " + quoted(left) + " has no effect");
  }
}

void Checker::note_idle(Section& section) {
  for (Section& inner : section.nested) {
    const std::string why = parts_.idle(section, inner);
    inner.idle = !why.empty();
    const Place& at = inner.place.source.empty() ? section.place : inner.place;
    if (inner.idle && inner.altered) notes_.push_back((at.source.empty() ? "" : at.text() + ": ") + inner.path + " has no effect: " + why);
  }
}

Section Checker::section(const SectionSpec& spec, toml::table* table, const std::string& path, const Place& place) {
  Section result;
  result.name = spec.name;
  result.path = path;
  result.place = place;
  std::set<std::string> known;
  std::vector<OptSpec> listed = spec.framework;
  bool complete = true;
  if (spec.kind || !spec.variants.empty()) {
    known.insert("name");
    result.part = part_name(spec, table, place);
    toml::node* node = table ? table->get("name") : nullptr;
    origins_.emplace_back(path + ".name", node ? place_of(*node) : Place{"default"});
    auto options = result.part.empty() ? std::nullopt : options_of(spec, result.part, node ? place_of(*node) : place);
    if (!options && !spec.variants.empty()) options = options_of_any(spec);
    complete = options.has_value();
    if (options) {
      for (const OptSpec& o : *options)
        for (const OptSpec& f : spec.framework)
          if (o.name == f.name)
            diagnostics_.report({place, "option '" + o.name + "' of '" + result.part + "' is a key of the framework", "", "", "the plugin must rename it"});
      result.options = settings(*options, table, path, known);
      listed.insert(listed.begin(), options->begin(), options->end());
    }
  }
  result.framework = settings(spec.framework, table, path, known);
  result.specs = listed;
  for (const SectionSpec& inner : spec.nested) {
    known.insert(inner.name);
    toml::node* node = table ? table->get(inner.name) : nullptr;
    toml::table* inside = node ? node->as_table() : nullptr;
    if (node && !inside) diagnostics_.report({place_of(*node), "'" + inner.name + "' is " + type_word(*node), "a table", "", "write " + inner.name + " = { name = \"…\" }, or [" + path + "." + inner.name + "]"});
    if (!inside && inner.wanted && !inner.wanted(result.framework)) continue;
    result.nested.push_back(section(inner, inside, path + "." + inner.name, inside ? place_of(*inside) : place));
    if (!inside && inner.kind == spec.kind && inner.default_part == result.part) result.nested.back().options = result.options;
  }
  if (complete) note_idle(result);
  result.altered = altered(result, spec.default_part);
  if (table && complete && (spec.kind || !spec.variants.empty())) drop_replaced(*table, path, known);
  if (table && complete)
    unknown_keys(*table, known, listed, result.part.empty() ? "section '" + spec.name + "'" : (spec.kind ? word(*spec.kind) : spec.name) + (" '" + result.part + "'"),
                 spec.kind ? result.part : "");
  return result;
}

/// Reads a section, and reports what it asks for and cannot be.
void Checker::add(const SectionSpec& spec, toml::table* table, const std::string& path, const Place& place, std::vector<Section>& sections) {
  const std::size_t before = diagnostics_.count();
  sections.push_back(section(spec, table, path, place));
  for (const Fault& fault : parts_.accept(sections.back())) {
    const toml::node* at = table ? table->get(fault.option) : nullptr;
    diagnostics_.report({at ? place_of(*at) : place, fault.what, fault.expected, fault.did_you_mean, fault.remedy});
  }
  sections.back().sound = diagnostics_.count() == before;
  if (!sections.back().sound || !whole_) return;
  for (const PartRefusal& refusal : parts_.make(sections)) diagnostics_.report(refused_option(*refusal.section, refusal.error, origins_, Place{}));
}

std::vector<Section> Checker::check(Merged& merged, const Schema& schema) {
  toml::table& root = merged.root;
  replaced_ = merged.replaced;
  std::vector<Section> sections;
  std::set<std::string> known;
  for (const SectionSpec& spec : schema) {
    known.insert(spec.name);
    toml::node* node = root.get(spec.name);
    if (!node && (!whole_ || (!spec.required && spec.default_part.empty() && (spec.kind || spec.array)))) continue;  // an optional part
    if (!node && spec.required) {
      diagnostics_.report({{}, "section '" + spec.name + "' is missing: " + spec.doc, "[" + spec.name + "]", "", "add it"});
      continue;
    }
    if (spec.array) {
      auto* array = node->as_array();
      if (!array || (!array->empty() && !array->is_homogeneous(toml::node_type::table))) {
        diagnostics_.report({place_of(*node), "'" + spec.name + "' is " + type_word(*node), "an array of tables, [[" + spec.name + "]]", "", "write [[" + spec.name + "]]"});
        continue;
      }
      for (std::size_t i = 0; i < array->size(); ++i)
        add(spec, array->get(i)->as_table(), spec.name + "." + std::to_string(i), place_of(*array->get(i)), sections);
      continue;
    }
    toml::table* table = node ? node->as_table() : nullptr;
    if (node && !table) {
      diagnostics_.report({place_of(*node), "'" + spec.name + "' is " + type_word(*node), "a table, [" + spec.name + "]", "", "write [" + spec.name + "]"});
      continue;
    }
    if (spec.may_be_none && table && (*table)["name"].value<std::string>() == "none") {
      drop_replaced(*table, spec.name, {"name"});
      unknown_keys(*table, {"name"}, {}, spec.name + " 'none'", "");
      continue;
    }
    add(spec, table, spec.name, table ? place_of(*table) : Place{}, sections);
  }
  for (const auto& [key, node] : root) {
    const std::string name(key.str());
    if (known.count(name)) continue;
    const auto near = nearest(name, {known.begin(), known.end()});
    Place place = place_of(key);
    if (place.source.empty()) place = place_of(node);
    diagnostics_.report({place, "unknown section '" + name + "'", quoted({known.begin(), known.end()}), quoted(near), near.empty() ? "remove it" : "rename it"});
  }
  return sections;
}

}  // namespace zstar::experiment
