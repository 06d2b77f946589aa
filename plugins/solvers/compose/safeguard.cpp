/// \file A safeguard around another solver. Rules: README.md.
#include <zstar/safeguarded.hpp>

#include "cohorts.hpp"

namespace {

using torch::Tensor;

/// Takes the proposals of the inner solver while they serve, each sample on its own; else a damped plain step:
///
///   z⁺ = inner proposal     if ‖r‖ ≤ D ‖r_0‖ (n + 1)^−(1+ε), it is finite, and no longer than `longest` ‖r‖
///   z⁺ = z + β r            otherwise,  r = f(z) − z, n the proposals taken
///
/// A sample whose residual exceeds `growth` times its best goes on from the image of its best iterate.
///
/// \par Cost per iteration  that of the inner solver and 6 passes over the state
class Safeguard final : public zstar::Safeguarded {
 public:
  struct Options {
    zstar::Part solver{"anderson", {}};
    double safeguard = 10.0, decay = 1e-6, beta = 0.5, growth = 4.0;
    std::optional<double> longest;
  };
  static auto options() {
    return std::tuple{
        zstar::part("solver", &Options::solver, "the solver whose proposals are watched", zstar::Kind::solver),
        zstar::opt("safeguard", &Options::safeguard, "D, of the bound on the residual", zstar::above(0.0)),
        zstar::opt("decay", &Options::decay, "ε, of the bound on the residual", zstar::above(0.0)),
        zstar::opt("beta", &Options::beta, "β, mixing of the plain steps", zstar::within(0.0, 1.0)),
        zstar::opt("growth", &Options::growth, "residual, in multiples of the best, after which a sample goes back", zstar::above(1.0)),
        zstar::opt("longest", &Options::longest, "longest step, in multiples of the residual; unset: any", zstar::above(0.0))};
  }
  Safeguard(const Options& o, zstar::Host& host)
      : Safeguarded(host.products(), o.growth), o_(o), inner_(zstar_compose::inner_solver(host, o.solver, "solver")) {}

  void* query(std::string_view id) override { return id == zstar::InverseJacobian::id || id == zstar::Statistics::id ? inner_->query(id) : nullptr; }

  void begin(std::int64_t batch, std::int64_t width) override {
    Safeguarded::begin(batch, width);
    inner_->begin(batch, width);
    first_ = taken_ = Tensor();
  }
  void keep(const Tensor& rows) override {
    Safeguarded::keep(rows);
    inner_->keep(rows);
    zstar::keep_rows({&first_, &taken_}, rows);
  }

 private:
  Tensor step(const Tensor& z, const Tensor& fz, const Tensor& r, const Tensor& /*failed*/) override {
    const Tensor size = zstar::length2(products_, r).sqrt();
    if (!first_.defined()) first_ = size, taken_ = torch::zeros_like(size);
    const Tensor next = inner_->propose(z, fz), length2 = zstar::length2(products_, next - z);
    Tensor good = (size <= o_.safeguard * first_ * (taken_ + 1).pow(-1 - o_.decay)) & length2.isfinite();
    if (o_.longest) good = good & (length2 <= (*o_.longest * size).square());
    taken_ = taken_ + good.to(taken_.scalar_type());
    return zstar::pick(good, next, zstar::mixed(z, fz, o_.beta));
  }

  Options o_;
  std::unique_ptr<zstar::Solver> inner_;
  Tensor first_, taken_;  // ‖r_0‖ and proposals taken, [B]
};

}  // namespace

ZSTAR_SOLVER(Safeguard, "safeguard", "another solver, whose proposals are taken while they serve, with plain steps otherwise")
