#pragma once
/// \file Which weights of a model no norm can act on.

#include <string>
#include <string_view>
#include <vector>

#include <torch/nn/module.h>

#include "zstar/nn/weight.hpp"

namespace zstar::nn {

/// Weights of two dimensions or more, by full name (`encoder.weight`), whose modules know of no norm.
struct OutOfReach {
  std::vector<std::string> of_torch;  ///< of torch::nn::Linear, its convolutions, embeddings and recurrent layers: by oversight, maybe
  std::vector<std::string> own;       ///< of modules that the model wrote for itself
};

inline OutOfReach weights_out_of_reach(const torch::nn::Module& model) {
  OutOfReach found;
  for (const auto& entry : model.named_modules()) {
    if (dynamic_cast<const Weighted*>(entry.value().get())) continue;
    auto& names = entry.value()->name().find("torch::nn::") == 0 ? found.of_torch : found.own;
    for (const auto& parameter : entry.value()->named_parameters(/*recurse=*/false))
      if (parameter.value().dim() >= 2 && parameter.key().find("weight") != std::string::npos)
        names.push_back(entry.key().empty() ? parameter.key() : entry.key() + '.' + parameter.key());
  }
  return found;
}

}  // namespace zstar::nn
