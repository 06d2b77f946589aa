/// \file The program zstar.
#include <malloc.h>

#include <iostream>

#include <boost/version.hpp>

#include "core/app/command.hpp"
#include "core/experiment/experiment.hpp"
#include "zstar/abi/tag.hpp"
#include "zstar/guard.hpp"
#include "zstar/nearest.hpp"

namespace zstar::app {

const std::vector<Command>& commands() {
  static const std::vector<Command> all{run_command(),     eval_command(),   validate_command(), config_command(),
                                        plugins_command(), schema_command(), doctor_command(),   completion_command()};
  return all;
}

void add_plugin_options(po::options_description& options) {
  options.add_options()("plugins", po::value<std::vector<std::string>>()->composing(), "folder with plugins, searched first; may be repeated")(
      "trust-folder", po::value<std::vector<std::string>>()->composing(), "use plugins of this folder although others may change it");
}

plugins::Discovery discovery(const Arguments& arguments) {
  plugins::Discovery d;
  for (const auto& folder : arguments.list("plugins")) d.folders.emplace_back(folder);
  for (const auto& folder : arguments.list("trust-folder")) d.trusted.emplace_back(folder);
  return d;
}

namespace {

/// Blocks of large tensors stay with the process: glibc would give each back to the system and take page faults for
/// the next one.
void keep_large_blocks() {
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 2047 << 20);
  ::mallopt(M_TOP_PAD, 256 << 20);
}

std::string help() {
  std::string text = "zstar: deep equilibrium models from solvers, gradients and models that are plugins\n\nCommands:\n";
  for (const Command& c : commands()) text += "  " + c.name + std::string(c.name.size() < 12 ? 12 - c.name.size() : 1, ' ') + c.summary + "\n";
  return text +
         "\n  zstar COMMAND --help explains a command.\n\nExamples:\n"
         "  zstar run experiments/quickstart.toml\n"
         "  zstar run experiments/quickstart.toml --set solver.name=broyden --set train.epochs=20\n"
         "  zstar plugins show anderson\n\n"
         "Exit codes: 0 done, 1 failed while running, 2 refused, 3 plugin not loadable, 130 and 143 ended by a signal\n"
         "after a checkpoint.\n";
}

int version() {
  std::cout << "zstar 0.1.0\nplugin ABI " << abi_major << '.' << abi_minor << ", SDK " ZSTAR_SDK_HASH "\nLibTorch " << tag::torch_version()
            << "\nBoost " << BOOST_LIB_VERSION << "\ncompiler " << tag::compiler() << "\n";
  return done;
}

int run(const Command& command, const std::vector<std::string>& words, const std::string& line) {
  po::options_description options = command.options;
  options.add_options()("help,h", "explain this command");
  po::positional_options_description positional;
  for (std::size_t i = 0; i < command.positional.size(); ++i)
    positional.add(command.positional[i].c_str(), i + 1 == command.positional.size() ? -1 : 1);
  Arguments arguments;
  arguments.line = line;
  po::store(po::command_line_parser(words).options(options).positional(positional).run(), arguments.values);
  if (arguments.has("help")) {
    std::cout << "usage: zstar " << command.usage << "\n\n" << command.help << "\n\n" << command.options;
    return done;
  }
  po::notify(arguments.values);
  return command.run(arguments);
}

int dispatch(const std::vector<std::string>& words, const std::string& line) {
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    std::cout << help();
    return words.empty() ? refused : done;
  }
  if (words[0] == "--version") return version();
  std::vector<std::string> names;
  for (const Command& c : commands()) {
    if (c.name == words[0]) return run(c, {words.begin() + 1, words.end()}, line);
    names.push_back(c.name);
  }
  const auto near = nearest(words[0], names);
  std::cerr << "zstar: error: unknown command '" << words[0] << "'\n  expected: " << quoted(names) << '\n';
  if (!near.empty()) std::cerr << "  did you mean: " << quoted(near) << "?\n";
  return refused;
}

}  // namespace
}  // namespace zstar::app

int main(int argc, char** argv) {
  zstar::app::keep_large_blocks();
  std::string line = "zstar";
  for (int i = 1; i < argc; ++i) line += std::string(" ") + argv[i];
  try {
    return zstar::app::dispatch({argv + 1, argv + argc}, line);
  } catch (const zstar::experiment::Refused& refused) {
    std::cerr << refused.what() << '\n';
    return zstar::app::refused;
  } catch (const zstar::plugins::PluginError& error) {
    std::cerr << error.what() << '\n';
    return zstar::app::plugin_refused;
  } catch (const boost::program_options::error& error) {
    std::cerr << "zstar: error: " << error.what() << "\n  remedy: 'zstar COMMAND --help' shows what it takes\n";
    return zstar::app::refused;
  } catch (...) {
    std::cerr << "zstar: error: " << zstar::current_exception_text() << '\n';
    return zstar::app::failed;
  }
}
