#pragma once
/// \file Runs of a small experiment inside the test: its text, its run folder, what it said.

#include <unistd.h>

#include <filesystem>
#include <sstream>
#include <string>

#include "core/experiment/experiment.hpp"
#include "core/runs/checkpoint.hpp"
#include "core/runs/records.hpp"
#include "core/training/session.hpp"

namespace zstar::test {

namespace fs = std::filesystem;

inline plugins::Catalogue& all_plugins() {
  static plugins::Catalogue all({.folders = {ZSTAR_TEMPLATE_PLUGINS, ZSTAR_PLUGIN_DIR}, .user_folders = false});
  return all;
}

/// 30 pictures for training, 10 to validate, 10 to test; a state of 8 numbers; solved to the precision of float64.
inline experiment::Experiment small_experiment(const std::vector<std::string>& settings = {}) {
  constexpr const char* text = R"(
[experiment]
name = "small"
threads = 1
dtype = "float64"
[dataset]
name = "my_dataset"
samples = 50
size = 4
[model]
name = "my_model"
hidden = 8
[solver]
tolerance = 1e-13
max_evaluations = 100
[gradient]
solver = { tolerance = 1e-13, max_evaluations = 200 }
[optimizer]
name = "sgd"
lr = 0.1
)";
  return experiment::Experiment::parse(text, "small.toml", settings, training::schema(), training::CatalogueTables(all_plugins()));
}

struct Trained {
  explicit Trained(std::vector<std::string> settings, bool terminal = false) {
    std::string name = (fs::temp_directory_path() / "zstar-training-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    folder = name;
    settings.push_back("experiment.runs=" + name);
    std::ostringstream out;
    try {
      training::train(small_experiment(settings), all_plugins(), {.terminal = terminal}, out);
    } catch (const std::runtime_error& error) {
      failure = error.what();
    }
    said = out.str();
    run = fs::canonical(folder / "small/latest");
  }
  Trained(const Trained&) = delete;
  Trained& operator=(const Trained&) = delete;
  ~Trained() { fs::remove_all(folder); }

  std::vector<nlohmann::ordered_json> records(const std::string& kind) const {
    std::vector<nlohmann::ordered_json> found;
    for (const auto& r : runs::read_records(run))
      if (r["kind"] == kind) found.push_back(r);
    return found;
  }
  std::vector<std::int64_t> steps(const std::string& kind) const {
    std::vector<std::int64_t> found;
    for (const auto& r : records(kind)) found.push_back(r["step"]);
    return found;
  }
  /// Weights of the newest checkpoint, all in one.
  torch::Tensor weights() const {
    std::vector<torch::Tensor> all;
    for (const auto& [key, t] : runs::load(runs::checkpoints(run).front()).tensors)
      if (key.compare(0, 6, "model/") == 0) all.push_back(t.flatten());
    return torch::cat(all);
  }

  fs::path folder, run;
  std::string said, failure;
};

}  // namespace zstar::test
