#pragma once
/// \file A command of the program: what it is called, what it takes, what it does.

#include <functional>
#include <string>
#include <vector>

#include <boost/program_options.hpp>

#include "core/plugins/catalogue.hpp"

namespace zstar::app {

namespace po = boost::program_options;

/// Exit codes of the program.
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

struct Command {
  std::string name, usage, summary, help;
  std::vector<std::string> positional;  ///< option names of the words without dashes; the last takes all that follow
  po::options_description options;
  std::function<int(const Arguments&)> run;
};

/// All commands, in the order of the help.
const std::vector<Command>& commands();

Command run_command();
Command eval_command();
Command validate_command();
Command config_command();
Command plugins_command();
Command schema_command();
Command doctor_command();
Command completion_command();

/// `--plugins` and `--trust-folder`.
void add_plugin_options(po::options_description& options);
plugins::Discovery discovery(const Arguments& arguments);

}  // namespace zstar::app
