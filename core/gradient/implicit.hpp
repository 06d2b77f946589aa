#pragma once
/// \file The implicit node: identity in the forward pass; in the backward pass the cotangent becomes the adjoint.

#include <functional>
#include <memory>

#include "core/gradient/layer.hpp"
#include "core/solve/packing.hpp"

namespace zstar::gradient {

/// What the backward pass of one call needs. It holds z⋆ without graph, and f; no tensor with history.
struct ImplicitCall {
  FixedPointMap f;
  State at;                                        ///< where J is taken, without graph
  std::shared_ptr<Solver> forward;                 ///< kept if the method reads its estimate of (J − I)⁻¹
  /// Solves u = v + Jᵀu; v and u are [B, D].
  std::function<Tensor(const AdjointProblem&)> adjoint;
};

/// y with the node on it. y is f(z⋆) on the graph of f's captured tensors.
State attach_implicit(const State& y, std::shared_ptr<ImplicitCall> call);

}  // namespace zstar::gradient
