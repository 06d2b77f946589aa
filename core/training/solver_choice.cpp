#include "core/training/solver_choice.hpp"

#include <algorithm>

#include "core/experiment/spec_text.hpp"
#include "zstar/nearest.hpp"

namespace zstar::training {
namespace {

bool fits(OptType type, const OptValue& value) {
  switch (type) {
    case OptType::boolean: return std::holds_alternative<bool>(value);
    case OptType::integer: return std::holds_alternative<std::int64_t>(value);
    case OptType::real: return std::holds_alternative<double>(value) || std::holds_alternative<std::int64_t>(value);
    case OptType::text: return std::holds_alternative<std::string>(value);
    case OptType::integers: return std::holds_alternative<std::vector<std::int64_t>>(value);
    case OptType::reals: return std::holds_alternative<std::vector<double>>(value);
    case OptType::texts: return std::holds_alternative<std::vector<std::string>>(value);
    case OptType::part:
    case OptType::parts: return std::holds_alternative<std::vector<Part>>(value);
  }
  return false;
}

/// Puts a setting into those of the table that has it. \return whether it does
bool put(const std::vector<OptSpec>& table, const Setting& change, Settings& settings) {
  const auto spec = std::find_if(table.begin(), table.end(), [&](const OptSpec& s) { return s.name == change.name; });
  if (spec == table.end()) return false;
  const bool unset = spec->optional && std::holds_alternative<std::monostate>(change.value);
  const std::string fault = unset ? "" : fits(spec->type, change.value) ? experiment::range_fault(*spec, change.value) : "the value is of another type";
  if (!fault.empty()) throw OptionError(change.name, "setting '" + change.name + "' of a call: " + fault + "; expected: " + experiment::type_text(*spec));
  const auto given = std::find_if(settings.begin(), settings.end(), [&](const Setting& s) { return s.name == change.name; });
  if (given == settings.end()) settings.push_back(change);
  else given->value = change.value;
  return true;
}

[[noreturn]] void unknown(const std::string& solver, const std::string& option, const std::vector<OptSpec>& framework, const std::vector<OptSpec>& own) {
  std::vector<std::string> names;
  for (const auto* table : {&framework, &own})
    for (const OptSpec& s : *table) names.push_back(s.name);
  const auto near = nearest(option, names);
  throw OptionError(option, "unknown setting '" + option + "' of a call of solver '" + solver + "'" + (near.empty() ? "" : "; did you mean: " + quoted(near) + "?") + "; expected one of " + quoted(names));
}

}  // namespace

gradient::SolverChoice solver_choice(plugins::Catalogue& catalogue, Host& host, const std::string& name, const Settings& settings, const solve::Options& options) {
  gradient::SolverChoice choice{name, [&catalogue, &host, name, settings] { return catalogue.create<Solver>(Kind::solver, name, settings, host); }, options};
  choice.with = [&catalogue, &host, name, settings, options](const Settings& changes) {
    const auto framework = describe(solve::Options::options());
    const auto& own = catalogue.options(Kind::solver, name);
    Settings of_framework, of_solver = settings;
    for (const Setting& change : changes)
      if (!put(framework, change, of_framework) && !put(own, change, of_solver)) unknown(name, change.name, framework, own);
    solve::Options changed = options;
    assign(solve::Options::options(), of_framework, changed);
    return solver_choice(catalogue, host, name, of_solver, changed);
  };
  return choice;
}

}  // namespace zstar::training
