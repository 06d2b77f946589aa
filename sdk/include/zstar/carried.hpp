#pragma once
/// \file What a model carries from one batch to the next besides parameters and buffers: a memory of earlier text, say.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zstar/abi/state.hpp"

namespace zstar {

/// By query of a model: saved in checkpoints, so that a run that goes on does so exactly.
class Carries {
 public:
  static constexpr std::string_view id = "zstar.model.carried/1";
  /// What it carries now, by name: in training mode that of training, else that of evaluation.
  virtual std::vector<std::pair<std::string, Tensor>> carried() const = 0;
  /// Takes it up again, on the model's device; of nothing: as before the first batch. \throws std::runtime_error  for tensors that do not fit the model
  virtual void carry(const std::vector<std::pair<std::string, Tensor>>& tensors) = 0;

 protected:
  ~Carries() = default;
};

}  // namespace zstar
