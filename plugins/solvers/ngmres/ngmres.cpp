/// \file NGMRES: nonlinear GMRES. Equations and sources: README.md.
#include <zstar/safeguarded.hpp>
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

/// Alternates a plain step to z̄ = z + β r with the best combination of z̄ and the iterates before it:
///
///   α = argmin ‖α_0 r̄ + Σ α_i r_i‖², Σ α_i = 1;   z⁺ = α_0 z̄ + Σ α_i z_i
///
/// Both z̄ and z⁺ are evaluated; only accepted iterates z_i stay in the memory.
///
/// \par Cost per step of two evaluations  3 m + 6 passes over the state
class Ngmres final : public zstar::SafeguardedWindow {
 public:
  struct Options {
    std::int64_t memory = 8;
    double beta = 1.0, growth = 4.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("memory", &Options::memory, "m, accepted iterates kept", zstar::at_least(1)),
                      zstar::opt("beta", &Options::beta, "β, mixing of the plain steps", zstar::within(0.0, 2.0)),
                      zstar::growth_option<Options>()};
  }
  Ngmres(const Options& o, zstar::Host& host)
      : SafeguardedWindow(host.products(), o.memory, o.growth, {.accelerates = true, .expansive = true}), o_(o) {}

  void begin(std::int64_t batch, std::int64_t width) override {
    SafeguardedWindow::begin(batch, width);
    candidate_ = candidate_in_window_ = false;
  }

 private:
  Tensor mixed(const Tensor& z, const Tensor& fz, const Tensor& r) override {
    if (candidate_in_window_) window_.replace(r, fz);  // the accepted iterate takes the place of its candidate
    else window_.push(z, fz);
    candidate_in_window_ = candidate_;
    candidate_ = !candidate_;
    return candidate_in_window_ ? window_.combined(window_.weights(), /*beta=*/0.0) : window_.combined(window_.newest(), o_.beta);
  }

  Options o_;
  bool candidate_ = false, candidate_in_window_ = false;  // z is a z̄; the newest pair is one
};

}  // namespace

ZSTAR_PLUGIN("zstar.ngmres", "0.1.0", "nonlinear GMRES")
ZSTAR_SOLVER(Ngmres, "ngmres", "nonlinear GMRES: plain steps, each followed by the best combination with earlier iterates")
