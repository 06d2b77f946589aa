/// \file Implicit differentiation. Equation and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/sdk.hpp>

#include <zstar/abi/gradient.hpp>

namespace {

/// y = f(z⋆) on the graph; the cotangent v at y becomes u with u = v + Jᵀu, solved by the solver of `[gradient] solver`.
///
/// \par Cost  one tracked evaluation of f forward; one more and a vector–Jacobian product per iteration backward
/// \par Sources  Bai, Kolter & Koltun, NeurIPS 2019, Theorem 1
class Implicit final : public zstar::GradientMethod {
 public:
  struct Options {
    std::string jacobian_at = "state";
  };
  static auto options() {
    return std::tuple{zstar::choice("jacobian_at", &Options::jacobian_at,
                                    "where J is taken: at the state that the solver returned, or at its image f(z)",
                                    {"state", "image"})};
  }
  Implicit(const Options& o, zstar::Host&)
      : at_(o.jacobian_at == "image" ? zstar::JacobianAt::image : zstar::JacobianAt::state) {}

  void* query(std::string_view id) override { return id == zstar::GradientClaims::id ? &claims_ : nullptr; }

  std::vector<zstar::State> attach(const zstar::FixedPointMap& f, const zstar::State& z, std::int64_t /*index*/,
                                   std::int64_t /*count*/, zstar::GradientServices& services) override {
    const auto adjoint = [](const zstar::AdjointProblem& problem, zstar::AdjointServices& s) { return s.solve(problem); };
    return {services.implicit(f, z, adjoint, at_)};
  }

 private:
  zstar::GradientClaims claims_{.exact = true};
  zstar::JacobianAt at_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.implicit", "0.1.0", "implicit differentiation")
ZSTAR_GRADIENT(Implicit, "implicit", "adjoint equation u = v + Jᵀu, solved by any solver")
