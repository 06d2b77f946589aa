#pragma once
/// \file Linearisation: u ↦ Jᵀu of a map at a state, on a graph of its own.

#include "core/solve/packing.hpp"
#include "zstar/abi/map.hpp"

namespace zstar::gradient {

/// Evaluates f once with gradients to z alone; the graph lives as long as the object.
class Linearisation {
 public:
  Linearisation(const FixedPointMap& f, const State& at);

  const solve::Packing& packing() const { return packing_; }
  /// Jᵀu, [B, D] → [B, D].
  Tensor vjp(const Tensor& u) const;

 private:
  solve::Packing packing_;
  State z_, y_;
};

}  // namespace zstar::gradient
