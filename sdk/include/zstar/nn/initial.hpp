#pragma once
/// \file Initial states of a solve.

#include <string>

#include <torch/types.h>

#include "zstar/drawn.hpp"

namespace zstar::nn {

/// A state of random numbers: "normal" N(0, 1), or "mixed", where each is kept with probability ½ and is 0 otherwise.
/// \param like  its shape, dtype and device \param generator  undefined: the default one of the device
/// \throws std::invalid_argument  for another kind
/// \par Sources  Anil et al., Path independent equilibrium models can better exploit test-time computation, NeurIPS 2022, arXiv:2211.09961
inline torch::Tensor random_initial(const torch::Tensor& like, const std::string& kind, const at::Generator& generator = at::Generator()) {
  if (kind != "normal" && kind != "mixed") throw std::invalid_argument("random initial states are 'normal' or 'mixed', not '" + kind + "'");
  const torch::Tensor z = empty_to_draw(like).normal_(0.0, 1.0, generator);
  return (kind == "mixed" ? z.mul_(torch::empty_like(z).bernoulli_(0.5, generator)) : z).to(like.scalar_type());
}

}  // namespace zstar::nn
