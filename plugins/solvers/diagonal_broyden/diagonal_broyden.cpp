/// \file Broyden's method with a diagonal Jacobian. Equations and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/residual_window.hpp>
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
class DiagonalBroyden final : public zstar::Solver {
 public:
  struct Options {
    double smallest = 0.1, growth = 4.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("smallest", &Options::smallest, "least |d|: no step is longer than |g| over this",
                                 zstar::above(0.0)),
                      zstar::opt("growth", &Options::growth,
                                 "a sample whose residual exceeds this many times its best starts again from there",
                                 zstar::above(1.0))};
  }
  DiagonalBroyden(const Options& o, zstar::Host& host)
      : o_(o), products_(host.products()), fallback_(products_, o.growth) {}

  void* query(std::string_view id) override { return id == zstar::Claims::id ? &claims_ : nullptr; }

  void begin(std::int64_t, std::int64_t) override {
    z_ = g_ = d_ = Tensor();
    fallback_.clear();
  }
  void keep(const Tensor& rows) override {
    zstar::keep_rows({&z_, &g_, &d_}, rows);
    fallback_.keep(rows);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const Tensor g = fz - z, failed = fallback_.failed(g, fz);
    if (!d_.defined()) d_ = torch::full_like(z, -1.0);
    else learn(z - z_, g - g_, failed);
    z_ = z, g_ = g;
    const Tensor bounded = torch::where(d_.abs() < o_.smallest, torch::where(d_ > 0, o_.smallest, -o_.smallest).to(d_.scalar_type()), d_);
    return zstar::pick(failed, fallback_.image(), z - g / bounded);
  }

 private:
  void learn(const Tensor& s, const Tensor& y, const Tensor& failed) {
    const Tensor size2 = zstar::length2(products_, s), usable = (size2 > 0) & (1.0 / size2).isfinite();
    const Tensor scale = (1.0 / size2).to(s.scalar_type()).unsqueeze(1);
    const Tensor updated = d_ + (y - d_ * s) * s * scale;
    d_ = zstar::pick(usable & ~failed, torch::where(updated.isfinite(), updated, d_), d_);
    d_ = zstar::pick(failed, torch::full_like(d_, -1.0), d_);
  }

  zstar::Claims claims_{.accelerates = true};
  Options o_;
  zstar::Products& products_;
  zstar::Fallback fallback_;
  Tensor z_, g_, d_;  // last iterate, its residual, the diagonal; [B, D]
};

}  // namespace

ZSTAR_PLUGIN("zstar.diagonal-broyden", "0.1.0", "Broyden's method with a diagonal Jacobian")
ZSTAR_SOLVER(DiagonalBroyden, "diagonal_broyden", "Broyden's method with a diagonal Jacobian")
