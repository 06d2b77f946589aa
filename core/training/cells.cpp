#include "core/training/cells.hpp"

#include <algorithm>

#include "core/solve/packing.hpp"
#include "core/training/gradcheck.hpp"
#include "core/training/probe_run.hpp"
#include "core/training/weights.hpp"

namespace zstar::training {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> runs_below(const fs::path& folder) {
  std::error_code unknown;
  if (fs::exists(folder / "experiment.toml", unknown)) return {folder};
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder, unknown))
    if (entry.path().filename() == "experiment.toml") found.push_back(entry.path().parent_path());
  std::sort(found.begin(), found.end());
  if (found.empty()) throw std::runtime_error(folder.string() + ": error: no run folder is there\n  expected: a folder that 'zstar run' made, or one that holds such\n  remedy: 'zstar runs' lists them");
  return found;
}

State zeros_like(const State& z) {
  std::vector<Tensor> zeros;
  for (const Tensor& t : z) zeros.push_back(torch::zeros_like(t));
  return {std::move(zeros), z.axes()};
}

FrozenCell cell_of(const fs::path& run, plugins::Catalogue& catalogue, std::int64_t samples, std::ostream& warnings) {
  const auto experiment = experiment::Experiment::read(run / "experiment.toml", laboratory_overrides(), schema(), CatalogueTables(catalogue, run / "plugins.lock.toml"));
  FrozenCell cell;
  cell.session = std::make_shared<Session>(experiment, catalogue, warnings);
  load_weights(cell.session->model(), newest_weights(run));
  Prober prober(*cell.session, first_batch(*cell.session, experiment.at("train").as<TrainOptions>().batch_size, samples));
  const auto solves = prober.run(Pass::evaluation).solves;
  if (solves.empty()) throw std::runtime_error(run.string() + ": error: its model solves no equilibrium");
  cell.f = solves.back().map;
  cell.z0 = zeros_like(solves.back().equilibrium.fixed_point);
  const solve::Packing packing(cell.z0);
  cell.name = cell.session->options.name + ", " + run.filename().string() + ": " + std::to_string(packing.width()) + " unknowns";
  return cell;
}

}  // namespace

std::vector<FrozenCell> frozen_cells(const fs::path& folder, plugins::Catalogue& catalogue, std::int64_t samples, std::ostream& warnings) {
  std::vector<FrozenCell> cells;
  for (const fs::path& run : runs_below(folder)) cells.push_back(cell_of(run, catalogue, samples, warnings));
  return cells;
}

}  // namespace zstar::training
