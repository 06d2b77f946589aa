#pragma once
/// \file Experiment: a checked experiment file as a value; nothing later reads TOML.

#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/experiment/diagnostics.hpp"
#include "zstar/abi/object.hpp"
#include "zstar/options.hpp"

namespace zstar::experiment {

/// What a table of the file may hold: keys of the framework and, if it names a part, the options of that part.
struct SectionSpec {
  std::string name;                  ///< "solver"; for `[[regularizers]]` "regularizers"
  std::string doc;
  std::optional<Kind> kind;          ///< the table has a key `name` that names a part of this kind
  bool array = false;                ///< an array of tables
  bool required = false;
  bool may_be_none = false;          ///< name = "none" is the table left out
  std::string default_part;          ///< taken where `name` or the whole table is missing; empty: none
  std::vector<OptSpec> framework;    ///< keys of the framework, the same for every part
  /// Tables inside: `[gradient] solver = { … }`. Where one is missing and its default is the very part of the table outside, it has that one's options.
  std::vector<SectionSpec> nested;
  /// Of a table inside another: whether, with these framework keys of the other, it has its default where it is missing; empty: always.
  std::function<bool(const Settings&)> wanted = {};
  /// Built-in choices of `name` that are no plugins, each with its options.
  std::vector<std::pair<std::string, std::vector<OptSpec>>> variants = {};
};
using Schema = std::vector<SectionSpec>;

struct Section;
struct Merged;

/// What is wrong with a section beyond types and ranges.
struct Fault {
  std::string option;  ///< at whose place it is reported; empty: at that of the table
  std::string what, expected = {}, did_you_mean = {}, remedy = {};
};

/// What a part says of an option, "WHAT; REMEDY" or "WHAT; expected X", taken apart.
Fault fault_of(const OptionError& error);
/// A whole message taken apart: what, and the lines "expected: …", "did you mean: …?", "remedy: …" behind it.
Fault fault_of(const std::string& message);

/// What a part, made with the options of a section, refuses.
struct PartRefusal {
  const Section* section;
  OptionError error;
};

/// The option tables of parts, as the catalogue of plugins knows them.
class PartTables {
 public:
  virtual ~PartTables() = default;
  virtual std::vector<std::string> names(Kind kind) const = 0;
  /// \throws std::exception  with a whole message if the part cannot be used
  virtual std::vector<OptSpec> options(Kind kind, std::string_view name) const = 0;
  /// A section was read, in the order of the schema. \return what it asks for and cannot be
  virtual std::vector<Fault> accept(const Section& section) const;
  /// The last of the sections read was read without an error. \return what its parts refuse
  virtual std::vector<PartRefusal> make(const std::vector<Section>& read) const;
  /// Why a table inside a section has no effect, as a sentence; empty: it may have one.
  virtual std::string idle(const Section& section, const Section& inner) const;
};

/// A checked table, every key present: defaults are filled in.
struct Section {
  std::string name;              ///< of the section
  std::string part;              ///< of the part named; empty: none
  Settings framework, options;   ///< complete
  std::vector<Section> nested;
  std::string path;              ///< "gradient.solver"; "regularizers.0" for the entries of an array
  Place place;                   ///< of the table, for messages about it
  std::vector<OptSpec> specs = {};  ///< of the framework and the part
  bool sound = true;                ///< nothing in it was wrong
  bool altered = false;             ///< something in it is other than the default
  bool idle = false;                ///< nothing of it has an effect; the resolved experiment leaves it out

  /// The framework keys as a struct with options().
  template <class C>
  C as() const {
    return make_options<C>(C::options(), framework);
  }
  const Section* find_nested(std::string_view key) const;
};

/// All that is wrong with an experiment, in the order of the files. what() is the whole text.
class Refused : public std::runtime_error {
 public:
  explicit Refused(std::vector<std::string> messages, std::vector<Message> details = {});
  const std::vector<std::string>& messages() const { return messages_; }
  /// The same taken apart, for machines; empty where only the text is known.
  const std::vector<Message>& details() const { return details_; }

 private:
  std::vector<std::string> messages_;
  std::vector<Message> details_;
};

class Experiment {
 public:
  /// Reads a file with its includes, then the overrides ("section.key=value"), and checks everything in one go.
  /// \throws Refused
  static Experiment read(const std::filesystem::path& file, const std::vector<std::string>& overrides,
                         const Schema& schema, const PartTables& parts);
  /// The same for text that is no file (`name` stands for the file in messages).
  static Experiment parse(std::string_view text, const std::string& name, const std::vector<std::string>& overrides,
                          const Schema& schema, const PartTables& parts);

  /// What a part says about one of its options, at the place of the option. A sentence "WHAT; WHAT TO DO" is taken apart.
  Refused refusal(const Section& section, const OptionError& error) const;
  /// The sentence of a fault of a section, at the place of the section.
  std::string sentence(const Section& section, const Fault& fault) const;

  /// The section of that name, null where an optional one is absent.
  const Section* find(std::string_view name) const;
  const Section& at(std::string_view name) const;
  /// The entries of an array section.
  std::vector<const Section*> all(std::string_view name) const;

  /// The resolved experiment: every key with its value; runnable as it stands.
  /// \param origins  each line ends with a comment that says where its value is from
  std::string to_toml(bool origins = false) const;
  /// The same for machines: {"solver.memory": {"value": 5, "origin": "FILE:LINE:COLUMN"}, …}.
  std::string to_json() const;
  /// What of the files has no effect and is no fault: options of parts that a later layer replaced, tables that the part named has no use for.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  void finish(Merged merged, const std::string& source, const std::vector<std::string>& overrides, const Schema& schema, const PartTables& parts);
  Place place_of(const Section& section) const;  // the file where the table stands nowhere

  std::vector<Section> sections_;
  std::vector<std::pair<std::string, Place>> origins_;  // dotted key, place
  Diagnostics sources_;                                 // their lines
  std::vector<std::string> notes_;
};

/// JSON schema (draft 4) of experiment files, for editors.
std::string json_schema(const Schema& schema, const PartTables& parts);

}  // namespace zstar::experiment
