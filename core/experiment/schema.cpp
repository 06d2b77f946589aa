/// \file JSON schema of experiment files, draft 4 (what TOML editors understand).
#include <cmath>

#include <nlohmann/json.hpp>

#include "core/experiment/experiment.hpp"
#include "core/experiment/spec_text.hpp"

namespace zstar::experiment {
namespace {

using nlohmann::json;

/// An array of these, or one.
json or_one(const json& item) { return {{"anyOf", {item, {{"type", "array"}, {"items", item}}}}}; }

json of_value(const OptSpec& s, const PartTables& parts) {
  json j;
  const auto number = [&](const char* type) {
    j["type"] = type;
    if (std::isfinite(s.low)) j["minimum"] = s.low;
    if (std::isfinite(s.high)) j["maximum"] = s.high;
    if (s.open_low) j["exclusiveMinimum"] = true;
    if (s.open_high) j["exclusiveMaximum"] = true;
  };
  switch (s.type) {
    case OptType::boolean: j["type"] = "boolean"; break;
    case OptType::integer: number("integer"); break;
    case OptType::real: number("number"); break;
    case OptType::text: j["type"] = "string"; break;
    case OptType::integers: number("integer"), j = or_one(j); break;
    case OptType::reals: number("number"), j = or_one(j); break;
    case OptType::texts: j = or_one({{"type", "string"}}); break;
    case OptType::part:
    case OptType::parts:
      j = {{"type", "object"}, {"required", {"name"}}, {"properties", {{"name", {{"enum", parts.names(s.part_kind)}}}}}};
      if (s.type == OptType::parts) j = or_one(j);
      break;
  }
  if (!s.choices.empty()) j["enum"] = s.choices;
  j["description"] = summary(s) + ": " + s.doc;
  return j;
}

json of_section(const SectionSpec& spec, const PartTables& parts) {
  json properties = json::object();
  std::vector<std::pair<std::string, std::vector<OptSpec>>> choices = spec.variants;
  if (spec.kind)
    for (const std::string& name : parts.names(*spec.kind)) choices.emplace_back(name, parts.options(*spec.kind, name));
  for (const OptSpec& s : spec.framework) properties[s.name] = of_value(s, parts);
  for (const SectionSpec& inner : spec.nested) properties[inner.name] = of_section(inner, parts);
  json table{{"type", "object"}, {"description", spec.doc}};
  if (choices.empty()) {
    table["properties"] = properties;
    table["additionalProperties"] = false;
    return table;
  }
  for (const auto& [name, specs] : choices) {
    json own = properties;
    own["name"] = {{"enum", {name}}};
    for (const OptSpec& s : specs) own[s.name] = of_value(s, parts);
    table["anyOf"].push_back({{"properties", own}, {"additionalProperties", false}});
  }
  if (spec.may_be_none) table["anyOf"].push_back({{"properties", {{"name", {{"enum", {"none"}}}}}}, {"additionalProperties", false}});
  return table;
}

}  // namespace

std::string json_schema(const Schema& schema, const PartTables& parts) {
  json root{{"$schema", "http://json-schema.org/draft-04/schema#"}, {"title", "zstar experiment"}, {"type", "object"}, {"additionalProperties", false}};
  root["properties"]["include"] = or_one({{"type", "string"}});
  root["properties"]["include"]["description"] = "files read before this one; later wins";
  json whole;
  for (const SectionSpec& spec : schema) {
    const json section = of_section(spec, parts);
    root["properties"][spec.name] = spec.array ? json{{"type", "array"}, {"items", section}} : section;
    if (spec.required) whole["required"].push_back(spec.name);
    if (!spec.kind || !spec.default_part.empty()) continue;
    json& named = spec.array ? root["properties"][spec.name]["items"] : whole["properties"][spec.name];
    named["required"] = json::array({"name"});
  }
  root["anyOf"] = json::array({whole, json{{"required", json::array({"include"})}}});  // what is missing may stand in a file that is included
  return root.dump(2);
}

}  // namespace zstar::experiment
