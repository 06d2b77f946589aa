/// \file The Neumann series of the adjoint. Equation and sources: README.md.
#include <zstar/mixed.hpp>
#include <zstar/sdk.hpp>

#include <zstar/abi/gradient.hpp>

#include <zstar/adjoint_report.hpp>

namespace {

using torch::Tensor;

/// u = β Σ_{i<k} Kⁱ v, K = (1 − β) I + β Jᵀ: the adjoint by a series of fixed length, whose residual is Kᵏ v.
///
/// \par Cost  one tracked evaluation of f forward; one more and k − 1 products backward (k if measured)
/// \par Sources  Geng et al., On training implicit models, NeurIPS 2021, equation 8; Lorraine, Vicol & Duvenaud, AISTATS 2020
class Neumann final : public zstar::GradientMethod {
 public:
  struct Options {
    std::int64_t terms = 5;
    double beta = 1.0, tolerance = 0.0;
    bool measure = true;
  };
  static auto options() {
    using O = Options;
    return std::tuple{zstar::opt("terms", &O::terms, "k, terms of the series; 1 is the one-step gradient", zstar::at_least(1)),
                      zstar::opt("beta", &O::beta, "β, mixing; 1 is undamped", zstar::Range{.low = 0, .high = 2, .open_low = true}),
                      zstar::opt("tolerance", &O::tolerance, "the series ends early once the residual of every sample is below this times ‖v‖", zstar::at_least(0.0)),
                      zstar::opt("measure", &O::measure, "report the residual, for one more product")};
  }
  Neumann(const Options& o, zstar::Host&) : o_(o) {}

  std::vector<zstar::State> attach(const zstar::FixedPointMap& f, const zstar::State& z, std::int64_t /*index*/, std::int64_t /*count*/,
                                   zstar::GradientServices& services) override {
    return {services.implicit(f, z, [o = o_](const zstar::AdjointProblem& p, zstar::AdjointServices& s) { return series(o, p, s); }, zstar::JacobianAt::state)};
  }

 private:
  static Tensor series(const Options& o, const zstar::AdjointProblem& problem, zstar::AdjointServices& services) {
    const torch::NoGradGuard no_grad;
    Tensor term = problem.cotangent, u = torch::zeros_like(term);
    const double least2 = o.tolerance * o.tolerance;
    const Tensor size2 = (term * term).sum(1);
    std::int64_t products = 0;
    bool measured = false;
    for (std::int64_t i = 1; i <= o.terms; ++i) {
      u = torch::add(u, term, o.beta);
      measured = i < o.terms || o.measure;
      if (!measured) break;
      const Tensor image = problem.vjp(term);
      term = zstar::mixed(term, image, o.beta);
      ++products;
      if (o.tolerance > 0 && ((term * term).sum(1) <= least2 * size2).all().item<bool>()) break;
    }
    const Tensor residual = measured ? term : torch::full_like(term, std::numeric_limits<double>::quiet_NaN());
    services.record(zstar::adjoint_report(services.products(), "neumann", residual, problem.cotangent,
                                          {.products = products, .tolerance = o.tolerance, .known = measured}));
    return u;
  }

  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.neumann", "0.1.0", "Neumann series of the adjoint")
ZSTAR_GRADIENT(Neumann, "neumann", "the adjoint as a damped series of k vector–Jacobian products")
