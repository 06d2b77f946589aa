/// \file Klement's quasi-Newton method with a diagonal Jacobian. Equations and sources: README.md.
#include "diagonal.hpp"

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
class Klement final : public zstar_diagonal::Diagonal {
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
  Klement(const Options& o, zstar::Host& host) : Diagonal(host.products(), o.growth), o_(o) {
    if (o.smallest > o.largest) throw zstar::OptionError("smallest", "smallest is above largest; swap them");
  }

 private:
  Tensor learnt(const Tensor& d, const Tensor& z, const Tensor& dz, const Tensor& dg) const override {
    const Tensor secant = dg / dz;
    const double noise = z.scalar_type() == torch::kFloat64 ? 1e-13 : 1e-5;
    const Tensor usable = (dz.abs() > noise * z.abs()) & secant.isfinite();
    const Tensor size = torch::minimum(torch::maximum(secant.abs(), d.abs() / o_.change), d.abs() * o_.change);
    // A sign is changed only by secants that are not near zero: those would throw the unknown far away.
    const Tensor sign = torch::where(secant.abs() < o_.smallest, d.sign(), secant.sign());
    return torch::where(usable, size.clamp(o_.smallest, o_.largest) * sign, d);
  }

  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.diagonal", "0.1.0", "quasi-Newton methods with a diagonal Jacobian")
ZSTAR_SOLVER(Klement, "klement", "Klement's quasi-Newton method: a secant for each unknown")
