#pragma once
/// \file The implicit layer: parameters, projection, injection, and its equilibrium on a graph. Equations: README.md.

#include <zstar/predict.hpp>

#include "graph.hpp"
#include "projection.hpp"

namespace zstar_ignn {
namespace {

using zstar::State;

struct LayerOptions {
  double kappa = 0.9;
  std::string axis = "graph";
  std::optional<double> radius;

  GraphOptions graph() const { return {radius, axis == "graph"}; }
};

/// The options of every model of this library, to follow those of its own.
template <class O>
auto layer_options() {
  const auto own = []<class T>(T LayerOptions::*member) -> T O::* { return member; };
  return std::tuple{
      zstar::opt("kappa", own(&LayerOptions::kappa), "κ, bound of ‖W‖_∞ ρ(A); below 1 the map contracts", zstar::above(0.0)),
      zstar::opt("radius", own(&LayerOptions::radius), "ρ(A) where it is known (1 for normalised undirected graphs); unset: that of each batch is computed", zstar::above(0.0)),
      zstar::choice("axis", own(&LayerOptions::axis), "what a sample of the solve is: every graph, all graphs of the batch together, or (as published) a feature of all nodes",
                    {"graph", "batch", "feature"})};
}

/// X ↦ relu(W X A + b), b = Ω₁ U A + Ω₂ U, in rows of nodes: Z = Xᵀ, Z ↦ relu(Aᵀ Z Wᵀ + bᵀ).
class Layer final : public torch::nn::Module, public zstar::nn::Weighted {
 public:
  Layer(std::int64_t in, std::int64_t out, bool second_term, const std::shared_ptr<zstar::Norm>& norm) : second_term_(second_term) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(out));
    const auto uniform = [&](std::int64_t rows, std::int64_t columns) { return torch::empty({rows, columns}).uniform_(-bound, bound); };
    if (norm) register_parameter("bias", uniform(out, 1));  // never used; published checkpoints have it, in this place
    w_ = {*this, "W", uniform(out, out), {}, norm};
    omega_1_ = {*this, "Omega_1", uniform(out, in), {}, norm};
    omega_2_ = {*this, "Omega_2", uniform(out, in), {}, norm};
    if (!norm) register_parameter("bias", uniform(out, 1));
  }

  std::vector<zstar::nn::Weight*> weights() override { return {&w_, &omega_1_, &omega_2_}; }

  /// The equilibrium from start, or from b: the rows of the nodes, [n, m], for each state that the solve returned.
  /// \param u  node features [n, p]; undefined: the identity, p = n
  std::vector<Tensor> forward(const Graph& g, const Tensor& u, const Tensor& start, const LayerOptions& o, zstar::EquilibriumLayer& equilibrium) {
    const bool training = is_training();
    const Tensor w = projected(o.kappa / g.radius, training).t(), b = injection(g, u, training);
    const Tensor z0 = start.defined() ? g.to_rows(start) : b.detach();
    const std::int64_t m = b.size(1);
    const zstar::FixedPointMap f(
        [a = g.adjacency, m](const State& z, const std::vector<Tensor>& c) {
          return State({cell(a, z[0].reshape({-1, m}), c[0], c[1]).view(z[0].sizes())}, z.axes());
        },
        {{w, std::nullopt}, {b, std::nullopt}}, /*samples_independent=*/false);
    std::vector<Tensor> states;
    for (const State& z : equilibrium.solve(f, state(g, z0, o.axis), {.training = training}).states) states.push_back(g.to_nodes(z[0].reshape({-1, m})));
    return states;
  }

  /// W with every row in the 1-norm ball: ‖W‖_∞ ≤ bound. The gradient passes straight through. Without a norm, training moves the
  /// parameter itself there (projected gradient descent); evaluation changes nothing.
  Tensor projected(double bound, bool training) {
    Tensor w = w_.effective(training);
    const Tensor inside = project_rows(w.detach(), bound);
    if (training && !w_.normed()) {
      const torch::NoGradGuard no_grad;
      w.copy_(inside);
    }
    return inside + (w - w.detach());
  }

 private:
  static State state(const Graph& g, const Tensor& z0, const std::string& axis) {
    if (axis == "feature") return {{z0}, {1}};
    return g.positions.defined() ? State(z0.reshape({g.graphs, g.width, z0.size(1)})) : State::one_sample({z0});
  }

  /// bᵀ in rows of the state, [rows, m].
  Tensor injection(const Graph& g, const Tensor& u, bool training) {
    const auto times = [&](const Tensor& omega) { return g.to_rows(u.defined() ? torch::mm(u, omega.t()) : omega.t()); };
    const Tensor b = product(g.adjacency, /*transposed=*/true, times(omega_1_.effective(training)));
    if (second_term_) return b + times(omega_2_.effective(training));
    const torch::NoGradGuard no_grad;
    omega_2_.effective(training);  // not used, yet the vectors of its norm go on, as published
    return b;
  }

  bool second_term_;
  zstar::nn::Weight w_, omega_1_, omega_2_;
};

inline double sum_of(const zstar::Sums& sums, const std::string& name) {
  for (const auto& [key, value] : sums)
    if (key == name) return value;
  return 0;
}

/// correct / total; 0 where there is nothing.
inline zstar::Metric accuracy(const zstar::Sums& sums, const std::string& total) {
  const double n = sum_of(sums, total);
  return {"accuracy", n > 0 ? sum_of(sums, "correct") / n : 0.0, true};
}

}  // namespace
}  // namespace zstar_ignn
