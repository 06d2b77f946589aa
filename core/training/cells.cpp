#include "core/training/cells.hpp"

#include "core/gradient/nodes.hpp"
#include "core/runs/folder.hpp"
#include "core/solve/packing.hpp"
#include "core/training/gradcheck.hpp"
#include "core/training/probe_run.hpp"
#include "core/training/weights.hpp"

namespace zstar::training {
namespace {

namespace fs = std::filesystem;

FrozenCell cell_of(const fs::path& run, plugins::Catalogue& catalogue, std::int64_t samples, std::ostream& warnings) {
  const auto experiment = experiment::Experiment::read(run / "experiment.toml", laboratory_overrides(), schema(), CatalogueTables(catalogue, run / "plugins.lock.toml"));
  FrozenCell cell;
  cell.session = std::make_shared<Session>(experiment, catalogue, warnings);
  load_weights(cell.session->model(), newest_weights(run, cell.session->host()));
  Prober prober(*cell.session, first_batch(*cell.session, experiment.at("train").as<TrainOptions>().batch_size, samples));
  const auto solves = prober.run(Pass::evaluation).solves;
  if (solves.empty()) throw std::runtime_error(run.string() + ": error: its model solves no equilibrium");
  cell.f = solves.back().map;
  cell.z0 = gradient::zeros_of(solves.back().equilibrium.fixed_point);
  const solve::Packing packing(cell.z0);
  cell.name = cell.session->options.name + ", " + run.filename().string() + ": " + std::to_string(packing.width()) + " unknowns";
  return cell;
}

}  // namespace

std::vector<FrozenCell> frozen_cells(const fs::path& folder, plugins::Catalogue& catalogue, std::int64_t samples, std::ostream& warnings) {
  const auto found = runs::runs_below(folder);
  if (found.empty())
    throw std::runtime_error(folder.string() + ": error: no run folder is there\n  expected: a folder that 'zstar run' made, or one that holds such\n  remedy: 'zstar runs' lists them");
  std::vector<FrozenCell> cells;
  for (const fs::path& run : found) cells.push_back(cell_of(run, catalogue, samples, warnings));
  return cells;
}

}  // namespace zstar::training
