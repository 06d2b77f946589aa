/// \file Klement's quasi-Newton method with a diagonal Jacobian. Equations and sources: README.md.
#include <zstar/safeguarded.hpp>
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

/// Quasi-Newton iteration on g(z) = f(z) − z. Klement's update weights each entry of the Jacobian by its own size, so that
/// zeros stay zero; from d_0 = −1 it is a diagonal of secants:
///
///   z⁺ = z − g / d,   d⁺ = d + (Δg − d Δz) d² Δz / (d² Δz²) = Δg / Δz   entry by entry
///
/// where |Δz| is no rounding noise; |d| stays within [smallest, largest] and changes at most `change` times in a step.
///
/// \par Cost per iteration  about 9 passes over the state, no reduction but the norm; no evaluation of f of its own
/// \par Converges  superlinearly where ∂f/∂z is diagonal; elsewhere without guarantee
class Klement final : public zstar::Safeguarded {
 public:
  struct Options {
    double smallest = 0.1, largest = 10.0, change = 2.0, growth = 4.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("smallest", &Options::smallest, "least |d|", zstar::above(0.0)),
                      zstar::opt("largest", &Options::largest, "greatest |d|", zstar::above(0.0)),
                      zstar::opt("change", &Options::change, "greatest factor by which |d| changes in a step", zstar::above(1.0)),
                      zstar::growth_option<Options>()};
  }
  Klement(const Options& o, zstar::Host& host) : Safeguarded(host.products(), o.growth), o_(o) {
    if (o.smallest > o.largest) throw zstar::OptionError("smallest", "smallest is above largest; swap them");
  }

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
    else learn(z, g, failed);
    z_ = z, g_ = g;
    return z - g / d_;
  }

  void learn(const Tensor& z, const Tensor& g, const Tensor& failed) {
    const Tensor s = z - z_, secant = (g - g_) / s;
    const double noise = z.scalar_type() == torch::kFloat64 ? 1e-13 : 1e-5;
    const Tensor usable = (s.abs() > noise * z.abs()) & secant.isfinite() & ~failed.unsqueeze(1);
    const Tensor size = torch::minimum(torch::maximum(secant.abs(), d_.abs() / o_.change), d_.abs() * o_.change);
    // A sign is changed only by secants that are not near zero: those would throw the unknown far away.
    const Tensor sign = torch::where(secant.abs() < o_.smallest, d_.sign(), secant.sign());
    d_ = torch::where(usable, size.clamp(o_.smallest, o_.largest) * sign, d_);
    d_ = zstar::pick(failed, torch::full_like(d_, -1.0), d_);
  }

  Options o_;
  Tensor z_, g_, d_;  // last iterate, its residual, the diagonal; [B, D]
};

}  // namespace

ZSTAR_PLUGIN("zstar.klement", "0.1.0", "Klement's method with a diagonal Jacobian")
ZSTAR_SOLVER(Klement, "klement", "Klement's quasi-Newton method: a secant for each unknown")
