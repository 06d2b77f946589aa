/// \file Penalty on the spectral norm or radius of the Jacobian. Equations and sources: README.md.
#include <zstar/sdk.hpp>

#include <zstar/abi/regularizer.hpp>
#include <zstar/penalty.hpp>

namespace {

using torch::Tensor;
using zstar::State;

/// mean_b max(0, s_b − target)², s = ‖Jᵀu‖ with u the left singular vector found by power iteration, or s = ‖(Jᵀ)ᵏe‖^{1/k}.
///
/// \par Cost  norm: one evaluation of f, 2 k − 1 products; radius: one evaluation, k products on the graph
/// \par Sources  Yoshida & Miyato, arXiv:1705.10941; Gelfand's formula ρ(J) = lim ‖Jᵏ‖^{1/k}
class Spectral final : public zstar::ExcessPenalty {
 public:
  struct Options {
    std::string of = "norm";
    std::int64_t iterations = 4;
    double target = 0.0;
  };
  static auto options() {
    return std::tuple{zstar::choice("of", &Options::of, "the largest singular value of J, which decides whether f contracts, or the spectral radius, which decides stability", {"norm", "radius"}),
                      zstar::opt("iterations", &Options::iterations, "k, power iterations", zstar::at_least(1)),
                      zstar::opt("target", &Options::target, "values up to this cost nothing", zstar::at_least(0.0))};
  }
  Spectral(const Options& o, zstar::Host&) : ExcessPenalty(o.target), o_(o) {}

 private:
  Tensor values(const zstar::Solved& solved, const State& direction) override {
    const State z = zstar::leaves_of(solved.equilibrium.z()), y = solved.map(z);
    return o_.of == "norm" ? norm(y, z, direction) : radius(y, z, direction);
  }

  static State unit(const State& u) {
    const Tensor length = zstar::length2_of(u).sqrt();
    const Tensor factor = torch::where(length > 0, length.reciprocal(), torch::zeros_like(length));
    return zstar::added(zstar::added(u, u, -1.0), u, factor);
  }

  /// ‖Jᵀu‖; its derivative with u held is that of the singular value, once u is the singular vector.
  Tensor norm(const State& y, const State& z, State u) const {
    for (std::int64_t k = 1; k < o_.iterations; ++k) u = forward(y, z, zstar::pulled_back(y, z, unit(u), /*create_graph=*/false));
    return zstar::length2_of(zstar::pulled_back(y, z, unit(u), /*create_graph=*/true)).clamp_min(1e-30).sqrt();
  }

  /// Jv as the derivative of w ↦ ⟨Jᵀw, v⟩.
  static State forward(const State& y, const State& z, const State& v) {
    const State w = zstar::leaves_of(zstar::added(y, y, -1.0));
    return zstar::detached_state(zstar::pulled_back(zstar::pulled_back(y, z, w, /*create_graph=*/true), w, v, /*create_graph=*/false));
  }

  /// The geometric mean of k factors ‖Jᵀe‖/‖e‖ along the iteration, all on the graph.
  Tensor radius(const State& y, const State& z, State u) const {
    Tensor log;
    u = unit(u);
    for (std::int64_t k = 0; k < o_.iterations; ++k) {
      const State w = zstar::pulled_back(y, z, u, /*create_graph=*/true);
      const Tensor factor = zstar::length2_of(w).clamp_min(1e-30).log() / 2;
      log = log.defined() ? log + factor : factor;
      u = unit(w);
    }
    return (log / static_cast<double>(o_.iterations)).exp();
  }

  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.spectral", "0.1.0", "penalty on the spectral norm or radius of the Jacobian")
ZSTAR_REGULARIZER(Spectral, "spectral", "square of what the largest singular value, or the spectral radius, of ∂f/∂z exceeds a target by")
