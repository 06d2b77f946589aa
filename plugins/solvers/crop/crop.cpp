/// \file CROP: conjugate residuals with optimal trial vectors. Equations and sources: README.md.
#include <zstar/safeguarded.hpp>
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
class Crop final : public zstar::SafeguardedWindow {
 public:
  struct Options {
    std::int64_t memory = 3;
    double beta = 1.0, growth = 4.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("memory", &Options::memory, "m, optimal pairs kept", zstar::at_least(1)),
                      zstar::opt("beta", &Options::beta, "β, step along the optimal residual", zstar::within(0.0, 2.0)),
                      zstar::growth_option<Options>()};
  }
  Crop(const Options& o, zstar::Host& host)
      : SafeguardedWindow(host.products(), o.memory, o.growth, {.accelerates = true, .expansive = true}), o_(o) {}

 private:
  Tensor mixed(const Tensor& z, const Tensor& fz, const Tensor& /*r*/) override {
    window_.push(z, fz);
    const Tensor alpha = window_.weights();
    const Tensor next = window_.combined(alpha, o_.beta);
    if (window_.size() > 1) window_.replace(window_.residual(alpha), window_.combined(alpha));
    return next;
  }

  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.crop", "0.1.0", "conjugate residuals with optimal trial vectors")
ZSTAR_SOLVER(Crop, "crop", "conjugate residuals with optimal trial vectors: Anderson with a short memory")
