/// \file Anderson acceleration (type II) of z = f(z). Equations, symbols and sources: README.md.
#include <utility>
#include <vector>

#include <zstar/mixed.hpp>
#include <zstar/safeguarded.hpp>
#include <zstar/sdk.hpp>

#include "gains.hpp"
#include "narrow_window.hpp"

namespace {

using torch::Tensor;

/// Combines the last m + 1 iterates so that the combined residual is least, for each sample on its own:
///
///   γ = argmin ‖r_k − Σ_j γ_j (r_{k−j} − r_{k−j−1})‖²,   z_{k+1} = Σ_i α_i (z_i + β r_i),
///   α_k = 1 − γ_0, α_{k−j} = γ_{j−1} − γ_j, α_{k−m} = γ_{m−1}.
///
/// The small problem is solved in float64 from inner products, newest difference first, on columns of unit length; the
/// oldest columns are dropped where they depend on newer ones. A sample whose residual exceeds `growth` times its best
/// starts again from the best of its history. The gain θ_k = ‖Σ α_i r_i‖ / ‖r_k‖ of every step is a statistic.
///
/// \par Cost per iteration  2 (m + 1) + 4 passes over the state; no evaluation of f of its own
/// \par Converges  if f is a contraction (Toth & Kelley 2015); on an affine map with m ≥ D in D + 1 iterations
class Anderson final : public zstar::Solver, public zstar::Statistics {
 public:
  struct Options {
    std::int64_t memory = 5, delay = 0, restart = 0;
    double beta = 1.0;
    std::optional<double> lambda;
    double growth = 2.0;
    std::string adapt = "none", history = "state";
  };
  static auto options() {
    return std::tuple{
        zstar::opt("memory", &Options::memory, "m, residual differences kept", zstar::at_least(1)),
        zstar::opt("beta", &Options::beta, "β, mixing; 1 is undamped", zstar::within(0.0, 2.0)),
        zstar::opt("lambda", &Options::lambda,
                   "λ, ridge relative to unit columns; unset: 1e-14 for float64 states, 1e-9 below", zstar::at_least(0.0)),
        zstar::growth_option<Options>(),
        zstar::opt("delay", &Options::delay, "plain steps before the first accelerated one", zstar::at_least(0)),
        zstar::opt("restart", &Options::restart, "steps after which the history is forgotten; 0: never", zstar::at_least(0)),
        zstar::choice("adapt", &Options::adapt,
                      "what follows the gain θ of each step: β = 0.9 − θ/2 (damping), the history, halved where θ > 0.95 (memory), both, or nothing",
                      {"none", "damping", "memory", "both"}),
        zstar::choice("history", &Options::history,
                      "dtype of what is kept: that of the state, or, for float32 states, differences in bfloat16: half the memory, steps good to 0.4 %",
                      {"state", "bfloat16"})};
  }
  Anderson(const Options& o, zstar::Host& host)
      : o_(o), damps_(o.adapt == "damping" || o.adapt == "both"), forgets_(o.adapt == "memory" || o.adapt == "both"),
        window_(host.products(), o.memory + 1), narrow_(host.products(), o.memory + 1) {}

  void* query(std::string_view id) override {
    if (id == zstar::Claims::id) return &claims_;
    return id == zstar::Statistics::id ? static_cast<zstar::Statistics*>(this) : nullptr;
  }
  std::vector<std::pair<std::string, Tensor>> statistics() override { return {{"gain", gains_.table()}}; }

  void begin(std::int64_t batch, std::int64_t /*width*/) override {
    forget();
    gains_.begin(batch);
    best_ = Tensor();
    step_ = 0;
  }

  void keep(const Tensor& rows) override {
    window_.keep(rows);
    narrow_.keep(rows);
    gains_.keep(rows);
    zstar::keep_rows({&best_}, rows);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const std::int64_t accelerated = step_++ - o_.delay;
    if (accelerated < 0) return plain(z, fz);
    if (o_.restart > 0 && accelerated % o_.restart == 0) forget();
    const bool narrow = o_.history == "bfloat16" && z.scalar_type() == torch::kFloat32;
    return narrow ? combined(narrow_, z, fz) : combined(window_, z, fz);
  }

 private:
  static constexpr double wild = 1e4;       // weights beyond this say more about rounding than about f
  static constexpr double useless = 0.95;   // gain above which old columns are taken to mislead

  /// Weights by age, [B, n], where they follow the gain β, [B], and, where any sample forgets, how many pairs each may go on
  /// knowing, [B].
  struct Step {
    Tensor alpha, beta, limit;
  };

  /// β that follows the gain θ, of one sample or all.
  template <class X>
  static X damped(const X& gain) { return 0.9 - 0.5 * gain; }

  void forget() { window_.clear(), narrow_.clear(); }

  template <class Window>
  Tensor combined(Window& window, const Tensor& z, const Tensor& fz) {
    window.push(z, fz);
    Step s{window.weights(o_.lambda.value_or(-1)), {}, {}};
    if (!best_.defined()) best_ = torch::full({z.size(0)}, INFINITY, s.alpha.options());
    if (s.alpha.is_cpu()) settle_by_loops(window, s);
    else settle_by_aten(window, s);
    if (window.size() == 1) return plain(z, fz);
    if (s.limit.defined()) window.limit(s.limit);
    return damps_ ? window.combined(s.alpha, s.beta) : window.combined(std::move(s.alpha), o_.beta);
  }

  Tensor plain(const Tensor& z, const Tensor& fz) const { return zstar::mixed(z, fz, o_.beta); }

  /// Gains of all samples; those that grew too far or whose weights are wild take their best iterate and forget the rest.
  template <class Window>
  void settle_by_loops(const Window& window, Step& s) {
    const std::int64_t batch = s.alpha.size(0), n = s.alpha.size(1);
    unused_.resize(static_cast<std::size_t>(batch));
    double* gains = n > 1 ? gains_.add(batch) : unused_.data();  // one pair has no choice
    if (damps_) s.beta = torch::empty({batch}, s.alpha.options());
    const auto limit_of = [&](std::int64_t b) -> double& {
      if (!s.limit.defined()) s.limit = torch::full({batch}, INFINITY, s.alpha.options());
      return s.limit.data_ptr<double>()[b];
    };
    const Tensor gram = window.raw_gram(), lengths = window.length();
    const double *g = gram.data_ptr<double>(), *length = lengths.data_ptr<double>();
    double *a = s.alpha.data_ptr<double>(), *best = best_.data_ptr<double>();
    for (std::int64_t b = 0; b < batch; ++b, g += n * n, a += n) {
      const auto known = static_cast<std::int64_t>(length[b]);
      double combined2 = 0, largest = 0;
      for (std::int64_t i = 0; i < known; ++i) {
        largest = std::isfinite(a[i]) ? std::max(largest, std::abs(a[i])) : INFINITY;
        for (std::int64_t j = 0; j < known; ++j) combined2 += a[i] * a[j] * g[i * n + j];
      }
      if (g[0] < best[b]) best[b] = g[0];
      gains[b] = g[0] > 0 ? std::sqrt(std::max(combined2, 0.0) / g[0]) : 0.0;
      if (damps_) s.beta.data_ptr<double>()[b] = damped(gains[b]);
      if (forgets_ && gains[b] > useless) limit_of(b) = static_cast<double>((known + 1) / 2);
      if (!(g[0] > o_.growth * o_.growth * best[b]) && largest <= wild) continue;
      limit_of(b) = 0;
      std::int64_t least = 0;
      for (std::int64_t i = 1; i < known; ++i)
        if (g[i * n + i] < g[least * n + least] || !std::isfinite(g[least * n + least])) least = i;
      std::fill_n(a, n, 0.0);
      a[least] = 1.0;
    }
  }

  /// The same by ATen, for any device.
  template <class Window>
  void settle_by_aten(const Window& window, Step& s) {
    const Tensor gram = window.gram(), known = window.known(), size2 = gram.select(1, 0).select(1, 0);
    const Tensor infinite = torch::full_like(size2, INFINITY);
    best_ = torch::where(size2 < best_, size2, best_);
    const Tensor combined2 = (s.alpha.unsqueeze(1).matmul(gram).matmul(s.alpha.unsqueeze(2))).squeeze(2).squeeze(1).clamp_min(0.0);
    const Tensor gain = torch::where(size2 > 0, (combined2 / size2).sqrt(), torch::zeros_like(size2));
    if (window.size() > 1) gains_.add(gain);
    if (damps_) s.beta = damped(gain);
    const Tensor restart = (size2 > o_.growth * o_.growth * best_) | ~(s.alpha.abs().amax(1) <= wild);
    s.limit = forgets_ ? torch::where(gain > useless, ((window.length() + 1) / 2).floor(), infinite) : infinite;
    s.limit = torch::where(restart, torch::zeros_like(size2), s.limit);
    const Tensor sizes = torch::where(known, gram.diagonal(0, 1, 2), infinite.unsqueeze(1)).nan_to_num(INFINITY, INFINITY);
    const Tensor best = torch::zeros_like(s.alpha).scatter_(1, sizes.argmin(1, /*keepdim=*/true), 1.0);
    s.alpha = torch::where(restart.unsqueeze(1), best, s.alpha);
  }

  Options o_;
  zstar::Claims claims_{.accelerates = true};
  bool damps_, forgets_;
  zstar::ResidualWindow window_;
  zstar_anderson::NarrowWindow narrow_;
  zstar_anderson::Gains gains_;
  std::vector<double> unused_;  // gains of a step without a choice
  Tensor best_;  // [B], least ‖r‖², float64
  std::int64_t step_ = 0;
};

}  // namespace

ZSTAR_PLUGIN("zstar.anderson", "0.1.0", "Anderson acceleration")
ZSTAR_SOLVER(Anderson, "anderson", "Anderson acceleration, type II, each sample on its own")
