/// \file The resolved experiment for machines.
#include <functional>

#include <nlohmann/json.hpp>

#include "core/experiment/experiment.hpp"
#include "core/experiment/spec_text.hpp"

namespace zstar::experiment {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const OptValue& value);

ordered_json to_json(const Part& part) {
  ordered_json json{{"name", part.name}};
  for (const Setting& s : part.settings) json[s.name] = to_json(s.value);
  return json;
}

ordered_json to_json(const OptValue& value) {
  return std::visit(
      []<class T>(const T& v) -> ordered_json {
        if constexpr (std::is_same_v<T, std::monostate>) return nullptr;
        else if constexpr (std::is_same_v<T, std::vector<Part>>) {
          ordered_json list = ordered_json::array();
          for (const Part& p : v) list.push_back(to_json(p));
          return list;
        } else return v;
      },
      value);
}

}  // namespace

std::string Experiment::to_json() const {
  ordered_json json = ordered_json::object();
  const auto put = [&](const std::string& key, ordered_json value) {
    json[key]["value"] = std::move(value);
    for (const auto& [dotted, place] : origins_)
      if (dotted == key) json[key]["origin"] = place.text();
  };
  const std::function<void(const Section&)> add = [&](const Section& s) {
    if (!s.part.empty()) put(s.path + ".name", s.part);
    for (const Settings* settings : {&s.framework, &s.options})
      for (const Setting& o : *settings) put(s.path + "." + o.name, zstar::experiment::to_json(o.value));
    for (const Section& inner : s.nested)
      if (!inner.idle) add(inner);
  };
  for (const Section& s : sections_) add(s);
  return json.dump(2);
}

}  // namespace zstar::experiment
