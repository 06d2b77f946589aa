/// \file Broyden's method with a diagonal Jacobian. Equations and sources: README.md.
#include "diagonal.hpp"

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
class DiagonalBroyden final : public zstar_diagonal::Diagonal {
 public:
  struct Options {
    double smallest = 0.1, growth = 4.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("smallest", &Options::smallest, "least |d|: no step is longer than |g| over this",
                                 zstar::above(0.0)),
                      zstar::growth_option<Options>()};
  }
  DiagonalBroyden(const Options& o, zstar::Host& host) : Diagonal(host.products(), o.growth, {.accelerates = true}), smallest_(o.smallest) {}

 private:
  Tensor learnt(const Tensor& d, const Tensor& /*z*/, const Tensor& dz, const Tensor& dg) const override {
    const Tensor size2 = zstar::length2(products_, dz), usable = (size2 > 0) & (1.0 / size2).isfinite();
    const Tensor scale = (1.0 / size2).to(dz.scalar_type()).unsqueeze(1);
    const Tensor updated = d + (dg - d * dz) * dz * scale;
    return zstar::pick(usable, torch::where(updated.isfinite(), updated, d), d);
  }
  Tensor divisor(const Tensor& d) const override {
    const Tensor least = torch::full({}, smallest_, d.options());  // a number alone would be rounded to float32
    return torch::where(d.abs() < least, torch::where(d > 0, least, -least), d);
  }

  double smallest_;
};

}  // namespace

ZSTAR_SOLVER(DiagonalBroyden, "diagonal_broyden", "Broyden's method with a diagonal Jacobian")
