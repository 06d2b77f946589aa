/// \file Denoising energy. Equation and sources: README.md.
#include <zstar/sdk.hpp>

#include <zstar/abi/regularizer.hpp>
#include <zstar/penalty.hpp>

namespace {

using torch::Tensor;
using zstar::State;

/// Σ_b ‖f(z⋆ + σ e) − z⋆‖² / (σ² B D): f shall bring a disturbed equilibrium back in one step.
///
/// \par Cost  P evaluations of f on the graph, no vector–Jacobian product of its own
/// \par Sources  Bishop, Neural Computation 7 (1995); Alain & Bengio, JMLR 15 (2014)
class DenoisingEnergy final : public zstar::Regularizer, public zstar::Probed {
 public:
  struct Options {
    double sigma = 0.1;
    std::int64_t probes = 1;
    bool through_solution = false;
  };
  static auto options() {
    return std::tuple{zstar::opt("sigma", &Options::sigma, "σ, standard deviation of the disturbance", zstar::above(0.0)),
                      zstar::opt("probes", &Options::probes, "P, disturbances a penalty", zstar::at_least(1)),
                      zstar::opt("through_solution", &Options::through_solution, "send a gradient into the equilibrium, too, and from there through the gradient method")};
  }
  DenoisingEnergy(const Options& o, zstar::Host&) : o_(o) {}

  void* query(std::string_view id) override { return id == zstar::Probed::id ? static_cast<zstar::Probed*>(this) : nullptr; }

  Tensor penalty(const zstar::Solved& solved, const at::Generator& generator) override {
    std::vector<State> probes;
    for (std::int64_t p = 0; p < o_.probes; ++p) probes.push_back(zstar::random_like(solved.equilibrium.z(), "normal", generator));
    return penalty(solved, probes);
  }

  Tensor penalty(const zstar::Solved& solved, const std::vector<State>& probes) override {
    const torch::AutoGradMode grad(true);
    const State z = o_.through_solution ? solved.equilibrium.z() : zstar::detached_state(solved.equilibrium.z());
    double numbers = 0;
    for (const Tensor& t : z) numbers += static_cast<double>(t.numel());
    Tensor sum;
    for (const State& e : probes) {
      const Tensor energy = zstar::length2_of(zstar::added(solved.map(zstar::added(z, e, o_.sigma)), z, -1.0)).sum();
      sum = sum.defined() ? sum + energy : energy;
    }
    return sum / (o_.sigma * o_.sigma * numbers * static_cast<double>(probes.size()));
  }

 private:
  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.denoising-energy", "0.1.0", "denoising energy")
ZSTAR_REGULARIZER(DenoisingEnergy, "denoising_energy", "what is left of a random disturbance of the equilibrium after one evaluation of the map")
