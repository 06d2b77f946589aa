/// \file CROP: conjugate residuals with optimal trial vectors. Equations and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/residual_window.hpp>
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

/// Like Anderson acceleration, but what is kept are the optimal combinations, not the trial points:
///
///   α = argmin ‖α_0 r̃ + Σ α_i r_i‖², Σ α_i = 1;   z_k = α_0 z̃ + Σ α_i z_i,  r_k likewise;   next z̃ = z_k + β r_k
///
/// (z̃, r̃) the trial and its residual, (z_i, r_i) the last m optimal pairs. On affine maps three vectors do what all
/// would do where ∂f/∂z is symmetric.
///
/// \par Cost per iteration  3 m + 4 passes over the state; no evaluation of f of its own
class Crop final : public zstar::Solver {
 public:
  struct Options {
    std::int64_t memory = 3;
    double beta = 1.0, growth = 4.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("memory", &Options::memory, "m, optimal pairs kept", zstar::at_least(1)),
                      zstar::opt("beta", &Options::beta, "β, step along the optimal residual", zstar::within(0.0, 2.0)),
                      zstar::opt("growth", &Options::growth,
                                 "a sample whose residual exceeds this many times its best starts again from there",
                                 zstar::above(1.0))};
  }
  Crop(const Options& o, zstar::Host& host)
      : o_(o), window_(host.products(), o.memory + 1), fallback_(host.products(), o.growth) {}

  void* query(std::string_view id) override { return id == zstar::Claims::id ? &claims_ : nullptr; }

  void begin(std::int64_t, std::int64_t) override {
    window_.clear();
    fallback_.clear();
  }
  void keep(const Tensor& rows) override {
    window_.keep(rows);
    fallback_.keep(rows);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const Tensor r = fz - z, failed = fallback_.failed(r, fz);
    window_.push(z, fz);
    const Tensor alpha = window_.weights();
    const Tensor next = window_.combined(alpha, o_.beta);
    if (window_.size() > 1) window_.replace(window_.residual(alpha), window_.combined(alpha));
    window_.forget(failed);
    return zstar::pick(failed, fallback_.image(), next);
  }

 private:
  zstar::Claims claims_{.accelerates = true, .expansive = true};
  Options o_;
  zstar::ResidualWindow window_;
  zstar::Fallback fallback_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.crop", "0.1.0", "conjugate residuals with optimal trial vectors")
ZSTAR_SOLVER(Crop, "crop", "conjugate residuals with optimal trial vectors: Anderson with a short memory")
