#pragma once
/// \file Mixing of an iterate with its image. Compiled into the plugin; nothing here crosses the boundary.

#include <utility>
#include <vector>

#include <torch/types.h>

#include "zstar/abi/state.hpp"

namespace zstar {

/// (1 − β) z + β fz; for β = 1 `fz` itself. Numbers narrower than float32, which a CPU cannot mix, are mixed in float32 and rounded once.
inline Tensor mixed(const Tensor& z, const Tensor& fz, double beta) {
  if (beta == 1.0) return fz;
  const auto dtype = z.scalar_type();
  if (dtype != torch::kFloat16 && dtype != torch::kBFloat16) return torch::lerp(z, fz, beta);
  return torch::lerp(z.to(torch::kFloat32), fz.to(torch::kFloat32), beta).to(dtype);
}

/// The same, tensor by tensor.
inline State mixed(const State& z, const State& fz, double beta) {
  if (beta == 1.0) return fz;
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < z.size(); ++i) tensors.push_back(mixed(z[i], fz[i], beta));
  return {std::move(tensors), z.axes()};
}

}  // namespace zstar
