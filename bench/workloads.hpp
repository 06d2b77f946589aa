#pragma once
/// \file The solver workloads: maps of four sizes, the same numbers for everyone who times them.

#include <functional>
#include <string>
#include <vector>

#include "zstar/abi/map.hpp"

namespace zstar::bench {

struct Workload {
  std::string name;
  std::function<Tensor(const Tensor&)> f;
  Tensor z0;
  int repeats;  ///< of which the median is taken
};

/// tanh(z A + c), A [D, D] of entries N(0, 0.64/D), c of entries N(0, 1).
inline Workload dense(const std::string& name, std::int64_t batch, std::int64_t width, int repeats) {
  const Tensor a = torch::randn({width, width}) * (0.8 / std::sqrt(static_cast<double>(width))), c = torch::randn({batch, width});
  return {name, [a, c](const Tensor& z) { return torch::tanh(torch::addmm(c, z, a)); }, torch::zeros({batch, width}), repeats};
}

/// tanh(conv₃ₓ₃(z) + c) over [B, C, side, side].
inline Workload conv(const std::string& name, std::int64_t batch, std::int64_t channels, std::int64_t side, int repeats) {
  const Tensor k = torch::randn({channels, channels, 3, 3}) * (0.5 / std::sqrt(9.0 * static_cast<double>(channels)));
  const Tensor c = torch::randn({batch, channels, side, side});
  return {name, [k, c](const Tensor& z) { return torch::tanh(torch::conv2d(z, k, {}, 1, 1) + c); },
          torch::zeros({batch, channels, side, side}), repeats};
}

inline std::vector<Workload> workloads() {
  torch::manual_seed(0);
  return {dense("tiny", 1, 64, 400), dense("small", 32, 256, 100), dense("medium", 64, 1024, 15), conv("conv", 32, 30, 32, 7)};
}

}  // namespace zstar::bench
