#pragma once
/// \file A model's parameters and buffers by name: in checkpoints, and in files of other programs.

#include <filesystem>

#include "core/runs/checkpoint.hpp"
#include "zstar/abi/host.hpp"
#include "zstar/abi/model.hpp"

namespace zstar::training {

void save_weights(const Model& model, runs::Checkpoint& checkpoint);
/// \throws std::runtime_error  naming what is missing, unexpected or of another shape; the model is then untouched
void load_weights(Model& model, const runs::Checkpoint& checkpoint);

/// A checkpoint, or of a run folder the best one, or else the newest; of those the first that is good. \param host  told of those that are not
/// \throws runs::RunError
runs::Checkpoint newest_weights(const std::filesystem::path& from, Host& host);

/// Weights that another program saved: a file of torch.save, npz or safetensors. Names may all begin with `module.`; numbers take
/// the model's dtype and device. \param key  where the weights are in a training checkpoint, keys with '/' between them
/// \throws std::runtime_error  as above, and for damaged files
void load_weights(Model& model, const std::filesystem::path& file, const std::string& key);

/// Writes the weights for other programs; the ending says how: .safetensors, .npz, or .pth and .pt for torch.load.
/// \throws std::runtime_error
void export_weights(const Model& model, const std::filesystem::path& file);

}  // namespace zstar::training
