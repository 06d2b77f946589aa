/// \file Periodic Pulay mixing. Equations and sources: README.md.
#include <zstar/safeguarded.hpp>
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

/// Damped iteration with an Anderson step every `period` steps:
///
///   z⁺ = z + β r,   and every p-th   z⁺ = Σ α_i (z_i + γ r_i),  α = argmin ‖Σ α_i r_i‖², Σ α_i = 1
///
/// The plain steps between bring in directions that extrapolation alone would not visit.
///
/// \par Cost per iteration  m + 2 passes over the state, and m + 1 more every p-th; no evaluation of f of its own
class Pulay final : public zstar::SafeguardedWindow {
 public:
  struct Options {
    std::int64_t memory = 6, period = 2;
    double beta = 1.0, gamma = 1.0, growth = 4.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("memory", &Options::memory, "m, residual differences kept", zstar::at_least(1)),
                      zstar::opt("period", &Options::period, "p, steps from one extrapolation to the next", zstar::at_least(1)),
                      zstar::opt("beta", &Options::beta, "β, mixing of the plain steps", zstar::within(0.0, 2.0)),
                      zstar::opt("gamma", &Options::gamma, "γ, mixing of the extrapolated steps", zstar::within(0.0, 2.0)),
                      zstar::growth_option<Options>()};
  }
  Pulay(const Options& o, zstar::Host& host)
      : SafeguardedWindow(host.products(), o.memory, o.growth, {.accelerates = true, .expansive = true}), o_(o) {}

  void begin(std::int64_t batch, std::int64_t width) override {
    SafeguardedWindow::begin(batch, width);
    step_ = 0;
  }

 private:
  Tensor mixed(const Tensor& z, const Tensor& fz, const Tensor& /*r*/) override {
    window_.push(z, fz);
    const bool extrapolate = ++step_ % o_.period == 0;
    return extrapolate ? window_.combined(window_.weights(), o_.gamma) : window_.combined(window_.newest(), o_.beta);
  }

  Options o_;
  std::int64_t step_ = 0;
};

}  // namespace

ZSTAR_PLUGIN("zstar.pulay", "0.1.0", "periodic Pulay mixing")
ZSTAR_SOLVER(Pulay, "pulay", "damped iteration with an Anderson step every few steps")
