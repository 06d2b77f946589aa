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
class Spectral final : public zstar::Regularizer, public zstar::Probed, public zstar::Statistics {
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
  Spectral(const Options& o, zstar::Host&) : o_(o) {}

  void* query(std::string_view id) override {
    if (id == zstar::Statistics::id) return static_cast<zstar::Statistics*>(this);
    return id == zstar::Probed::id ? static_cast<zstar::Probed*>(this) : nullptr;
  }
  /// Of the last penalty: mean and largest value over the batch.
  std::vector<std::pair<std::string, Tensor>> statistics() override {
    if (!values_.defined()) return {};
    return {{"mean", values_.mean()}, {"max", values_.max()}};
  }

  Tensor penalty(const zstar::Solved& solved, const at::Generator& generator) override {
    return penalty(solved, std::vector<State>{zstar::random_like(solved.equilibrium.z(), "normal", generator)});
  }

  /// \param probes  one: where the iteration begins
  Tensor penalty(const zstar::Solved& solved, const std::vector<State>& probes) override {
    const torch::AutoGradMode grad(true);
    const State z = zstar::leaves_of(solved.equilibrium.z()), y = solved.map(z);
    const Tensor value = o_.of == "norm" ? norm(y, z, probes.front()) : radius(y, z, probes.front());
    values_ = value.detach();
    return (value - o_.target).clamp_min(0).square().mean();
  }

 private:
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
  Tensor values_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.spectral", "0.1.0", "penalty on the spectral norm or radius of the Jacobian")
ZSTAR_REGULARIZER(Spectral, "spectral", "square of what the largest singular value, or the spectral radius, of ∂f/∂z exceeds a target by")
