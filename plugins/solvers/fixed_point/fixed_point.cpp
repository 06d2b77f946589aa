/// \file Plain and damped fixed-point iteration. Equation and sources: README.md.
#include <zstar/mixed.hpp>
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

/// z_{k+1} = (1 − β) z_k + β f(z_k); β = 1 is Picard iteration.
///
/// \par Cost per iteration  one pass over the state; none for β = 1
/// \par Converges  linearly with rate |1 − β + β λ| over the eigenvalues λ of ∂f/∂z, where that is below 1
/// \par Sources  Picard 1890; Krasnoselskii 1955; Mann 1953
class FixedPoint final : public zstar::Solver {
 public:
  struct Options {
    double beta = 1.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("beta", &Options::beta, "β, mixing; 1 is undamped", zstar::within(0.0, 2.0))};
  }
  FixedPoint(const Options& o, zstar::Host&) : beta_(o.beta) {}

  void begin(std::int64_t, std::int64_t) override {}
  void keep(const Tensor&) override {}
  Tensor propose(const Tensor& z, const Tensor& fz) override { return zstar::mixed(z, fz, beta_); }

 private:
  double beta_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.fixed-point", "0.1.0", "plain and damped fixed-point iteration")
ZSTAR_SOLVER(FixedPoint, "fixed_point", "Picard iteration, damped by beta")
