#pragma once
/// \file The implicit node: identity in the forward pass; in the backward pass the cotangent becomes the adjoint.

#include <functional>
#include <memory>

#include "core/gradient/layer.hpp"
#include "core/gradient/linearisation.hpp"
#include "core/solve/packing.hpp"

namespace zstar::gradient {

/// What the backward pass of one call needs. It holds z⋆ without graph, and f; no tensor with history.
struct ImplicitCall {
  FixedPointMap f;
  State at;                                        ///< where J is taken, without graph
  std::shared_ptr<Solver> forward;                 ///< kept if something reads its estimate of (J − I)⁻¹
  /// Solves u = v + Jᵀu; v and u are [B, D].
  std::function<Tensor(const AdjointProblem&)> adjoint;
};

/// y, the image of the state on the graph of f's captured tensors, with the node on it; J is of a second graph, made in backward.
State attach_implicit(const State& y, std::shared_ptr<ImplicitCall> call);

/// f(z⋆) with a node that keeps the graph of y: backward evaluates f no more.
State attach_hook(const FixedPointMap& f, const State& z_star, std::shared_ptr<ImplicitCall> call);

/// f(z⋆) of a map that names its captured tensors: the node hands each its gradient, so that it can be differentiated again.
///
///   ḡ = (∂f/∂c)ᵀu,  u = v + Jᵀu;  differentiated:  q̃ = (I − Jᵀ)⁻¹ r,  r = Jᵀu + v with u constant,  ḡ = (∂f/∂c)ᵀq̃,
///
/// whose own derivative needs p = J p + w. Forward keeps no graph at all.
State attach_differentiable(const State& y, std::shared_ptr<ImplicitCall> call);

/// The adjoint problem of a linearisation, with what the map declares and the forward solver left.
AdjointProblem problem_of(const Linearisation& linear, const ImplicitCall& call, const State& cotangents);

}  // namespace zstar::gradient
