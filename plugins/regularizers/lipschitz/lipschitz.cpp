/// \file Penalty on difference quotients of the map. Equation and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/sdk.hpp>

#include <zstar/abi/regularizer.hpp>
#include <zstar/penalty.hpp>

namespace {

using torch::Tensor;
using zstar::State;

/// mean_b max(0, q_b − L)², q = ‖f(z⋆ + r d) − f(z⋆)‖ / r, d of unit length: drawn at random, then turned towards where f stretches most.
///
/// \par Cost  2 + ascent evaluations of f, as many products
/// \par Sources  Gulrajani et al., Improved training of Wasserstein GANs, NeurIPS 2017 (one-sided form: Petzka et al., ICLR 2018)
class Lipschitz final : public zstar::ExcessPenalty {
 public:
  struct Options {
    double bound = 0.9, radius = 0.1;
    std::int64_t ascent = 1;
  };
  static auto options() {
    return std::tuple{zstar::opt("bound", &Options::bound, "L, quotients up to this cost nothing", zstar::at_least(0.0)),
                      zstar::opt("radius", &Options::radius, "r relative to ‖z⋆‖, how far the other point is", zstar::above(0.0)),
                      zstar::opt("ascent", &Options::ascent, "gradient steps that turn d to where f stretches most; 0: a random direction", zstar::at_least(0))};
  }
  Lipschitz(const Options& o, zstar::Host&) : ExcessPenalty(o.bound), o_(o) {}

  void* query(std::string_view id) override { return id == zstar::Exemptions::id ? &exemptions_ : ExcessPenalty::query(id); }

 private:
  Tensor values(const zstar::Solved& solved, const State& direction) override {
    const State z = zstar::detached_state(solved.equilibrium.z()), y = solved.map(z);
    const Tensor size = zstar::length2_of(z).sqrt();
    const Tensor r = o_.radius * torch::where(size > 0, size, torch::ones_like(size));
    State d = direction;
    for (std::int64_t k = 0; k < o_.ascent; ++k) {
      const State point = zstar::leaves_of(moved(z, d, r)), image = solved.map(point);
      const State difference = zstar::detached_state(zstar::added(image, y, -1.0));
      d = zstar::detached_state(zstar::pulled_back(image, point, difference, /*create_graph=*/false));  // of ‖f(z + r d) − f(z)‖²/2
    }
    return zstar::length2_of(zstar::added(solved.map(moved(z, d, r)), y, -1.0)).clamp_min(1e-30).sqrt() / r;
  }

  /// z + r d/‖d‖ for each sample.
  static State moved(const State& z, const State& d, const Tensor& r) {
    const Tensor length = zstar::length2_of(d).sqrt();
    return zstar::added(z, d, torch::where(length > 0, r / length, torch::zeros_like(length)));
  }

  Options o_;
  zstar::Exemptions exemptions_{{{"slopes", "a map whose quotients stay below the bound costs nothing"}}};
};

}  // namespace

ZSTAR_PLUGIN("zstar.lipschitz", "0.1.0", "penalty on difference quotients of the map")
ZSTAR_REGULARIZER(Lipschitz, "lipschitz", "square of what a difference quotient of the map near the equilibrium exceeds a bound by")
