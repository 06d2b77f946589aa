#pragma once
/// \file Linearisation: products with J = ∂f/∂z of a map at a state, and the way back into what f uses.

#include <vector>

#include "core/solve/packing.hpp"
#include "zstar/abi/map.hpp"

namespace zstar::gradient {

/// A graph of one evaluation of f, and products with its Jacobian. Vectors are [B, D].
class Linearisation {
 public:
  /// Evaluates f once with gradients to z alone; the graph lives as long as the object.
  Linearisation(const FixedPointMap& f, const State& at);
  /// The same for f with other tensors in the place of the captured ones.
  Linearisation(const FixedPointMap& f, const State& at, const std::vector<Tensor>& captured);
  /// A graph that exists: y = f(z), z part of it.
  Linearisation(State z, State y) : packing_(z), z_(std::move(z)), y_(std::move(y)) {}

  const solve::Packing& packing() const { return packing_; }
  const State& z() const { return z_; }
  /// f(z), on the graph.
  const State& image() const { return y_; }

  /// Jᵀu.
  Tensor vjp(const Tensor& u) const;
  /// Jv, as the derivative of u ↦ ⟨Jᵀu, v⟩: the first call doubles the graph, each costs one vector–Jacobian product.
  /// \throws std::runtime_error  where an operation of f has no second derivative
  Tensor jvp(const Tensor& v) const;
  /// (∂f/∂t)ᵀu for tensors on the graph; undefined where f does not depend on one. \param create_graph  to be differentiated again
  std::vector<Tensor> pullback(const State& u, const std::vector<Tensor>& tensors, bool create_graph) const;

 private:
  solve::Packing packing_;
  State z_, y_;
  mutable Tensor seed_, product_;  // u and Jᵀu as a function of it, for jvp
};

}  // namespace zstar::gradient
