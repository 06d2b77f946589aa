/// \file Broyden's method with a diagonal Jacobian. Equations and sources: README.md.
#include <zstar/safeguarded.hpp>
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

/// Quasi-Newton iteration on g(z) = f(z) − z with a diagonal d for ∂g/∂z, each sample on its own:
///
///   z⁺ = z − g / d,   d⁺ = d + (Δg − d Δz) Δz / ‖Δz‖²   entry by entry,   d_0 = −1
///
/// the diagonal of Broyden's good update. |d| is kept at `smallest` or above, with its sign.
///
/// \par Cost per iteration  about 8 passes over the state; no evaluation of f of its own
/// \par Converges  where ∂f/∂z is close to diagonal, with entries of any size
class DiagonalBroyden final : public zstar::Safeguarded {
 public:
  struct Options {
    double smallest = 0.1, growth = 4.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("smallest", &Options::smallest, "least |d|: no step is longer than |g| over this",
                                 zstar::above(0.0)),
                      zstar::growth_option<Options>()};
  }
  DiagonalBroyden(const Options& o, zstar::Host& host)
      : Safeguarded(host.products(), o.growth, {.accelerates = true}), o_(o) {}

  void begin(std::int64_t batch, std::int64_t width) override {
    Safeguarded::begin(batch, width);
    z_ = g_ = d_ = Tensor();
  }
  void keep(const Tensor& rows) override {
    Safeguarded::keep(rows);
    zstar::keep_rows({&z_, &g_, &d_}, rows);
  }

 private:
  Tensor step(const Tensor& z, const Tensor& /*fz*/, const Tensor& g, const Tensor& failed) override {
    if (!d_.defined()) d_ = torch::full_like(z, -1.0);
    else learn(z - z_, g - g_, failed);
    z_ = z, g_ = g;
    const Tensor bounded = torch::where(d_.abs() < o_.smallest, torch::where(d_ > 0, o_.smallest, -o_.smallest).to(d_.scalar_type()), d_);
    return z - g / bounded;
  }

  void learn(const Tensor& s, const Tensor& y, const Tensor& failed) {
    const Tensor size2 = zstar::length2(products_, s), usable = (size2 > 0) & (1.0 / size2).isfinite();
    const Tensor scale = (1.0 / size2).to(s.scalar_type()).unsqueeze(1);
    const Tensor updated = d_ + (y - d_ * s) * s * scale;
    d_ = zstar::pick(usable & ~failed, torch::where(updated.isfinite(), updated, d_), d_);
    d_ = zstar::pick(failed, torch::full_like(d_, -1.0), d_);
  }

  Options o_;
  Tensor z_, g_, d_;  // last iterate, its residual, the diagonal; [B, D]
};

}  // namespace

ZSTAR_PLUGIN("zstar.diagonal-broyden", "0.1.0", "Broyden's method with a diagonal Jacobian")
ZSTAR_SOLVER(DiagonalBroyden, "diagonal_broyden", "Broyden's method with a diagonal Jacobian")
