/// \file Implicit differentiation on the graph of the result. Equation and sources: README.md.
#include <zstar/sdk.hpp>

#include <zstar/abi/gradient.hpp>

namespace {

/// y = f(z⋆) on the graph; the cotangent v at y becomes u with u = v + Jᵀu, where Jᵀu is a product with the graph of y itself.
///
/// \par Cost  one tracked evaluation of f, whose graph is kept until backward; a vector–Jacobian product per iteration backward
/// \par Sources  Bai, Kolter & Koltun, NeurIPS 2019, Theorem 1
class Hook final : public zstar::GradientMethod {
 public:
  explicit Hook(zstar::Host&) {}

  std::vector<zstar::State> attach(const zstar::FixedPointMap& f, const zstar::State& z, std::int64_t /*index*/, std::int64_t /*count*/,
                                   zstar::GradientServices& services) override {
    const auto adjoint = [](const zstar::AdjointProblem& problem, zstar::AdjointServices& s) { return s.solve(problem); };
    return {services.implicit(f, z, adjoint, zstar::JacobianAt::graph)};
  }
};

}  // namespace

ZSTAR_PLUGIN("zstar.hook", "0.1.0", "implicit differentiation on the graph of the result")
ZSTAR_GRADIENT(Hook, "hook", "adjoint equation u = v + Jᵀu by products with the graph of f(z⋆) itself")
