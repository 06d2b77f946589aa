/// \file zstar run, eval, validate, config, schema: what begins with an experiment file.
#include <unistd.h>

#include <iostream>

#include <nlohmann/json.hpp>

#include "core/app/command.hpp"
#include "core/app/devices.hpp"
#include "core/plugins/lock.hpp"
#include "core/training/doubts.hpp"
#include "core/training/kept.hpp"
#include "core/training/session.hpp"

namespace zstar::app {
namespace {

using experiment::Experiment;

void load_cuda_unless_refused(const Arguments& arguments) {
  for (const std::string& o : arguments.list("set"))
    if (o == "experiment.device=cpu" || o == "experiment.device=\"cpu\"") return;
  load_cuda();
}

int run_experiment(const Arguments& arguments) {
  load_cuda_unless_refused(arguments);
  training::RunRequest request;
  request.identity = arguments.line;
  request.terminal = ::isatty(STDOUT_FILENO);
  request.resume = arguments.text("resume");
  if (arguments.has("smoke")) request.most_steps = 3;
  if (!request.resume.empty() && arguments.has("file")) throw po::error("--resume goes on with the experiment of its run, and '" + arguments.text("file") + "' was given too: leave one out");
  if (arguments.has("resume") && !std::filesystem::exists(request.resume / "experiment.toml"))
    throw WordError("'" + request.resume.string() + "' is no run folder", "a folder that 'zstar run' made", {}, "'zstar runs' lists them");
  Checked checked(arguments, request.resume.empty() ? file_of(arguments) : (request.resume / "experiment.toml").string());
  if (!request.resume.empty()) request.record = checked.record;
  if (arguments.has("dry-run")) {
    training::Session session(*checked.experiment, checked.catalogue, std::cerr);
    std::cout << checked.experiment->to_toml();
    return done;
  }
  return static_cast<int>(training::train(*checked.experiment, checked.catalogue, request, std::cout));
}

int eval(const Arguments& arguments) {
  load_cuda_unless_refused(arguments);
  const training::WeightsFrom from = weights_of(arguments);
  Checked checked(arguments, experiment_of(arguments));
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

/// An error taken apart: text, and the parts that are known.
nlohmann::ordered_json json_of(const experiment::Refused& refused, std::size_t i) {
  nlohmann::ordered_json error{{"text", refused.messages()[i]}};
  if (i >= refused.details().size()) return error;
  const experiment::Message& m = refused.details()[i];
  error["what"] = m.what;
  if (!m.place.source.empty()) error["file"] = m.place.source;
  if (m.place.line > 0) error["line"] = m.place.line, error["column"] = m.place.column, error["length"] = m.place.length;
  for (const auto& [key, text] : {std::pair("expected", m.expected), std::pair("did_you_mean", m.did_you_mean), std::pair("remedy", m.remedy)})
    if (!text.empty()) error[key] = text;
  return error;
}

int validate(const Arguments& arguments) {
  const std::string file = file_of(arguments);
  if (!arguments.has("json")) {
    Checked checked(arguments, file);
    for (const std::string& sentence : training::doubts(*checked.experiment)) std::cout << file << ": warning: " << sentence << '\n';
    std::cout << file << ": good\n";
    return done;
  }
  nlohmann::ordered_json json{{"file", file}, {"good", true}, {"errors", nlohmann::ordered_json::array()}, {"warnings", nlohmann::ordered_json::array()}};
  try {
    Checked checked(arguments, file);
    json["warnings"] = training::doubts(*checked.experiment);
    for (const std::string& note : checked.experiment->notes()) json["warnings"].push_back(note);
  } catch (const experiment::Refused& refused) {
    json["good"] = false;
    for (std::size_t i = 0; i < refused.messages().size(); ++i) json["errors"].push_back(json_of(refused, i));
  }
  std::cout << json.dump(2) << '\n';
  return json["good"] ? done : refused;
}

int config(const Arguments& arguments) {
  Checked checked(arguments, file_of(arguments));
  std::cout << (arguments.has("json") ? checked.experiment->to_json() + "\n" : checked.experiment->to_toml(/*origins=*/true));
  return done;
}

/// Overrides for what the run keeps of its data set, be it named by its experiment or by its checkpoint.
std::vector<std::string> kept_with(const Arguments& arguments, const std::filesystem::path& file, const std::string& part) {
  const std::filesystem::path checkpoint = arguments.text("checkpoint");
  for (const auto& run : {checkpoint, checkpoint.parent_path().parent_path(), file.parent_path()})
    if (auto overrides = training::kept_by(run, part); !run.empty() && !overrides.empty()) return overrides;
  return {};
}

}  // namespace

Checked::Checked(const Arguments& arguments, const std::string& file, std::vector<std::string> overrides) : catalogue(discovery(arguments)) {
  const training::CatalogueTables tables(catalogue, std::filesystem::path(file).parent_path() / plugins::lock_name);
  const std::size_t first = overrides.size();
  for (std::string& assignment : arguments.list("set")) overrides.push_back(std::move(assignment));
  if (arguments.has("locked")) overrides.emplace_back("plugins.locked=true");
  experiment = Experiment::read(file, overrides, training::schema(), tables);
  record = experiment->to_toml();
  const auto kept = kept_with(arguments, file, experiment->at("dataset").part);
  overrides.insert(overrides.begin() + static_cast<std::ptrdiff_t>(first), kept.begin(), kept.end());
  if (!kept.empty()) experiment = Experiment::read(file, overrides, training::schema(), tables);
  for (const std::string& note : experiment->notes()) std::cerr << "zstar: note: " << note << '\n';
}

po::options_description experiment_options(const char* title) {
  po::options_description options(title);
  options.add_options()("file", value_of("FILE"), "experiment file")(
      "set,s", values_of("section.key=value"), "override a value of the file, checked like the file; may be repeated");
  add_plugin_options(options);
  return options;
}

std::string file_of(const Arguments& arguments) {
  if (!arguments.has("file")) throw po::error("no experiment file was given");
  const std::filesystem::path file = arguments.text("file");
  if (!std::filesystem::is_directory(file)) return file.string();
  const std::filesystem::path inside = file / "experiment.toml";
  throw WordError("'" + file.string() + "' is a folder" + (std::filesystem::exists(inside) ? ", that of a run" : ""), "an experiment file", {},
                  std::filesystem::exists(inside) ? "'zstar run --resume " + file.string() + "' goes on with it; its experiment is " + inside.string() : "name a file in it");
}

Command run_command() {
  auto options = experiment_options("options");
  options.add_options()("resume", value_of("RUN"), "go on with the run in this folder")("smoke", "stop after three steps")(
      "locked", "use exactly what plugins.lock.toml beside the file holds, or refuse (as plugins.locked = true)")(
      "dry-run", "build everything, print the resolved experiment, train nothing");
  return {"run", "run FILE [--set section.key=value …]", "train what an experiment file says",
          "Trains, and keeps everything in a new run folder: the resolved experiment, the record of plugins and versions,\n"
          "metrics, checkpoints, learning curves. A signal ends the run with a checkpoint; --resume goes on bit for bit.",
          {"file"}, std::move(options), run_experiment,
          {{"run experiments/quickstart.toml", "train; the run folder is runs/quickstart/TIME-HASH, and runs/quickstart/latest"},
           {"run experiments/quickstart.toml -s solver.name=broyden -s optimizer.lr=0.02", "with another solver and learning rate"},
           {"run --resume runs/quickstart/latest", "go on where a run was ended"},
           {"run experiments/quickstart.toml --smoke", "three steps, to see whether all fits together"}}};
}

Command eval_command() {
  auto options = experiment_options("options");
  add_weights_options(options);
  add_json_option(options);
  return {"eval", "eval [FILE] --checkpoint RUN | --weights FILE", "metrics of weights on all splits",
          "Loads the weights of a checkpoint, or those that another program saved, and prints loss and metrics. With a run folder, the\n"
          "experiment is that of the run. --weights reads files of torch.save (executing nothing), npz and safetensors; missing, unexpected\n"
          "and mis-shaped names are listed.", {"file"},
          std::move(options), eval,
          {{"eval --checkpoint runs/quickstart/latest", "the best checkpoint of the last run"},
           {"eval --checkpoint runs/quickstart/latest -s solver.tolerance=1e-8", "the same weights, solved more tightly"},
           {"eval experiments/mondeq_mnist.toml --weights model.pth --key state_dict", "weights of a Python training checkpoint"}}};
}

Command validate_command() {
  auto options = experiment_options("options");
  add_json_option(options);
  return {"validate", "validate FILE", "check an experiment file, every error at once",
          "Reads the file with its includes and overrides and checks it against the option tables of the parts it names.\n"
          "Solvers, gradient methods, norms and regularizers are made, and say what they refuse; models and data sets are not (run --dry-run).\n"
          "With --json: {file, good, errors: [{text, what, file, line, column, …}], warnings: [text]}. Exit status 2 if anything is wrong.", {"file"},
          std::move(options), validate, {{"validate experiments/quickstart.toml", "says 'good', or every error with its line and its remedy"}}};
}

Command config_command() {
  auto options = experiment_options("options");
  add_json_option(options);
  return {"config", "config FILE", "the resolved experiment, every value with its origin",
          "Prints every key with its value and where it is from: a line of a file, an override, or the default.\n"
          "With --json: {\"section.key\": {value, origin}}.", {"file"}, std::move(options), config,
          {{"config experiments/quickstart.toml", "all keys; the output is an experiment file itself"},
           {"config experiments/quickstart.toml -s solver.name=broyden", "what an override changes, defaults of the part included"}}};
}

Command schema_command() {
  po::options_description options("options");
  add_plugin_options(options);
  return {"schema", "schema", "JSON schema of experiment files, for editors",
          "Prints what an experiment file may hold, with the options of every plugin found, in the form that editors read.\n"
          "Write it to a file and put '#:schema ./zstar.schema.json' at the top of an experiment.", {}, std::move(options),
          [](const Arguments& arguments) {
            plugins::Catalogue catalogue(discovery(arguments));
            std::cout << experiment::json_schema(training::schema(), training::CatalogueTables(catalogue)) << '\n';
            return static_cast<int>(done);
          },
          {{"schema > zstar.schema.json", "once, beside the experiments; editors then complete and check keys"}}};
}

}  // namespace zstar::app
