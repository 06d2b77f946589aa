/// \file zstar run, eval, validate, config, schema: what begins with an experiment file.
#include <dlfcn.h>
#include <unistd.h>

#include <iostream>

#include <nlohmann/json.hpp>

#include "core/app/command.hpp"
#include "core/training/session.hpp"

namespace zstar::app {
namespace {

using experiment::Experiment;

/// CUDA is no part of what we link: its library registers itself when it is loaded, before the first question for a device.
void load_cuda(const Arguments& arguments) {
  for (const std::string& o : arguments.list("set"))
    if (o == "experiment.device=cpu" || o == "experiment.device=\"cpu\"") return;
  ::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
}

struct Checked {
  plugins::Catalogue catalogue;
  std::optional<Experiment> experiment;

  Checked(const Arguments& arguments, const std::string& file) : catalogue(discovery(arguments)) {
    const training::CatalogueTables tables(catalogue);
    experiment = Experiment::read(file, arguments.list("set"), training::schema(), tables);
  }
};

po::options_description experiment_options(const char* title) {
  po::options_description options(title);
  options.add_options()("file", po::value<std::string>(), "experiment file")(
      "set,s", po::value<std::vector<std::string>>()->composing(), "section.key=value, checked like the file; may be repeated");
  add_plugin_options(options);
  return options;
}

std::string file_of(const Arguments& arguments) {
  if (!arguments.has("file")) throw po::error("no experiment file was given");
  return arguments.text("file");
}

int run(const Arguments& arguments) {
  load_cuda(arguments);
  training::RunRequest request;
  request.identity = arguments.line;
  request.terminal = ::isatty(STDOUT_FILENO);
  request.resume = arguments.text("resume");
  if (arguments.has("smoke")) request.most_steps = 3;
  Checked checked(arguments, request.resume.empty() ? file_of(arguments) : (request.resume / "experiment.toml").string());
  if (arguments.has("dry-run")) {
    training::Session session(*checked.experiment, checked.catalogue, std::cerr);
    std::cout << checked.experiment->to_toml();
    return done;
  }
  return static_cast<int>(training::train(*checked.experiment, checked.catalogue, request, std::cout));
}

int eval(const Arguments& arguments) {
  load_cuda(arguments);
  const std::filesystem::path from = arguments.text("checkpoint");
  const bool folder = std::filesystem::is_directory(from);
  Checked checked(arguments, arguments.has("file") || !folder ? file_of(arguments) : (from / "experiment.toml").string());
  if (from.empty()) throw po::error("no checkpoint was given; --checkpoint takes a file or a run folder");
  const auto results = training::evaluate(*checked.experiment, checked.catalogue, from, std::cerr);
  nlohmann::ordered_json json;
  for (const auto& [split, metrics] : results)
    for (const Metric& m : metrics) {
      json[split][m.name] = m.value;
      if (!arguments.has("json")) std::cout << split << ' ' << m.name << ' ' << m.value << '\n';
    }
  if (arguments.has("json")) std::cout << json.dump(2) << '\n';
  return done;
}

}  // namespace

Command run_command() {
  auto options = experiment_options("options");
  options.add_options()("resume", po::value<std::string>(), "go on with the run in this folder")("smoke", "stop after three steps")(
      "dry-run", "build everything, print the resolved experiment, train nothing");
  return {"run", "run FILE [--set section.key=value …]", "train what an experiment file says",
          "Trains, and keeps everything in a new run folder: the resolved experiment, the record of plugins and versions,\n"
          "metrics, checkpoints, learning curves. A signal ends the run with a checkpoint; --resume goes on bit for bit.",
          {"file"}, std::move(options), run};
}

Command eval_command() {
  auto options = experiment_options("options");
  options.add_options()("checkpoint", po::value<std::string>(), "checkpoint, or run folder (its best one)")("json", "for machines");
  return {"eval", "eval [FILE] --checkpoint RUN", "metrics of a checkpoint on all splits",
          "Loads the weights of a checkpoint and prints loss and metrics. With a run folder, the experiment is that of the run.", {"file"},
          std::move(options), eval};
}

Command validate_command() {
  return {"validate", "validate FILE", "check an experiment file, every error at once",
          "Reads the file with its includes and overrides and checks it against the option tables of the parts it names.", {"file"},
          experiment_options("options"), [](const Arguments& arguments) {
            Checked checked(arguments, file_of(arguments));
            std::cout << file_of(arguments) << ": good\n";
            return static_cast<int>(done);
          }};
}

Command config_command() {
  return {"config", "config FILE", "the resolved experiment, every value with its origin",
          "Prints every key with its value and where it is from: a line of a file, an override, or the default.", {"file"},
          experiment_options("options"), [](const Arguments& arguments) {
            Checked checked(arguments, file_of(arguments));
            std::cout << checked.experiment->to_toml(/*origins=*/true);
            return static_cast<int>(done);
          }};
}

Command schema_command() {
  po::options_description options("options");
  add_plugin_options(options);
  return {"schema", "schema", "JSON schema of experiment files, for editors",
          "Write it to a file and put '#:schema ./zstar.schema.json' at the top of an experiment.", {}, std::move(options),
          [](const Arguments& arguments) {
            plugins::Catalogue catalogue(discovery(arguments));
            std::cout << experiment::json_schema(training::schema(), training::CatalogueTables(catalogue)) << '\n';
            return static_cast<int>(done);
          }};
}

}  // namespace zstar::app
