/// \file zstar predict, export: what is done with trained weights beside evaluation.
#include <cmath>
#include <iostream>

#include "core/app/command.hpp"
#include "core/app/devices.hpp"
#include "core/runs/folder.hpp"
#include "core/training/options.hpp"
#include "core/training/prediction.hpp"
#include "core/training/weights.hpp"
#include "zstar/nn/choose.hpp"

namespace zstar::app {
namespace {

/// The file that `--output` names, in a folder that is there: what takes long ends before it begins.
std::string output_of(const Arguments& arguments) {
  const std::filesystem::path file = arguments.text("output"), folder = file.parent_path();
  std::error_code unknown;
  if (!folder.empty() && !std::filesystem::is_directory(folder, unknown)) throw WordError("--output names a file in '" + folder.string() + "', which is no folder", "a file in a folder that is there", {}, "make the folder first");
  return file.string();
}

/// What the words say of a continuation. \throws po::error
training::Continuation continuation_of(const Arguments& arguments) {
  const training::Continuation text{arguments.text("prompt"), arguments.values["tokens"].as<std::int64_t>(), arguments.values["temperature"].as<double>()};
  if (arguments.has("prompt") && arguments.has("input")) throw WordError("both --prompt and --input were given", "a text to go on with, or files to predict", {}, "leave one of them out");
  if (arguments.has("prompt") && text.prompt.empty()) throw WordError("--prompt is empty", "a text to go on with", {}, "give its first word");
  if (text.tokens < 0) throw WordError("--tokens is " + std::to_string(text.tokens), "a count of at least 0", {}, "give the number of tokens that shall follow");
  if (!(std::isfinite(text.temperature) && text.temperature >= 0))
    throw WordError("--temperature is " + std::to_string(text.temperature), "a finite number of at least 0", {}, "1 draws as the model says, 0 takes the likeliest token each time");
  return text;
}

int predict(const Arguments& arguments) {
  training::Continuation text = continuation_of(arguments);
  load_cuda();
  const training::WeightsFrom from = weights_of(arguments);
  Checked checked(arguments, experiment_of(arguments));
  training::Session session(*checked.experiment, checked.catalogue, std::cerr);
  training::load_weights(session, from);
  nn::fold_norms(session.model());
  text.seed = static_cast<std::uint64_t>(session.options.seed);
  const std::string output = output_of(arguments);
  const std::int64_t batch_size = training::evaluation_batch_size(checked.experiment->at("eval").as<training::EvalOptions>(), checked.experiment->at("train").as<training::TrainOptions>());
  const std::string said = arguments.has("prompt") ? training::continued(session, text) + "\n"
                                                   : training::csv_of(training::predict(session, arguments.list("input"), batch_size));
  if (!output.empty()) runs::write_whole(output, said);
  else std::cout << said;
  return done;
}

int export_weights(const Arguments& arguments) {
  if (!arguments.has("output")) throw po::error("no file to write was given; --output takes FILE.safetensors, FILE.npz or FILE.pth");
  const std::string output = output_of(arguments);
  const training::WeightsFrom from = weights_of(arguments);
  Checked checked(arguments, experiment_of(arguments));
  training::Session session(*checked.experiment, checked.catalogue, std::cerr);
  training::load_weights(session, from);
  if (arguments.has("fold")) nn::fold_norms(session.model());
  training::export_weights(session.model(), output);
  std::cout << output << '\n';
  return done;
}

}  // namespace

void add_weights_options(po::options_description& options) {
  options.add_options()("checkpoint", value_of("RUN"), "checkpoint, or run folder (its best one)")(
      "weights", value_of("FILE"), "weights that another program saved: .pth, .npz, .safetensors")(
      "key", value_of("KEY"), "where the weights are in that file: model, or a/b for nested dicts");
}

std::string experiment_of(const Arguments& arguments) {
  const std::filesystem::path from = arguments.text("checkpoint");
  std::error_code unknown;
  if (!from.empty() && !std::filesystem::exists(from, unknown)) throw po::error("there is no checkpoint or run folder '" + from.string() + "'");
  if (from.extension() == ".toml") throw WordError("'" + from.string() + "' is not a checkpoint", "a checkpoint or a run folder", {}, "'zstar runs' lists run folders");
  if (!from.empty() && !arguments.has("file") && !std::filesystem::is_directory(from))
    throw WordError("no experiment file was given for the checkpoint '" + from.string() + "'", "", {}, "name it before --checkpoint, or name the run folder, which holds its own");
  return arguments.has("file") || !std::filesystem::is_directory(from) ? file_of(arguments) : (from / "experiment.toml").string();
}

training::WeightsFrom weights_of(const Arguments& arguments) {
  if (arguments.has("checkpoint") == arguments.has("weights"))
    throw po::error(arguments.has("weights") ? "both --checkpoint and --weights were given; one of them says where the weights are"
                                             : "no weights were given; --checkpoint takes a file or a run folder, --weights a file of another program");
  if (arguments.has("key") && !arguments.has("weights")) throw WordError("--key was given without --weights", "", {}, "leave --key out: it says where in a file of another program the weights are");
  return {arguments.text("checkpoint"), arguments.text("weights"), arguments.text("key")};
}

void add_batch_options(po::options_description& options) {
  options.add_options()("samples", po::value<std::int64_t>()->value_name("N"), "of the first batch at most so many; 0 or not given: all");
  add_weights_options(options);
  add_json_option(options);
}

BatchWords batch_of(const Arguments& arguments) {
  BatchWords words;
  if (arguments.has("samples")) words.samples = arguments.values["samples"].as<std::int64_t>();
  if (words.samples < 0) throw po::error("--samples takes a count of samples, 0 for all");
  if (arguments.has("checkpoint") || arguments.has("weights") || arguments.has("key")) words.weights = weights_of(arguments);
  return words;
}

Command predict_command() {
  auto options = experiment_options("options");
  add_weights_options(options);
  options.add_options()("input", values_of("FILE"), "what to predict: files or folders, as the data set reads them; may be repeated; none: the test split")(
      "output", value_of("FILE"), "where to write the answers; none: to the terminal")("prompt", value_of("TEXT"), "text to go on with, for models of text")(
      "tokens", po::value<std::int64_t>()->default_value(100)->value_name("N"), "tokens of the continuation")(
      "temperature", po::value<double>()->default_value(1.0)->value_name("T"), "below 1: likelier tokens more often; 0: always the likeliest");
  return {"predict", "predict [FILE] --checkpoint RUN [--input FILE …] [--output FILE]", "what a trained model says of inputs",
          "Class probabilities of images, nodes or graphs as CSV, or the continuation of a text. Columns: name (the file; of the test split the\n"
          "number of the sample in its data set, or of the node in its graph), likeliest class, one for each class. Of one graph, the nodes that\n"
          "test have rows. Of a regression: name, one for each value.",
          {"file"}, std::move(options), predict,
          {{"predict --checkpoint runs/mnist/latest --input digit.png", "class probabilities of a picture"},
           {"predict --checkpoint runs/ignn_cora/latest --output nodes.csv", "those of the nodes of a graph"},
           {"predict --checkpoint runs/shakespeare/latest --prompt \"ROMEO:\" --tokens 300", "a text goes on"}}};
}

Command export_command() {
  auto options = experiment_options("options");
  add_weights_options(options);
  options.add_options()("output", value_of("FILE"), "FILE.safetensors, FILE.npz, FILE.pth or FILE.pt")("fold", "weights as they act, without their norms");
  return {"export", "export [FILE] --checkpoint RUN --output FILE", "weights in a form that other programs read",
          "Writes parameters and buffers under their published names: safetensors, npz, or a state_dict for Python's torch.load.", {"file"},
          std::move(options), export_weights, {{"export --checkpoint runs/quickstart/latest --output ignn.safetensors", "for any program that knows safetensors"},
                                               {"export --checkpoint runs/quickstart/latest --output ignn.pth", "for torch.load"}}};
}

}  // namespace zstar::app
