#pragma once
/// \file Flow as colour: direction is hue, length is saturation.
/// \par Source  Baker et al., A Database and Evaluation Methodology for Optical Flow, IJCV 92, 2011

#include <array>
#include <cmath>
#include <numbers>

#include <zstar/sdk.hpp>

namespace zstar_flow_files {
namespace {

using torch::Tensor;

/// The 55 colours of the circle, [55, 3], 0 … 255: six ramps from one primary or secondary colour to the next.
inline Tensor colour_wheel() {
  struct Ramp { int steps, full, moving; bool rising; };
  constexpr std::array<Ramp, 6> ramps{{{15, 0, 1, true}, {6, 1, 0, false}, {4, 1, 2, true}, {11, 2, 1, false}, {13, 2, 0, true}, {6, 0, 2, false}}};
  const Tensor wheel = torch::zeros({55, 3}, torch::kFloat64);
  std::int64_t row = 0;
  for (const Ramp& r : ramps)
    for (int i = 0; i < r.steps; ++i, ++row) {
      wheel[row][r.full] = 255;
      const double share = std::floor(255.0 * i / r.steps);
      wheel[row][r.moving] = r.rising ? share : 255 - share;
    }
  return wheel;
}

/// \param flow  [2, h, w] \param longest  length that has full saturation; 0: that of the longest vector \return uint8 [h, w, 3], black where the flow is not finite
inline Tensor colours_of(const Tensor& flow, double longest = 0) {
  const Tensor given = flow.detach().to(torch::kCPU, torch::kFloat64), finite = given.isfinite().all(0);
  const Tensor f = torch::where(finite, given, torch::zeros_like(given)), length = f.norm(2, {0});
  const double scale = (longest > 0 ? longest : length.max().item<double>()) + 1e-5;
  const Tensor u = f[0] / scale, v = f[1] / scale, radius = length / scale;
  const Tensor place = (torch::atan2(-v, -u) / std::numbers::pi + 1) / 2 * 54, whole = place.floor();
  const Tensor first = whole.to(torch::kInt64), wheel = colour_wheel() / 255;
  const auto at = [&](const Tensor& k) { return wheel.index_select(0, k.flatten()).view({k.size(0), k.size(1), 3}); };
  const Tensor share = (place - whole).unsqueeze(2), colour = (1 - share) * at(first) + share * at((first + 1).remainder(55));
  const Tensor r = radius.unsqueeze(2);
  return torch::floor(255 * torch::where(r <= 1, 1 - r * (1 - colour), colour * 0.75)).to(torch::kUInt8) * finite.unsqueeze(2);
}

}  // namespace
}  // namespace zstar_flow_files
