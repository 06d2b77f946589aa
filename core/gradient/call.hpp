#pragma once
/// \file Call: one call of the layer, as its gradient methods see it.

#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "core/gradient/layer.hpp"
#include "core/gradient/tally.hpp"
#include "zstar/nn/checkpoint.hpp"

namespace zstar::gradient {

/// The services of one call. Gradient methods see them while states are attached; what backward needs later is kept by the nodes.
class Call final : public GradientServices {
 public:
  /// \param starts  outlives every backward pass of the call \param halves  of the map, for solvers that split; may be null
  Call(const LayerParts& parts, std::shared_ptr<Starts> starts, Ladder& ladder, const Splitting* halves, Equilibrium& result);

  State evaluate(const FixedPointMap& f, const State& z) override;
  State implicit(const FixedPointMap& f, const State& z_star, Adjoint adjoint, JacobianAt jacobian_at) override;

  /// Runs the forward solver from z for `budget` evaluations.
  solve::Outcome forward(const FixedPointMap& f, const State& z, solve::Options options, std::int64_t budget,
                         const std::vector<std::int64_t>& sample_at);
  /// Joins sampled state `index` of `count` to the graph. \param watched  takes what a certificate needs; may be null
  /// \return what reports of a method that solves no adjoint equation by itself; else null
  std::shared_ptr<Tally> attach(const FixedPointMap& f, const State& z, std::size_t index, std::size_t count, const std::shared_ptr<Watched>& watched);

 private:
  /// f(z), counted, and checkpointed where the layer wants it. \param newest  may be null
  State tracked(const FixedPointMap& f, const State& z, nn::NewestGraph* newest);
  solve::Outcome climbed(Solver& solver, const FixedPointMap& f, const State& z, solve::Options options, std::vector<std::int64_t> sample_at);
  solve::Outcome in_low(const FixedPointMap& low, const State& z, const solve::Options& options);
  FixedPointMap observed(const FixedPointMap& f, const State& z, const std::shared_ptr<Tally>& tally, const std::shared_ptr<Watched>& watched) const;
  /// What the current method makes of z, under the guard.
  std::vector<State> attached(const FixedPointMap& map, const State& z, std::size_t index, std::size_t count);

  const LayerParts& parts_;
  std::shared_ptr<Starts> starts_;
  StartKeys keys_;
  Ladder& ladder_;
  const Splitting* halves_;
  Equilibrium& result_;
  std::shared_ptr<Solver> estimate_;
  std::shared_ptr<GradientMethod> current_;  // whose attach runs
  std::string name_;                         // of it, for reports
  std::exception_ptr of_map_;
  nn::NewestGraph newest_;    // of a chain of evaluations
  std::int64_t tracked_ = 0;  // evaluations of the current method on the graph
  bool solves_ = false;       // whether it put a node with an adjoint problem on the graph
};

}  // namespace zstar::gradient
