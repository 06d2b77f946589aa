/// \file Periodic Pulay mixing. Equations and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/residual_window.hpp>
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
class Pulay final : public zstar::Solver {
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
                      zstar::opt("growth", &Options::growth,
                                 "a sample whose residual exceeds this many times its best starts again from there",
                                 zstar::above(1.0))};
  }
  Pulay(const Options& o, zstar::Host& host)
      : o_(o), window_(host.products(), o.memory + 1), fallback_(host.products(), o.growth) {}

  void* query(std::string_view id) override { return id == zstar::Claims::id ? &claims_ : nullptr; }

  void begin(std::int64_t, std::int64_t) override {
    window_.clear();
    fallback_.clear();
    step_ = 0;
  }
  void keep(const Tensor& rows) override {
    window_.keep(rows);
    fallback_.keep(rows);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const Tensor r = fz - z, failed = fallback_.failed(r, fz);
    window_.push(z, fz);
    const bool extrapolate = ++step_ % o_.period == 0;
    const Tensor next = extrapolate ? window_.combined(window_.weights(), o_.gamma)
                                    : window_.combined(window_.newest(), o_.beta);
    window_.forget(failed);
    return zstar::pick(failed, fallback_.image(), next);
  }

 private:
  zstar::Claims claims_{.accelerates = true, .expansive = true};
  Options o_;
  zstar::ResidualWindow window_;
  zstar::Fallback fallback_;
  std::int64_t step_ = 0;
};

}  // namespace

ZSTAR_PLUGIN("zstar.pulay", "0.1.0", "periodic Pulay mixing")
ZSTAR_SOLVER(Pulay, "pulay", "damped iteration with an Anderson step every few steps")
