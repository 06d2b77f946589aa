#pragma once
/// \file Parts by name with the options of the core, for tests of this tree. Maps, matchers and what plugins' tests need: zstar/testing/.

#include <memory>
#include <string>

#include "core/gradient/layer.hpp"
#include "core/plugins/catalogue.hpp"
#include "core/solve/solve.hpp"
#include "zstar/abi/host.hpp"
#include "zstar/testing/maps.hpp"

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

using testing::AffineMap;
using testing::matrix_of_norm;
using testing::randn;
using testing::TanhMap;

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
