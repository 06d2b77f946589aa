#pragma once
/// \file A model's parameters and buffers in a checkpoint, by name.

#include "core/runs/checkpoint.hpp"
#include "zstar/abi/model.hpp"

namespace zstar::training {

void save_weights(const Model& model, runs::Checkpoint& checkpoint);
/// \throws std::runtime_error  naming what is missing, unexpected or of another shape; the model is then untouched
void load_weights(Model& model, const runs::Checkpoint& checkpoint);
/// A checkpoint, or of a run folder the best one, or else the newest.
runs::Checkpoint newest_weights(const std::filesystem::path& from);

}  // namespace zstar::training
