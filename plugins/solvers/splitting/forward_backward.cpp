/// \file Forward–backward splitting. Equations, symbols and sources: README.md.
#include <zstar/mixed.hpp>
#include <zstar/sdk.hpp>
#include <zstar/splitting.hpp>

namespace {

using torch::Tensor;

/// z_{k+1} = prox_α((1 − α) z_k + α (W z_k + c)); of a map whose halves are unknown, (1 − α) z_k + α f(z_k).
///
/// \par Cost per iteration  one product with W, 2 passes over the state
/// \par Converges  linearly for α < 2 m / L², m the modulus of monotony of I − W, L its norm
class ForwardBackward final : public zstar::Solver, public zstar::UsesSplitting {
 public:
  struct Options {
    double alpha = 0.5;
  };
  static auto options() {
    return std::tuple{zstar::opt("alpha", &Options::alpha, "α, step of both halves", zstar::above(0.0))};
  }
  ForwardBackward(const Options& o, zstar::Host&) : alpha_(o.alpha) {}

  void* query(std::string_view id) override { return id == zstar::UsesSplitting::id ? static_cast<zstar::UsesSplitting*>(this) : nullptr; }
  void use(zstar::RowSplitting halves) override { halves_ = std::move(halves); }
  void begin(std::int64_t, std::int64_t) override {}
  void keep(const Tensor&) override {}

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    if (!halves_.prox) return zstar::mixed(z, fz, alpha_);
    return halves_.prox(zstar::mixed(z, halves_.affine(z), alpha_), alpha_);
  }

 private:
  double alpha_;
  zstar::RowSplitting halves_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.splitting", "0.1.0", "operator splitting for monotone maps")
ZSTAR_SOLVER(ForwardBackward, "forward_backward", "forward-backward splitting of a map that offers its halves")
