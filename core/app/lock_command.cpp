/// \file zstar lock: the plugins of an experiment, written down.
#include <iostream>

#include "core/app/command.hpp"
#include "core/training/plugin_files.hpp"
#include "core/training/session.hpp"

namespace zstar::app {
namespace {

int lock(const Arguments& arguments) {
  const std::filesystem::path file = file_of(arguments);
  plugins::Catalogue catalogue(discovery(arguments));
  std::vector<std::string> overrides = arguments.list("set");
  overrides.emplace_back("plugins.locked=false");  // the lock that is there is what shall change
  experiment::Experiment::read(file, overrides, training::schema(), training::CatalogueTables(catalogue));
  const std::filesystem::path target = file.parent_path() / plugins::lock_name;
  if (const std::string damage = training::update_lock(target, catalogue); !damage.empty())
    std::cerr << "zstar: warning: the lock file that was there could not be read and is written anew; it was refused with:\n" << damage << '\n';
  std::cout << target.string() << ": holds the " << catalogue.used().size() << " plugins of " << file.string() << '\n';
  return done;
}

}  // namespace

Command lock_command() {
  po::options_description options("options");
  options.add_options()("file", value_of("FILE"), "experiment file")("set,s", values_of("section.key=value"), "override a value of the file; may be repeated");
  add_plugin_options(options);
  return {"lock", "lock FILE", "write down the plugins of an experiment, for 'run --locked'",
          "Writes plugins.lock.toml beside the experiment: id, version, ABI, size and SHA-256 of every plugin that it names, and the\n"
          "LibTorch of this program. The file serves all experiments of its folder; entries of other plugins stay as they are.",
          {"file"}, std::move(options), lock,
          {{"lock experiments/quickstart.toml", "writes experiments/plugins.lock.toml"},
           {"run experiments/quickstart.toml --locked", "runs with exactly these files, or says what differs"}}};
}

}  // namespace zstar::app
