/// \file NGMRES: nonlinear GMRES. Equations and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/residual_window.hpp>
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
class Ngmres final : public zstar::Solver {
 public:
  struct Options {
    std::int64_t memory = 8;
    double beta = 1.0, growth = 4.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("memory", &Options::memory, "m, accepted iterates kept", zstar::at_least(1)),
                      zstar::opt("beta", &Options::beta, "β, mixing of the plain steps", zstar::within(0.0, 2.0)),
                      zstar::opt("growth", &Options::growth,
                                 "a sample whose residual exceeds this many times its best starts again from there",
                                 zstar::above(1.0))};
  }
  Ngmres(const Options& o, zstar::Host& host)
      : o_(o), window_(host.products(), o.memory + 1), fallback_(host.products(), o.growth) {}

  void* query(std::string_view id) override { return id == zstar::Claims::id ? &claims_ : nullptr; }

  void begin(std::int64_t, std::int64_t) override {
    window_.clear();
    fallback_.clear();
    candidate_ = candidate_in_window_ = false;
  }
  void keep(const Tensor& rows) override {
    window_.keep(rows);
    fallback_.keep(rows);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const Tensor r = fz - z, failed = fallback_.failed(r, fz);
    if (candidate_in_window_) window_.replace(r, fz);  // the accepted iterate takes the place of its candidate
    else window_.push(z, fz);
    candidate_in_window_ = candidate_;
    const Tensor next = candidate_ ? window_.combined(window_.weights(), /*beta=*/0.0)
                                   : window_.combined(window_.newest(), o_.beta);
    candidate_ = !candidate_;
    window_.forget(failed);
    return zstar::pick(failed, fallback_.image(), next);
  }

 private:
  zstar::Claims claims_{.accelerates = true, .expansive = true};
  Options o_;
  zstar::ResidualWindow window_;
  zstar::Fallback fallback_;
  bool candidate_ = false, candidate_in_window_ = false;  // z is a z̄; the newest pair is one
};

}  // namespace

ZSTAR_PLUGIN("zstar.ngmres", "0.1.0", "nonlinear GMRES")
ZSTAR_SOLVER(Ngmres, "ngmres", "nonlinear GMRES: plain steps, each followed by the best combination with earlier iterates")
