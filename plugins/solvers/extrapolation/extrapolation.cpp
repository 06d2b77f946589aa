/// \file Reduced rank and minimal polynomial extrapolation. Equations and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/residual_window.hpp>
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

enum class Kind { reduced_rank, minimal_polynomial };

/// Cycles of m + 1 plain steps, then one extrapolation from all of their residuals r_i = f(z_i) − z_i:
///
///   z⁺ = Σ α_i f(z_i),  Σ α_i = 1,   α of RRE: argmin ‖Σ α_i r_i‖²
///                                    α = c / Σ c of MPE: c_m = 1, argmin over the others ‖Σ c_i r_i‖²
///
/// A sample whose residual after the extrapolation exceeds `growth` times that before it, or is not finite there, goes on
/// with the plain step.
///
/// \par Cost per iteration  m/2 + 2 passes over the state and, each m + 1 iterations, m + 1; no evaluation of f of its own
template <Kind kind>
class Extrapolation final : public zstar::Solver, public zstar::Backtracking {
 public:
  struct Options {
    std::int64_t memory = 5;
    double growth = 2.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("memory", &Options::memory, "m, degree of the polynomial: a cycle has m + 1 evaluations",
                                 zstar::at_least(1)),
                      zstar::opt("growth", &Options::growth,
                                 "an extrapolation whose residual exceeds this many times the one before is taken back",
                                 zstar::above(0.0))};
  }
  Extrapolation(const Options& o, zstar::Host& host)
      : o_(o), products_(host.products()), window_(products_, o.memory + 1) {}

  void* query(std::string_view id) override {
    if (id == zstar::Claims::id) return &claims_;
    return id == zstar::Backtracking::id ? static_cast<zstar::Backtracking*>(this) : nullptr;
  }
  std::int64_t patience() const override { return 1; }

  void begin(std::int64_t, std::int64_t) override {
    window_.clear();
    plain_ = before2_ = Tensor();
  }
  void keep(const Tensor& rows) override {
    window_.keep(rows);
    zstar::keep_rows({&plain_, &before2_}, rows);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const Tensor r = fz - z, failed = taken_back(r);
    window_.push(z, fz);
    if (failed.defined()) window_.forget(failed);
    if (window_.size() <= o_.memory) return failed.defined() ? zstar::pick(failed, plain_, fz) : fz;
    plain_ = fz, before2_ = zstar::length2(products_, r);
    const Tensor next = window_.combined(weights());
    window_.clear();
    return next;
  }

 private:
  /// bool [B] at the first evaluation of a later cycle: the samples whose extrapolation was no good; else undefined.
  Tensor taken_back(const Tensor& r) const {
    if (window_.size() > 0 || !plain_.defined()) return {};
    return ~(zstar::length2(products_, r) <= o_.growth * o_.growth * before2_);
  }

  Tensor weights() const {
    if constexpr (kind == Kind::reduced_rank) return window_.weights();
    const Tensor g = window_.gram(), newest = window_.newest();
    const std::int64_t m = g.size(1) - 1;
    const bool wide = plain_.scalar_type() == torch::kFloat64;
    const Tensor c = zstar::gram_least_squares(g.narrow(1, 1, m).narrow(2, 1, m), -g.select(1, 0).narrow(1, 1, m),
                                               wide ? 1e-14 : 1e-9, wide ? 1e-13 : 1e-8);
    const Tensor all = torch::cat({newest.narrow(1, 0, 1), c}, 1), sum = all.sum(1, /*keepdim=*/true);
    return torch::where(sum.abs() > 1e-6 * all.abs().amax(1, /*keepdim=*/true), all / sum, newest);
  }

  zstar::Claims claims_{.accelerates = true, .expansive = true};
  Options o_;
  zstar::Products& products_;
  zstar::ResidualWindow window_;
  Tensor plain_, before2_;  // the plain step in place of the last extrapolation, ‖r‖² before it
};

using Rre = Extrapolation<Kind::reduced_rank>;
using Mpe = Extrapolation<Kind::minimal_polynomial>;

}  // namespace

ZSTAR_PLUGIN("zstar.extrapolation", "0.1.0", "vector extrapolation in cycles")
ZSTAR_SOLVER(Rre, "rre", "reduced rank extrapolation, in cycles of plain steps")
ZSTAR_SOLVER(Mpe, "mpe", "minimal polynomial extrapolation, in cycles of plain steps")
