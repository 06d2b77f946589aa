/// \file zstar render: the files that a trained model makes.
#include <iostream>

#include "core/app/command.hpp"
#include "core/app/devices.hpp"
#include "core/training/render.hpp"

namespace zstar::app {
namespace {

int render(const Arguments& arguments) {
  const std::uint64_t seed = seed_of(arguments);
  load_cuda();
  const std::filesystem::path from = arguments.text("checkpoint");
  const bool folder = std::filesystem::is_directory(from);
  if (from.empty()) throw po::error("no run was given; 'zstar render' takes a run folder, or a checkpoint with --file");
  if (!folder && !arguments.has("file")) throw po::error("'" + from.string() + "' is no run folder; give its experiment with --file");
  Checked checked(arguments, arguments.has("file") ? arguments.text("file") : (from / "experiment.toml").string());
  const std::filesystem::path out = arguments.has("out") ? std::filesystem::path(arguments.text("out")) : (folder ? from : from.parent_path()) / "rendered";
  for (const std::string& written : training::render(*checked.experiment, checked.catalogue, from, out, seed, std::cerr)) std::cout << written << '\n';
  return done;
}

}  // namespace

Command render_command() {
  po::options_description options("options");
  options.add_options()("checkpoint", value_of("RUN"), "run folder (its best checkpoint), or a checkpoint")("file", value_of("FILE"), "experiment file; by default that of the run")(
      "set,s", values_of("section.key=value"), "override a value of the experiment; may be repeated")("out", value_of("FOLDER"), "where the files go; by default RUN/rendered");
  add_seed_option(options, "of what is made at random; 1 if not given");
  add_plugin_options(options);
  return {"render", "render RUN [--out FOLDER]", "pictures, sounds and frames that a trained model makes",
          "Puts a signal together again from what the model says of every point, or lets a generative model make samples, and\n"
          "writes files of the kind that the data came from. Prints their names.", {"checkpoint"}, std::move(options), render,
          {{"render runs/inr_camera/latest", "the picture as the model has it, in runs/inr_camera/latest/rendered"}}};
}

}  // namespace zstar::app
