#pragma once
/// \file GradientMethod: how a solved state is joined to the autograd graph; services it stands on.

#include <functional>
#include <memory>
#include <vector>

#include "zstar/abi/layer.hpp"
#include "zstar/abi/solver.hpp"

namespace zstar {

/// u = v + Jᵀu, J = ∂f/∂z at z⋆, all samples side by side as [B, D].
struct AdjointProblem {
  Tensor cotangent;                              ///< v = ∂L/∂z⋆, [B, D]
  std::function<Tensor(const Tensor& u)> vjp;    ///< u ↦ Jᵀu, counted
  bool samples_independent = false;
  InverseJacobian* estimate = nullptr;           ///< of the forward solver, where it exports one
  std::function<Tensor(const Tensor& v)> jvp;    ///< v ↦ Jv, for two vector–Jacobian products
  Declared declared;                             ///< what the map says of J
};

/// What an adjoint method may call while backward runs.
class AdjointServices {
 public:
  /// Solves the problem with the solver of `[gradient] solver` and records its report.
  virtual Tensor solve(const AdjointProblem& problem, const Tensor& start = {}) = 0;
  /// Records the report of a method that solved the problem by itself.
  virtual void record(Report report) = 0;
  virtual Products& products() = 0;
 protected:
  ~AdjointServices() = default;
};

/// Where J is taken: at z⋆, at its image f(z⋆), or at z⋆ by the graph of y itself, which is then kept and spares an evaluation.
enum class JacobianAt : std::uint32_t { state, image, graph };

/// By query of a gradient method: it reads AdjointProblem::estimate, so the forward solver is kept until backward.
struct UsesEstimate {
  static constexpr std::string_view id = "zstar.gradient.uses-estimate/1";
};

/// By query of a gradient method: it iterates by itself. It is handed z0 where others get a solved state, no forward solver
/// runs, and the last state that it returns is the equilibrium.
struct FromStart {
  static constexpr std::string_view id = "zstar.gradient.from-start/1";
};

/// Solves an adjoint problem: returns u, [B, D].
using Adjoint = std::function<Tensor(const AdjointProblem&, AdjointServices&)>;

/// What a gradient method may call while it joins a state to the graph.
class GradientServices {
 public:
  /// f(z) on the autograd graph, counted.
  virtual State evaluate(const FixedPointMap& f, const State& z) = 0;
  /// y = f(z⋆) on the graph, with a node on y that replaces the cotangent v by u = adjoint(u = v + Jᵀu).
  /// Right under several backward passes and any number of calls. A second derivative exists where f names its captured tensors
  /// and J is taken at the state; elsewhere asking for one is an error.
  /// \par Sources  Bai, Kolter & Koltun, NeurIPS 2019, Theorem 1
  virtual State implicit(const FixedPointMap& f, const State& z_star, Adjoint adjoint, JacobianAt jacobian_at) = 0;
 protected:
  ~GradientServices() = default;
};

class GradientMethod : public Object {
 public:
  /// Joins a solved state to the graph.
  /// \param z  a sampled state, without graph \param index, count  it is number `index` of `count` sampled states
  /// \return the states that the loss shall see, the final one last; at least one
  virtual std::vector<State> attach(const FixedPointMap& f, const State& z, std::int64_t index, std::int64_t count,
                                    GradientServices& services) = 0;
};

}  // namespace zstar
