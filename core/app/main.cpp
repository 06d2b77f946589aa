/// \file The program zstar.

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include <boost/version.hpp>

#include "core/app/devices.hpp"
#include "core/app/help.hpp"
#include "core/experiment/experiment.hpp"
#include "core/plugins/discovery.hpp"
#include "core/training/plugin_files.hpp"
#include "zstar/abi/tag.hpp"
#include "zstar/guard.hpp"
#include "zstar/nearest.hpp"

namespace zstar::app {

const std::vector<Command>& commands() {
  static const std::vector<Command> all{run_command(),     eval_command(),   predict_command(), export_command(), render_command(), data_command(),
                                        validate_command(), config_command(), runs_command(),    compare_command(), bench_command(), plugins_command(),
                                        lock_command(),    verify_command(), gradcheck_command(), new_command(),     schema_command(),  doctor_command(), docs_command(),
                                        completion_command(), complete_command(), probe_command()};
  return all;
}

po::typed_value<std::string>* value_of(const char* word) { return po::value<std::string>()->value_name(word); }
po::typed_value<std::vector<std::string>>* values_of(const char* word) {
  return po::value<std::vector<std::string>>()->composing()->value_name(word);
}

void add_plugin_options(po::options_description& options) {
  options.add_options()("plugins", values_of("FOLDER"), "folder with plugins, searched first; may be repeated")(
      "no-plugins", value_of("user"), "user: no plugins but those of --plugins and of the installation")(
      "trust-folder", values_of("FOLDER"), "use plugins of this folder although others may change it");
}

void add_seed_option(po::options_description& options, const char* what) { options.add_options()("seed", po::value<std::int64_t>()->value_name("N"), what); }

std::uint64_t seed_of(const Arguments& arguments) {
  const std::int64_t seed = arguments.has("seed") ? arguments.values["seed"].as<std::int64_t>() : 1;
  if (seed < 0) throw WordError("--seed is " + std::to_string(seed), "an integer of at least 0", {}, "give such a seed, as [experiment] seed is");
  return static_cast<std::uint64_t>(seed);
}

void add_json_option(po::options_description& options) { options.add_options()("json", "for machines"); }

plugins::Discovery discovery(const Arguments& arguments) {
  plugins::Discovery d;
  for (const auto& folder : arguments.list("plugins")) {
    if (!std::filesystem::is_directory(folder)) throw WordError("--plugins names '" + folder + "', which is no folder", "a folder with plugins", {}, "look at the path; 'zstar doctor' shows where plugins are looked for besides");
    d.folders.emplace_back(folder);
  }
  for (const auto& folder : arguments.list("trust-folder")) d.trusted.emplace_back(folder);
  training::apply_configuration(training::configuration_file(), d);
  if (arguments.has("no-plugins") && arguments.text("no-plugins") != "user") throw po::error("--no-plugins takes the word 'user'");
  d.only_installation = arguments.has("no-plugins");
  d.probe.program = std::filesystem::read_symlink("/proc/self/exe");
  if (const auto cache = plugins::user_folder("XDG_CACHE_HOME", ".cache"); !cache.empty()) d.probe.cache = cache / "zstar/probes";
  return d;
}

namespace {

/// The words given for an option that takes one, as a sentence.
std::string given_twice(const Command& command, const po::parsed_options& parsed, const std::string& option) {
  std::vector<std::string> words;
  for (const auto& o : parsed.options)
    if (o.string_key == option) words.insert(words.end(), o.value.begin(), o.value.end());
  const bool is_word = std::find(command.positional.begin(), command.positional.end(), option) != command.positional.end();
  return "one " + (is_word ? option : "--" + option) + " is taken, " + std::to_string(words.size()) + " were given: " + quoted(words);
}

}  // namespace

Arguments parse(const Command& command, const std::vector<std::string>& words) {
  po::options_description options = command.options;
  options.add_options()("help,h", "explain this command");
  po::positional_options_description positional;
  for (std::size_t i = 0; i < command.positional.size(); ++i)
    positional.add(command.positional[i].c_str(), i + 1 == command.positional.size() ? -1 : 1);
  Arguments arguments;
  try {
    const po::parsed_options parsed = po::command_line_parser(words).options(options).positional(positional).run();
    try {
      po::store(parsed, arguments.values);
    } catch (const po::multiple_occurrences& error) {
      throw WordError(given_twice(command, parsed, error.get_option_name().substr(2)));
    }
  } catch (const po::too_many_positional_options_error&) {
    throw WordError("this command takes options alone, no other words");
  }
  return arguments;
}

namespace {

int version() {
  load_cuda();
  std::string devices;
  std::string boost = BOOST_LIB_VERSION;
  std::replace(boost.begin(), boost.end(), '_', '.');
  for (const std::string& name : device_names()) devices += (devices.empty() ? "" : ", ") + name;
  std::cout << "zstar " ZSTAR_VERSION "\nplugin ABI " << abi_major << '.' << abi_minor << ", SDK " ZSTAR_SDK_HASH "\nLibTorch "
            << tag::torch_version() << "\nBoost " << boost << "\ncompiler " << tag::compiler() << "\ndevices " << devices << "\n";
  return done;
}

/// What is wrong with the words of a command, in the form of all messages.
std::string sentence(const Command& command, const po::error& error) {
  const auto* word = dynamic_cast<const WordError*>(&error);
  WordError said = word ? *word : WordError(error.what());
  if (const auto* unknown = dynamic_cast<const po::unknown_option*>(&error)) {
    std::vector<std::string> names;
    for (const auto& o : command.options.options()) names.push_back("--" + o->long_name());
    said.did_you_mean = quoted(nearest(unknown->get_option_name(), names));
  }
  if (said.expected.empty()) said.expected = "zstar " + command.usage;
  if (said.remedy.empty()) said.remedy = "'zstar " + command.name + " --help' shows what it takes";
  return "zstar " + command.name + ": error: " + said.what() + "\n  expected: " + said.expected +
         (said.did_you_mean.empty() ? "" : "\n  did you mean: " + said.did_you_mean + "?") + "\n  remedy: " + said.remedy;
}

int run(const Command& command, const std::vector<std::string>& words, const std::string& line) {
  try {
    Arguments arguments = parse(command, words);
    arguments.line = line;
    if (!arguments.has("help")) return command.run(arguments);
    std::cout << help(command);
    return done;
  } catch (const po::error& error) {
    std::cerr << sentence(command, error) << '\n';
    return refused;
  }
}

int dispatch(const std::vector<std::string>& words, const std::string& line) {
  const bool named = words.size() > 1 && words[0] == "help";
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || (words[0] == "help" && !named)) {
    (words.empty() ? std::cerr : std::cout) << help();
    return words.empty() ? refused : done;
  }
  if (words[0] == "--version") return version();
  const std::string& name = words[named ? 1 : 0];
  std::vector<std::string> names;
  for (const Command& c : commands()) {
    if (c.name == name) return named ? run(c, {"--help"}, line) : run(c, {words.begin() + 1, words.end()}, line);
    if (!c.hidden) names.push_back(c.name);
  }
  const auto near = nearest(name, names);
  std::cerr << "zstar: error: unknown command '" << name << "'\n  expected: " << quoted(names) << '\n';
  if (!near.empty()) std::cerr << "  did you mean: " << quoted(near) << "?\n";
  std::cerr << "  remedy: 'zstar --help' says what each does\n";
  return refused;
}

/// Output that cannot be written is a failure, unless its reader has had enough: 'zstar … | head'.
int written(int code) {
  if (std::cout.flush() || code != done) return code;
  pollfd output{STDOUT_FILENO, POLLOUT, 0};
  if (::poll(&output, 1, 0) == 1 && (output.revents & POLLERR)) return code;
  std::cerr << "zstar: error: the output cannot be written\n  remedy: free some space where it goes, or send it elsewhere\n";
  return failed;
}

}  // namespace
}  // namespace zstar::app

int main(int argc, char** argv) {
  std::string line = "zstar";
  for (int i = 1; i < argc; ++i) line += std::string(" ") + argv[i];
  try {
    return zstar::app::written(zstar::app::dispatch({argv + 1, argv + argc}, line));
  } catch (const zstar::experiment::Refused& refused) {
    std::cerr << refused.what() << '\n';
    return zstar::app::refused;
  } catch (const zstar::plugins::PluginError& error) {
    std::cerr << error.what() << '\n';
    return zstar::app::plugin_refused;
  } catch (...) {
    const std::string text = zstar::current_exception_text();
    const bool placed = text.substr(0, text.find('\n')).find(": error: ") != std::string::npos;
    std::cerr << (placed ? "" : "zstar: error: ") << text << '\n';
    return zstar::app::failed;
  }
}
