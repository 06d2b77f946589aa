#pragma once
/// \file Which weights of a model no norm can act on.

#include <string>
#include <string_view>
#include <vector>

#include <torch/nn/module.h>

#include "zstar/nn/weight.hpp"

namespace zstar::nn {

/// The weights of two dimensions or more, by full name (`encoder.weight`), whose modules know of no norm: those of torch::nn::Linear,
/// of its convolutions, embeddings and recurrent layers, and of modules of a model's own.
inline std::vector<std::string> weights_out_of_reach(const torch::nn::Module& model) {
  std::vector<std::string> names;
  for (const auto& entry : model.named_modules()) {
    if (dynamic_cast<const Weighted*>(entry.value().get())) continue;
    for (const auto& parameter : entry.value()->named_parameters(/*recurse=*/false))
      if (parameter.value().dim() >= 2 && parameter.key().find("weight") != std::string::npos)
        names.push_back(entry.key().empty() ? parameter.key() : entry.key() + '.' + parameter.key());
  }
  return names;
}

}  // namespace zstar::nn
