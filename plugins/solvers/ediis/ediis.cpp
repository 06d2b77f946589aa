/// \file EDIIS: Anderson acceleration with convex weights. Equations, symbols and sources: README.md.
#include <zstar/residual_window.hpp>
#include <zstar/sdk.hpp>

#include "simplex.hpp"

namespace {

using torch::Tensor;

/// α = argmin ‖Σ α_i r_i‖² over the simplex, z_{k+1} = Σ α_i (z_i + β r_i), for each sample on its own.
///
/// \par Cost per iteration  2 (m + 1) + 4 passes over the state; no evaluation of f of its own
/// \par Converges  globally if f is a contraction (Chen & Kelley 2019)
class Ediis final : public zstar::Solver {
 public:
  struct Options {
    std::int64_t memory = 5;
    double beta = 1.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("memory", &Options::memory, "m, iterates kept besides the newest", zstar::within(1, 20)),
                      zstar::opt("beta", &Options::beta, "β, mixing; 1 is undamped", zstar::within(0.0, 2.0))};
  }
  Ediis(const Options& o, zstar::Host& host) : beta_(o.beta), window_(host.products(), o.memory + 1) {}

  void begin(std::int64_t, std::int64_t) override { window_.clear(); }
  void keep(const Tensor& rows) override { window_.keep(rows); }
  Tensor propose(const Tensor& z, const Tensor& fz) override {
    window_.push(z, fz);
    return window_.combined(zstar_ediis::simplex_weights(window_.gram(), window_.known()), beta_);
  }

 private:
  double beta_;
  zstar::ResidualWindow window_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.ediis", "0.1.0", "Anderson acceleration with convex weights")
ZSTAR_SOLVER(Ediis, "ediis", "Anderson acceleration whose weights are a convex combination")
