#pragma once
/// \file Splitting: the two halves of a map f = prox ∘ affine, for operator-splitting solvers.

#include <cstdint>
#include <functional>
#include <string_view>

#include "zstar/abi/layer.hpp"

namespace zstar {

/// The halves of f(z) = prox₁(W z + c), whose fixed points are the zeros of z ↦ (I − W) z − c + ∂φ(z). Where I − W is strongly
/// monotone there is exactly one (Winston & Kolter, NeurIPS 2020, arXiv:2006.08591). Fixed during one solve, like the map.
/// Every function takes and returns states of the map's shapes and dtypes and is called without a graph.
struct Splitting {
  std::function<State(const State& z)> affine;                     ///< W z + c
  /// x with x + α ((I − W) x − c) = v. What it factorises it may keep for the next call with the same α.
  std::function<State(const State& v, double alpha)> resolvent;
  std::function<State(const State& v, double alpha)> prox;         ///< argmin_x φ(x) + ‖x − v‖²/(2α); ReLU for any α
};

/// By query of an EquilibriumLayer: a solve for which the model offers the halves of its map. Solvers that do not split ignore them.
class SplittingLayer {
 public:
  static constexpr std::string_view id = "zstar.layer.splitting/1";
  /// As EquilibriumLayer::solve. \param halves  of f: prox₁(affine(z)) = f(z)
  virtual Equilibrium solve(const FixedPointMap& f, const Splitting& halves, const State& z0, const SolveOptions& options = {}) = 0;
 protected:
  ~SplittingLayer() = default;
};

/// The halves over packed rows, as solvers see them: [B, D] → [B, D].
struct RowSplitting {
  std::function<Tensor(const Tensor& z)> affine;
  std::function<Tensor(const Tensor& v, double alpha)> resolvent, prox;
};

/// By query of a Solver: it works with the halves of the map. Samples do not leave its batch, for the halves cannot be restricted.
class UsesSplitting {
 public:
  static constexpr std::string_view id = "zstar.solver.uses-splitting/1";
  /// Called before each solve.
  virtual void use(RowSplitting halves) = 0;
 protected:
  ~UsesSplitting() = default;
};

}  // namespace zstar
