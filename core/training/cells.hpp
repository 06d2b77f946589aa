#pragma once
/// \file Frozen cells: the maps of trained models, as problems for solvers.

#include <filesystem>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "core/training/session.hpp"

namespace zstar::training {

struct FrozenCell {
  std::string name;                  ///< "quickstart, 20260101-120000-ab12: 12800 unknowns"
  FixedPointMap f;
  State z0;                          ///< zeros
  std::shared_ptr<Session> session;  ///< that the map lives in
};

/// The last map that each run's model solves on its first batch: the run's best weights, in evaluation mode and float64.
/// \param folder  a run folder, or one that holds run folders at any depth; links are not followed \param samples  of the batch at most
/// \throws std::runtime_error  if there is no run, or one has no weights
std::vector<FrozenCell> frozen_cells(const std::filesystem::path& folder, plugins::Catalogue& catalogue, std::int64_t samples, std::ostream& warnings);

}  // namespace zstar::training
