#pragma once
/// \file Checking: a merged table against the schema and the option tables of the parts that it names.

#include <set>

#include "core/experiment/experiment.hpp"
#include "core/experiment/merge.hpp"

namespace zstar::experiment {

using Origins = std::vector<std::pair<std::string, Place>>;

/// What is wrong with the value of an option; what is expected is said from its table.
Message wrong_value(const Place& place, const OptSpec& spec, std::string what);

/// What a part says about one of its options, at the place of the option, else of its table. \param nowhere  where neither stands in a file
Message refused_option(const Section& section, const OptionError& error, const Origins& origins, const Place& nowhere);

/// Turns tables into sections; everything that is wrong goes to the diagnostics.
class Checker {
 public:
  /// \param whole  all files were read; else what is missing may stand in one that was not, and is no error
  Checker(const PartTables& parts, Diagnostics& diagnostics, Origins& origins, bool whole)
      : parts_(parts), diagnostics_(diagnostics), origins_(origins), whole_(whole) {}

  std::vector<Section> check(Merged& merged, const Schema& schema);
  /// What was left out without being wrong, as sentences.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  void add(const SectionSpec& spec, toml::table* table, const std::string& path, const Place& place, std::vector<Section>& sections);
  Section section(const SectionSpec& spec, toml::table* table, const std::string& path, const Place& place);
  void note_idle(Section& section);
  void drop_replaced(toml::table& table, const std::string& path, const std::set<std::string>& known);
  std::string part_name(const SectionSpec& spec, toml::table* table, const Place& place);
  std::optional<std::vector<OptSpec>> options_of(const SectionSpec& spec, const std::string& name, const Place& place);
  Settings settings(const std::vector<OptSpec>& specs, toml::table* table, const std::string& path, std::set<std::string>& known);
  std::optional<OptValue> value(const OptSpec& spec, toml::node& node);
  std::optional<OptValue> list(const OptSpec& spec, toml::node& node);
  /// What an option that is not given is; parts with all of their options, as those that are given.
  OptValue default_of(const OptSpec& spec);
  std::optional<OptValue> part_list(const OptSpec& spec, toml::node& node);
  std::optional<Part> part(const OptSpec& spec, toml::node& node);
  void unknown_keys(const toml::table& table, const std::set<std::string>& known, const std::vector<OptSpec>& specs, const std::string& owner,
                    const std::string& plugin);
  void wrong(const toml::node& node, const OptSpec& spec, std::string what) { diagnostics_.report(wrong_value(place_of(node), spec, std::move(what))); }

  const PartTables& parts_;
  Diagnostics& diagnostics_;
  Origins& origins_;
  bool whole_;
  std::vector<Replaced> replaced_;
  std::vector<std::string> notes_;
};

}  // namespace zstar::experiment
