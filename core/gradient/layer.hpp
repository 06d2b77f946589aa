#pragma once
/// \file Layer: solves, and joins the result to the autograd graph.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/gradient/precision.hpp"
#include "core/gradient/start.hpp"
#include "core/solve/solve.hpp"
#include "zstar/abi/gradient.hpp"
#include "zstar/abi/layer.hpp"
#include "zstar/abi/regularizer.hpp"
#include "zstar/call_settings.hpp"
#include "zstar/splitting.hpp"

namespace zstar::gradient {

/// The keys of the framework in `[gradient]`: which states are sampled and joined to the graph.
struct Options {
  std::int64_t states = 1;
  std::vector<std::int64_t> sample_at;
  std::string form = "indexing";
  std::string failed_samples = "keep";
  std::string adjoint_scale = "cotangent";
  bool checkpoint = false, residual = false;
  std::int64_t certificate = 0, certificate_products = 12;
  double bad_gradient = 0.5;
  std::string on_bad_gradient = "warn";

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
               "adjoint of samples whose solve failed: what was found; nothing; the one-step gradient; nothing, and the others scaled up as if "
               "the sample were not in the batch (drop); that of GMRES from what was found; or an error",
               {"keep", "zero", "one_step", "drop", "gmres", "abort"}),
        choice("adjoint_scale", &O::adjoint_scale,
               "residual of the adjoint solve relative to the cotangent, so that the scale of the loss plays no role, "
               "or as it stands (none)",
               {"cotangent", "none"}),
        opt("checkpoint", &O::checkpoint, "keep no graph of an evaluation of f that is tracked, but for the last of several: backward makes it again, with the same random numbers"),
        opt("residual", &O::residual,
            "report how far the adjoint equation is from solved where the method itself does not, for at most one evaluation of f and one product backward"),
        opt("certificate", &O::certificate, "steps between certificates, which say how wrong the gradient is; 0: none", at_least(0)),
        opt("certificate_products", &O::certificate_products,
            "Lanczos steps of the estimate of σ_min(I − J), each three vector–Jacobian products; not needed where the map declares a bound", at_least(1)),
        opt("bad_gradient", &O::bad_gradient, "relative error of the adjoint, by the certificate, beyond which a gradient is bad", above(0.0)),
        choice("on_bad_gradient", &O::on_bad_gradient, "what happens then: a line on the console, GMRES until it is good, no step, or the end of the run",
               {"warn", "refine", "skip", "abort"})};
  }
};

/// A solver by name with the framework's options for it.
struct SolverChoice {
  std::string name;
  std::function<std::unique_ptr<Solver>()> make;
  solve::Options options;
  /// The same with other settings, each checked; empty: no call may have settings of its own.
  std::function<SolverChoice(const Settings&)> with = {};
};

struct LayerParts {
  SolverChoice forward, adjoint;
  std::shared_ptr<GradientMethod> gradient;      ///< of the last state
  std::shared_ptr<GradientMethod> intermediate;  ///< of the sampled states before it
  Options options;
  StartOptions start = {};
  std::string gradient_name = "gradient";        ///< for reports of methods that iterate by themselves
  PrecisionOptions precision = {};               ///< of the forward solves
  std::function<void(const std::string&)> warn = {};  ///< takes sentences for the user; empty: they are not said
  bool estimate_wanted = false;                  ///< filled by the layer: something reads the forward solver's estimate
};

/// What a certificate of one call needs: its equilibrium, the cotangent that came in backward, and the adjoint that the method made of it.
struct Watched {
  FixedPointMap map;
  State at;                        ///< z⋆, without graph
  std::vector<State> cotangents;   ///< of each state that the method handed out; undefined tensors: none came
  State adjoint;                   ///< what f's result was multiplied with
  bool complete = false;           ///< a whole backward pass has been seen
  std::int64_t evaluations = 0;    ///< of f by the method, backward included; those of the forward solver are in its report
  std::int64_t products = 0;       ///< vector–Jacobian products: passes backward through an evaluation of f
};

/// The layer that models are handed. One object serves any number of calls; it keeps no graph.
class Layer final : public EquilibriumLayer, public SplittingLayer, public SettableLayer {
 public:
  /// \throws OptionError  for a sampling plan that the budget cannot hold
  explicit Layer(LayerParts parts);
  ~Layer() override;

  Equilibrium solve(const FixedPointMap& f, const State& z0, const SolveOptions& options = {}) override;
  Equilibrium solve(const FixedPointMap& f, const Splitting& halves, const State& z0, const SolveOptions& options = {}) override;
  Equilibrium solve(const FixedPointMap& f, const State& z0, const SolveOptions& options, const CallSettings& settings) override;
  void* query(std::string_view id) override;

  /// Every later call adds itself to `sink`; null: none.
  void record_into(std::vector<Solved>* sink);
  /// Every later call that is joined to the graph leaves there what certify() needs, once `.backward()` has run; null: none.
  void watch_into(std::vector<std::shared_ptr<Watched>>* sink);

  const Options& options() const { return parts().options; }
  const LayerParts& parts() const;
  /// Other parts for later calls; calls whose backward pass is still to come keep theirs, and starts are kept as before.
  /// \throws OptionError  as the constructor
  void replace(LayerParts parts);
  /// What the gradient method and the store of starts say of the calls since this was asked last, by name.
  std::vector<std::pair<std::string, double>> statistics();
  Starts& starts();

 private:
  Equilibrium run(const LayerParts& parts, const FixedPointMap& f, const Splitting* halves, const State& z0, const SolveOptions& options);

  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace zstar::gradient
