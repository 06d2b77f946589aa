#pragma once
/// \file Parts by name and small maps, for tests.

#include <memory>
#include <string>

#include "core/gradient/layer.hpp"
#include "core/plugins/catalogue.hpp"
#include "core/solve/solve.hpp"
#include "zstar/abi/host.hpp"

namespace zstar::test {

inline plugins::Catalogue& catalogue() {
  static plugins::Catalogue all([] {
    plugins::Discovery d;
    d.folders = {ZSTAR_PLUGIN_DIR};
    d.user_folders = false;
    return d;
  }());
  return all;
}

/// A host for parts that need no layer and no data.
class BareHost final : public Host {
 public:
  Products& products() override { return solve::local_products(); }
  std::unique_ptr<Solver> solver(const Part& p) override { return catalogue().create<Solver>(Kind::solver, p.name, p.settings, *this); }
  std::shared_ptr<EquilibriumLayer> layer() override { throw std::logic_error("no layer in this test"); }
  std::shared_ptr<Norm> norm() override { return nullptr; }
  const Description& data() override { return description; }
  void warn(std::string_view) override {}
  Description description;
};

inline BareHost& host() {
  static BareHost bare;
  return bare;
}

template <class T>
std::unique_ptr<T> make(Kind kind, const std::string& name, const Settings& settings = {}) {
  return catalogue().create<T>(kind, name, settings, host());
}
inline std::unique_ptr<Solver> make_solver(const std::string& name, const Settings& settings = {}) {
  return make<Solver>(Kind::solver, name, settings);
}

inline gradient::SolverChoice choice(const std::string& name, const solve::Options& options, const Settings& settings = {}) {
  return {name, [=] { return make_solver(name, settings); }, options};
}

/// Independent random numbers of a fixed seed, float64.
inline Tensor randn(at::IntArrayRef sizes, std::uint64_t seed) {
  torch::manual_seed(seed);
  return torch::randn(sizes, torch::kFloat64);
}

/// A [n, n] of spectral norm `norm`.
inline Tensor matrix_of_norm(std::int64_t n, double norm, std::uint64_t seed) {
  const Tensor a = randn({n, n}, seed);
  return a * (norm / torch::linalg_matrix_norm(a, 2).item<double>());
}

/// z ↦ tanh(z Wᵀ + x Uᵀ + c): rows are samples; x is captured by rows.
struct TanhMap {
  Tensor w, u, c, x;
  explicit TanhMap(std::int64_t batch = 3, std::int64_t n = 6, double norm = 0.8, std::uint64_t seed = 7)
      : w(matrix_of_norm(n, norm, seed).requires_grad_()), u(randn({n, 4}, seed + 1).requires_grad_()),
        c(randn({n}, seed + 2).requires_grad_()), x(randn({batch, 4}, seed + 3).requires_grad_()) {}
  Tensor operator()(const Tensor& z) const { return torch::tanh(z.mm(w.t()) + x.mm(u.t()) + c); }
  FixedPointMap map() const {
    return {[](const State& z, const std::vector<Tensor>& t) {
              return State(torch::tanh(z[0].mm(t[0].t()) + t[3].mm(t[1].t()) + t[2]));
            },
            {{w, std::nullopt}, {u, std::nullopt}, {c, std::nullopt}, {x, 0}}, /*samples_independent=*/true};
  }
  std::vector<Tensor> captured() const { return {w, u, c, x}; }
};

/// z ↦ z Aᵀ + b.
struct AffineMap {
  Tensor a, b;
  Tensor operator()(const Tensor& z) const { return z.mm(a.t()) + b; }
  Tensor fixed_point() const {
    return torch::linalg_solve(torch::eye(a.size(0), a.options()) - a, b.unsqueeze(2)).squeeze(2);
  }
  FixedPointMap map() const {
    return {[](const State& z, const std::vector<Tensor>& t) { return State(z[0].mm(t[0].t()) + t[1]); },
            {{a, std::nullopt}, {b, 0}}, /*samples_independent=*/true};
  }
};

inline gradient::Layer layer(const std::string& gradient, const solve::Options& forward, const solve::Options& adjoint,
                             const std::string& solver = "anderson", const std::string& adjoint_solver = "fixed_point",
                             const Settings& gradient_settings = {}, const gradient::Options& options = {}) {
  return gradient::Layer({choice(solver, forward), choice(adjoint_solver, adjoint), make<GradientMethod>(Kind::gradient, gradient, gradient_settings),
                          make<GradientMethod>(Kind::gradient, "phantom"), options});
}

/// The gradients of ⟨v, z⟩ with respect to tensors, by differentiating `steps` steps of plain iteration.
inline std::vector<Tensor> unrolled_gradients(const FixedPointMap& f, const Tensor& z0, const Tensor& v, const std::vector<Tensor>& tensors, int steps) {
  State z(z0);
  for (int k = 0; k < steps; ++k) z = f(z);
  return torch::autograd::grad({(v * z[0]).sum()}, tensors);
}

inline double relative_error(const Tensor& got, const Tensor& want) {
  return ((got - want).norm() / want.norm().clamp_min(1e-300)).item<double>();
}

}  // namespace zstar::test
