/// \file A gradient method with one product by the Jacobian, to start from: replace the equation, the options and the names.
#include <zstar/sdk.hpp>

#include <zstar/abi/gradient.hpp>

namespace {

using zstar::State;

/// The cotangent v = ∂L/∂z⋆ is replaced by the first terms of the Neumann series of (I − Jᵀ)⁻¹ v, the second one weighted:
///
///   u = v + γ Jᵀ v
class MyGradient final : public zstar::GradientMethod {
 public:
  struct Options {
    double gamma = 1.0;
  };
  static auto options() { return std::tuple{zstar::opt("gamma", &Options::gamma, "γ, weight of the term with the Jacobian", zstar::at_least(0.0))}; }
  MyGradient(const Options& o, zstar::Host&) : o_(o) {}

  std::vector<State> attach(const zstar::FixedPointMap& f, const State& z, std::int64_t /*index*/, std::int64_t /*count*/,
                            zstar::GradientServices& services) override {
    const auto adjoint = [gamma = o_.gamma](const zstar::AdjointProblem& problem, zstar::AdjointServices&) {
      return problem.cotangent + gamma * problem.vjp(problem.cotangent);  // [B, D]
    };
    return {services.implicit(f, z, adjoint, zstar::JacobianAt::state)};
  }

 private:
  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("me.my-gradient", "0.1.0", "my gradient methods")
ZSTAR_GRADIENT(MyGradient, "my_gradient", "two terms of the Neumann series")
