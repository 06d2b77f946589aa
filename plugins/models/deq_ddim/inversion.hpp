#pragma once
/// \file The noise x_T from which sampling makes a given image. Equations: README.md.

#include <functional>

#include <torch/optim/adam.h>

#include "trajectory.hpp"

namespace zstar_ddim {
namespace {

struct InversionOptions {
  std::int64_t steps = 0;
  double lr = 0.005, stop = 0;  ///< it ends at this squared error
  bool go_on = true;            ///< a solve starts from the states of the one before; false: from those of the first start, as published
};

/// What was found: of the least squared error, before the optimiser's step that follows it.
struct Inversion {
  Tensor latent, image, last;  ///< last: the latent after the last step
  double first = 0, best = INFINITY;
  std::int64_t steps = 0;
  std::string ended = "steps";
};

/// A step before the optimiser takes it.
struct InversionStep {
  Tensor start, rows, gradient;  ///< rows [S + 1, C, H, W] that the solve starts from and that it gives, the latter on the graph; of the error by x_T
  double error = 0;
};
using InversionObserver = std::function<void(const InversionStep&)>;

/// Minimises ‖y_S(x_T) − target‖² by Adam. \param map  of one image \param target  [1, C, H, W] \param start  of x_T, and of all states
inline Inversion invert(const Trajectory& map, const Tensor& target, const Tensor& start, zstar::EquilibriumLayer& layer, const InversionOptions& o, const InversionObserver& observe = {}) {
  const torch::AutoGradMode grad(true);
  const Tensor latent = start.detach().clone().requires_grad_();
  torch::optim::Adam adam({latent}, torch::optim::AdamOptions(o.lr));
  Tensor rows = latent.detach().repeat({map.steps() + 1, 1, 1, 1});
  Inversion found;
  for (; found.steps < o.steps; ++found.steps) {
    adam.zero_grad();
    const zstar::FixedPointMap f([&](const State& z) { return State(with_latent(map, z[0], latent)); });
    const auto solved = layer.solve(f, State(rows), {.training = true, .gradient = true});
    const Tensor image = solved.z()[0].slice(0, map.steps()), loss = (image - target).square().sum();
    const double error = loss.item<double>();
    if (found.steps == 0) found.first = error;
    if (error < found.best) found.best = error, found.image = image.detach().clone(), found.latent = latent.detach().clone();
    if (!std::isfinite(error) || error <= o.stop) {
      found.ended = std::isfinite(error) ? "stop" : "nonfinite";
      break;
    }
    loss.backward();
    if (observe) observe({rows, solved.z()[0], latent.grad(), error});
    adam.step();
    rows = o.go_on ? solved.fixed_point[0].detach().clone() : rows.clone();
    rows.narrow(0, 0, 1).copy_(latent.detach());
  }
  found.last = latent.detach();
  return found;
}

}  // namespace
}  // namespace zstar_ddim
