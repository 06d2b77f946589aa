#pragma once
/// \file Files that a trained model makes: predictions of a split put together again, samples of a generative model.

#include <filesystem>

#include "core/training/session.hpp"

namespace zstar::training {

/// Renders the test split (that for training, where there is no other), if the data set Renders and the model Predicts; lets the
/// model make what it Produces. \param from  a checkpoint or a run folder \param folder  where files go; made if it is not there
/// \return the files written \throws std::runtime_error  if model and data set can do neither
std::vector<std::string> render(const experiment::Experiment& experiment, plugins::Catalogue& catalogue, const std::filesystem::path& from,
                                const std::filesystem::path& folder, std::uint64_t seed, std::ostream& warnings);

}  // namespace zstar::training
