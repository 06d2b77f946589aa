/// \file Aitken relaxation after Irons and Tuck. Equations and sources: README.md.
#include <zstar/safeguarded.hpp>
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

/// z⁺ = z + ω r, r = f(z) − z, with the ω that the last two iterates suggest, each sample on its own:
///
///   ω = −⟨Δz, Δr⟩ / ‖Δr‖²
///
/// ω is kept in [smallest, largest]; a sample whose residual grows too far goes back to the image of its best iterate.
///
/// \par Cost per iteration  4 passes over the state; no evaluation of f of its own
/// \par Converges  on affine maps whose eigenvalues are one cluster, in a few steps; for one unknown it is the secant method
class Aitken final : public zstar::Safeguarded {
 public:
  struct Options {
    double first = 1.0, smallest = 0.05, largest = 10.0, growth = 10.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("first", &Options::first, "ω of the first step", zstar::within(0.0, 2.0)),
                      zstar::opt("smallest", &Options::smallest, "least ω", zstar::above(0.0)),
                      zstar::opt("largest", &Options::largest, "greatest ω", zstar::above(0.0)),
                      zstar::opt("growth", &Options::growth,
                                 "a sample whose residual exceeds this many times its best goes back", zstar::above(1.0))};
  }
  Aitken(const Options& o, zstar::Host& host) : Safeguarded(host.products(), o.growth, {.accelerates = true, .expansive = true}), o_(o) {
    if (o.smallest > o.largest) throw zstar::OptionError("smallest", "smallest is above largest; swap them");
  }

  void begin(std::int64_t batch, std::int64_t width) override {
    Safeguarded::begin(batch, width);
    z_ = r_ = Tensor();
  }
  void keep(const Tensor& rows) override {
    Safeguarded::keep(rows);
    zstar::keep_rows({&z_, &r_}, rows);
  }

 private:
  Tensor step(const Tensor& z, const Tensor& /*fz*/, const Tensor& r, const Tensor& failed) override {
    Tensor omega = torch::full({z.size(0)}, o_.first, failed.options().dtype(torch::kFloat64));
    if (z_.defined()) {
      const Tensor dr = r - r_, d = products_.dots({dr}, {z - z_, dr}).squeeze(1);  // [B, 2]
      const Tensor secant = -d.select(1, 0) / d.select(1, 1);
      omega = torch::where(secant.isfinite(), secant.clamp(o_.smallest, o_.largest), omega);
    }
    z_ = z, r_ = r;
    return products_.combine(z, {r}, omega.unsqueeze(1));
  }

  Options o_;
  Tensor z_, r_;  // the last iterate and its residual
};

}  // namespace

ZSTAR_PLUGIN("zstar.aitken", "0.1.0", "Aitken relaxation")
ZSTAR_SOLVER(Aitken, "aitken", "relaxation by Aitken's rule as Irons and Tuck use it, each sample on its own")
