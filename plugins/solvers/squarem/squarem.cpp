/// \file SQUAREM: squared extrapolation. Equations and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/residual_window.hpp>
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

/// Cycles of three evaluations, each sample with its own step length: from z with r = f(z) − z and v = f²(z) − 2 f(z) + z,
///
///   z' = z − 2 α r + α² v,   next z = f(z')
///
/// α = −1 is two plain steps. A sample at whose z' the residual has grown too far, or is not finite, takes f²(z) instead and
/// a shorter longest step.
///
/// \par Cost per iteration  3 passes over the state; no evaluation of f of its own
/// \par Converges  for contractions with a spectrum in [0, 1) as fast as a Cauchy–Barzilai–Borwein method
class Squarem final : public zstar::Solver, public zstar::Backtracking {
 public:
  struct Options {
    std::string scheme = "third";
    double shortest = 0.1, longest = 1.0, growth = 1.0;
  };
  static auto options() {
    return std::tuple{
        zstar::choice("scheme", &Options::scheme, "step length −α: ⟨r,v⟩/⟨v,v⟩, ⟨r,r⟩/⟨r,v⟩ or √(⟨r,r⟩/⟨v,v⟩), as −α > 0",
                      {"first", "second", "third"}),
        zstar::opt("shortest", &Options::shortest, "least −α", zstar::Range{.low = 0, .high = 1, .open_low = true}),
        zstar::opt("longest", &Options::longest,
                   "greatest −α at first; four times as much after a step of that length that held", zstar::at_least(1.0)),
        zstar::opt("growth", &Options::growth, "a residual at z' above this many times that of f(z) is given up",
                   zstar::above(0.0))};
  }
  Squarem(const Options& o, zstar::Host& host) : o_(o), products_(host.products()) {}

  void* query(std::string_view id) override {
    if (id == zstar::Claims::id) return &claims_;
    return id == zstar::Backtracking::id ? static_cast<zstar::Backtracking*>(this) : nullptr;
  }
  std::int64_t patience() const override { return 1; }

  void begin(std::int64_t, std::int64_t) override {
    r_ = second_ = merit_ = longest_ = length_ = Tensor();
    phase_ = 0;
  }
  void keep(const Tensor& rows) override { zstar::keep_rows({&r_, &second_, &merit_, &longest_, &length_}, rows); }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const int phase = phase_;
    phase_ = (phase_ + 1) % 3;
    if (phase == 0) {
      r_ = fz - z;
      return fz;
    }
    return phase == 1 ? extrapolated(z, fz) : settled(z, fz);
  }

 private:
  Tensor extrapolated(const Tensor& z, const Tensor& fz) {
    const Tensor r1 = fz - z, v = r1 - r_;
    const Tensor d = products_.dots({r_, v}, {r_, v});
    const Tensor rr = d.select(1, 0).select(1, 0), rv = d.select(1, 0).select(1, 1), vv = d.select(1, 1).select(1, 1);
    if (!longest_.defined()) longest_ = torch::full_like(rr, o_.longest);
    const Tensor raw = o_.scheme == "first" ? -rv / vv : o_.scheme == "second" ? -rr / rv : (rr / vv).sqrt();
    const Tensor one = torch::ones_like(raw);
    length_ = torch::minimum(torch::where(raw.isfinite(), raw, one).clamp_min(o_.shortest), longest_);
    second_ = fz, merit_ = zstar::length2(products_, r1);
    // z − 2 α r + α² v, written from f²(z) = z + 2 r + v so that −α = 1 gives exactly that
    return products_.combine(fz, {r_, v}, torch::stack({2.0 * length_ - 2.0, length_ * length_ - 1.0}, 1));
  }

  Tensor settled(const Tensor& z, const Tensor& fz) {
    const Tensor size2 = zstar::length2(products_, fz - z);
    const Tensor held = size2 <= o_.growth * o_.growth * merit_;
    const Tensor at_limit = length_ >= longest_;
    longest_ = torch::where(held, torch::where(at_limit, 4.0 * longest_, longest_), (0.25 * longest_).clamp_min(1.0));
    return zstar::pick(held, fz, second_);
  }

  zstar::Claims claims_{.accelerates = true};
  Options o_;
  zstar::Products& products_;
  Tensor r_, second_;                // residual at the start of the cycle, f²(z); [B, D]
  Tensor merit_, longest_, length_;  // ‖r‖² at f(z), bound of −α, −α; [B]
  int phase_ = 0;
};

}  // namespace

ZSTAR_PLUGIN("zstar.squarem", "0.1.0", "squared extrapolation")
ZSTAR_SOLVER(Squarem, "squarem", "squared extrapolation in cycles of three evaluations, each sample with its own step")
