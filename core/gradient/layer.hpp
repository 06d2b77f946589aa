#pragma once
/// \file Layer: solves, and joins the result to the autograd graph.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/solve/solve.hpp"
#include "zstar/abi/gradient.hpp"
#include "zstar/abi/layer.hpp"
#include "zstar/abi/regularizer.hpp"
#include "zstar/splitting.hpp"

namespace zstar::gradient {

/// The keys of the framework in `[gradient]`: which states are sampled and joined to the graph.
struct Options {
  std::int64_t states = 1;
  std::vector<std::int64_t> sample_at;
  std::string form = "indexing";
  std::string failed_samples = "keep";
  std::string adjoint_scale = "cotangent";

  static auto options() {
    using O = Options;
    return std::tuple{
        opt("states", &O::states, "states sampled along the solve, spaced evenly, the last one being the equilibrium",
            at_least(1)),
        opt("sample_at", &O::sample_at, "evaluations after which states are sampled, besides the last; excludes states > 1",
            at_least(1)),
        choice("form", &O::form, "indexing: one solve, sampled on the way; sliced: a solve per state, each from the one before",
               {"indexing", "sliced"}),
        choice("failed_samples", &O::failed_samples,
               "cotangent of samples whose adjoint solve failed: what was found, nothing, the one-step gradient, or an error",
               {"keep", "zero", "one_step", "abort"}),
        choice("adjoint_scale", &O::adjoint_scale,
               "residual of the adjoint solve relative to the cotangent, so that the scale of the loss plays no role, "
               "or as it stands (none)",
               {"cotangent", "none"})};
  }
};

/// A solver by name with the framework's options for it.
struct SolverChoice {
  std::string name;
  std::function<std::unique_ptr<Solver>()> make;
  solve::Options options;
};

struct LayerParts {
  SolverChoice forward, adjoint;
  std::shared_ptr<GradientMethod> gradient;      ///< of the last state
  std::shared_ptr<GradientMethod> intermediate;  ///< of the sampled states before it
  Options options;
};

/// The layer that models are handed. One object serves any number of calls; it keeps no graph.
class Layer final : public EquilibriumLayer, public SplittingLayer {
 public:
  /// \throws OptionError  for a sampling plan that the budget cannot hold
  explicit Layer(LayerParts parts);
  ~Layer() override;

  Equilibrium solve(const FixedPointMap& f, const State& z0, const SolveOptions& options = {}) override;
  Equilibrium solve(const FixedPointMap& f, const Splitting& halves, const State& z0, const SolveOptions& options = {}) override;
  void* query(std::string_view id) override { return id == SplittingLayer::id ? static_cast<SplittingLayer*>(this) : nullptr; }

  /// Every later call adds itself to `sink`; null: none.
  void record_into(std::vector<Solved>* sink);

 private:
  Equilibrium run(const FixedPointMap& f, const Splitting* halves, const State& z0, const SolveOptions& options);

  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace zstar::gradient
