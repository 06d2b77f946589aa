#pragma once
/// \file EquilibriumLayer: the solve-and-differentiate layer as a model sees it.

#include <memory>
#include <optional>
#include <vector>

#include "zstar/abi/map.hpp"
#include "zstar/abi/object.hpp"
#include "zstar/abi/report.hpp"

namespace zstar {

/// Overrides for one call; what is unset comes from the experiment.
struct SolveOptions {
  bool training = true;                          ///< which budget, and whether states are joined to the graph
  std::optional<bool> gradient;                  ///< join to the graph? default: training and gradients enabled
  std::optional<std::int64_t> max_evaluations;
  std::optional<double> tolerance;
  std::vector<std::int64_t> sample_ids;          ///< of the samples, for stores that remember; empty: unknown
};

/// The outcome of one call of the layer.
struct Equilibrium {
  std::vector<State> states;                     ///< what the loss sees: the sampled states and, last, the equilibrium
  State fixed_point;                             ///< z⋆ as the solver returned it, without graph
  std::vector<Report> forward;                   ///< one per run of the forward solver
  std::shared_ptr<std::vector<Report>> backward; ///< one per adjoint solve, filled when backward runs
  std::int64_t gradient_evaluations = 0;         ///< tracked calls of f

  const State& z() const { return states.back(); }
};

class EquilibriumLayer : public Object {
 public:
  /// Solves z = f(z) from z0 and joins the result to the autograd graph as the gradient method says.
  /// Gradients reach every tensor that f uses; none reaches z0, which is not modified.
  /// \throws std::invalid_argument if f changes a shape, dtype or the number of tensors, naming the tensor
  virtual Equilibrium solve(const FixedPointMap& f, const State& z0, const SolveOptions& options = {}) = 0;
};

}  // namespace zstar
