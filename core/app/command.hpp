#pragma once
/// \file A command of the program: what it is called, what it takes, what it does, how it is explained and completed.

#include <functional>
#include <string>
#include <vector>

#include <boost/program_options.hpp>

#include "core/plugins/catalogue.hpp"
#include "core/training/session.hpp"
#include "zstar/nearest.hpp"

namespace zstar::app {

namespace po = boost::program_options;

/// Exit codes of the program; exit_codes() explains each.
enum Exit : int { done = 0, failed = 1, refused = 2, plugin_refused = 3 };

struct Arguments {
  po::variables_map values;
  std::string line;  ///< as typed

  bool has(const char* name) const { return values.count(name) > 0; }
  std::string text(const char* name) const { return has(name) ? values[name].as<std::string>() : std::string(); }
  std::vector<std::string> list(const char* name) const {
    return has(name) ? values[name].as<std::vector<std::string>>() : std::vector<std::string>();
  }
};

/// Words that a command cannot take, what it takes, and what to do; parts that do not apply are empty.
class WordError : public po::error {
 public:
  explicit WordError(const std::string& what, std::string wanted = {}, const std::vector<std::string>& near = {}, std::string advice = {})
      : po::error(what), expected(std::move(wanted)), did_you_mean(quoted(near)), remedy(std::move(advice)) {}
  std::string expected, did_you_mean, remedy;
};

/// A line that a person can type, without the program's name, and what it does.
struct Example {
  std::string line, what;
};

/// Help, man page, documentation and shell completion are made from this table alone.
struct Command {
  std::string name, usage, summary, help;
  std::vector<std::string> positional;  ///< option names of the words without dashes; the last takes all that follow
  po::options_description options;      ///< value_name("FILE") says what a value is
  std::function<int(const Arguments&)> run;
  std::vector<Example> examples = {};
  /// What the next word without dashes may be, after those given; empty: a file.
  std::function<std::vector<std::string>(const Arguments&, const std::vector<std::string>& given)> next = {};
  bool hidden = false;  ///< for scripts: left out of help and manual
};

/// All commands, in the order of the help.
const std::vector<Command>& commands();

Command run_command();
Command eval_command();
Command predict_command();
Command export_command();
Command data_command();
Command validate_command();
Command config_command();
Command render_command();
Command runs_command();
Command compare_command();
Command bench_command();
Command plugins_command();
Command verify_command();
Command gradcheck_command();
Command lock_command();
Command probe_command();
Command new_command();
Command schema_command();
Command doctor_command();
Command docs_command();
Command completion_command();
Command complete_command();

/// An experiment file, checked, and the parts that it may name.
struct Checked {
  plugins::Catalogue catalogue;
  std::optional<experiment::Experiment> experiment;
  std::string record;  ///< the experiment without what the folder of its own run keeps, as that run records it
  /// \param first  overrides that those of `--set` may overrule \throws experiment::Refused
  Checked(const Arguments& arguments, const std::string& file, std::vector<std::string> first = {});
};
/// `file`, `--set` and the options of plugins.
po::options_description experiment_options(const char* title);
/// The word `file`. \throws po::error  if there is none
std::string file_of(const Arguments& arguments);
/// `--checkpoint`, `--weights` and `--key`.
void add_weights_options(po::options_description& options);
/// The experiment that `file` names, or that of the run folder `--checkpoint`.
std::string experiment_of(const Arguments& arguments);
/// \throws po::error  unless there is exactly one source
training::WeightsFrom weights_of(const Arguments& arguments);

/// What a command that looks at one batch of an experiment takes besides it.
struct BatchWords {
  std::int64_t samples = 0;                       ///< at most; 0: all
  std::optional<training::WeightsFrom> weights;   ///< none: as the model begins
};
/// `--samples`, the options of weights and `--json`.
void add_batch_options(po::options_description& options);
/// \throws po::error  for a count below 0
BatchWords batch_of(const Arguments& arguments);

/// `--seed`, an integer of at least 0. \param what  it is of
void add_seed_option(po::options_description& options, const char* what);
/// The value of `--seed`, 1 if it was not given. \throws WordError  below 0
std::uint64_t seed_of(const Arguments& arguments);

/// `--plugins`, `--no-plugins` and `--trust-folder`.
void add_plugin_options(po::options_description& options);
/// `--json`.
void add_json_option(po::options_description& options);
/// Where to look for plugins, as options and the user's configuration say; new files are tried in a child of this program.
plugins::Discovery discovery(const Arguments& arguments);

/// A value of an option: po::value<std::string>() with the word that help shows for it.
po::typed_value<std::string>* value_of(const char* word);
/// The same for an option that may be repeated.
po::typed_value<std::vector<std::string>>* values_of(const char* word);

/// Reads the words behind a command. \throws po::error
Arguments parse(const Command& command, const std::vector<std::string>& words);

}  // namespace zstar::app
