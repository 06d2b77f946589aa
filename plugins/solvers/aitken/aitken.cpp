/// \file Aitken relaxation after Irons and Tuck. Equations and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/residual_window.hpp>
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
class Aitken final : public zstar::Solver {
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
  Aitken(const Options& o, zstar::Host& host) : o_(o), products_(host.products()), fallback_(products_, o.growth) {
    if (o.smallest > o.largest) throw zstar::OptionError("smallest", "smallest is above largest; swap them");
  }

  void* query(std::string_view id) override { return id == zstar::Claims::id ? &claims_ : nullptr; }

  void begin(std::int64_t, std::int64_t) override {
    z_ = r_ = Tensor();
    fallback_.clear();
  }
  void keep(const Tensor& rows) override {
    zstar::keep_rows({&z_, &r_}, rows);
    fallback_.keep(rows);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const Tensor r = fz - z, failed = fallback_.failed(r, fz);
    Tensor omega = torch::full({z.size(0)}, o_.first, failed.options().dtype(torch::kFloat64));
    if (z_.defined()) {
      const Tensor dr = r - r_, d = products_.dots({dr}, {z - z_, dr}).squeeze(1);  // [B, 2]
      const Tensor secant = -d.select(1, 0) / d.select(1, 1);
      omega = torch::where(secant.isfinite(), secant.clamp(o_.smallest, o_.largest), omega);
    }
    z_ = z, r_ = r;
    return zstar::pick(failed, fallback_.image(), products_.combine(z, {r}, omega.unsqueeze(1)));
  }

 private:
  zstar::Claims claims_{.accelerates = true, .expansive = true};
  Options o_;
  zstar::Products& products_;
  zstar::Fallback fallback_;
  Tensor z_, r_;  // the last iterate and its residual
};

}  // namespace

ZSTAR_PLUGIN("zstar.aitken", "0.1.0", "Aitken relaxation")
ZSTAR_SOLVER(Aitken, "aitken", "relaxation by Aitken's rule as Irons and Tuck use it, each sample on its own")
