/// \file The reference's Broyden iteration and its line search.
#include <algorithm>

#include "record.hpp"

namespace {

using torch::Tensor;
using zstar_torchdeq::Compatible;
using zstar_torchdeq::row_norm;

/// H = −I + Σ_j u_j w_jᵀ for each sample, in a ring that overwrites without forgetting.
class Inverse {
 public:
  explicit Inverse(std::int64_t slots) : slots_(slots) {}

  Tensor apply(const Tensor& v) const { return combine(v, w_, u_); }            // H v
  Tensor apply_transpose(const Tensor& v) const { return combine(v, u_, w_); }  // Hᵀ v

  /// The pair of a step; step n, from 1, goes to slot (n − 1) mod L.
  void update(const Tensor& dx, const Tensor& dg, std::int64_t n) {
    const Tensor w = apply_transpose(dx);
    const Tensor u = (dx - apply(dg)) / (w * dg).sum(1, /*keepdim=*/true);
    const auto slot = static_cast<std::size_t>((n - 1) % slots_);
    if (u_.size() <= slot) u_.emplace_back(), w_.emplace_back();
    u_[slot] = without_nan(u);
    w_[slot] = without_nan(w);
  }

 private:
  static Tensor without_nan(const Tensor& t) { return torch::where(t.isnan(), torch::zeros_like(t), t); }
  static Tensor combine(const Tensor& v, const std::vector<Tensor>& left, const std::vector<Tensor>& right) {
    Tensor sum = -v;
    for (std::size_t j = 0; j < left.size(); ++j) sum = sum + right[j] * (left[j] * v).sum(1, /*keepdim=*/true);
    return sum;
  }

  std::int64_t slots_;
  std::vector<Tensor> u_, w_;
};

class Broyden final : public Compatible {
 public:
  struct Options {
    std::optional<std::int64_t> memory;
    bool line_search = false, return_final = false;
  };
  static auto options() {
    return std::tuple{
        zstar::opt("memory", &Options::memory, "LBFGS_thres, pairs kept; unset: as many as steps", zstar::at_least(1)),
        zstar::opt("line_search", &Options::line_search, "one step length for the whole batch"),
        zstar::opt("return_final", &Options::return_final, "run all steps and return the last state")};
  }
  Broyden(const Options& o, zstar::Host&)
      : Compatible({{"at_solution", "TorchDEQ's broyden makes a step before it tests"},
                    {"no_solution", "it divides by a change of g that may be zero"},
                    {"budgets", "it does not count its first call"},
                    {"within_budget", "it counts neither its first call nor those of the line search"},
                    {"samples", "it hands out the best state so far, numbered from 0"}}),
        o_(o) {}

  Tensor drive(zstar::Evaluator& f, const Tensor& z0) override {
    const std::int64_t steps = f.limits().max_evaluations;
    record_.begin(f.limits(), z0, o_.return_final, steps + 1);
    Inverse inverse(o_.memory.value_or(std::max<std::int64_t>(steps, 1)));
    Tensor x = z0, g = call(f, z0) - z0, p = g;
    for (std::int64_t n = 1; n <= steps; ++n) {
      const auto [length, g_next] = step(f, x, g, p);
      const Tensor x_next = x + length * p;
      const Tensor dx = x_next - x, dg = g_next - g;
      x = x_next, g = g_next;
      const bool stop = record_.offer(x, row_norm(g), row_norm(g + x) + 1e-9, n);
      record_.sample(f, n + 1);
      if (stop || no_progress(n)) break;
      inverse.update(dx, dg, n);
      p = -inverse.apply(g);
    }
    record_.sample_at_end(f, record_.best());
    return record_.best();
  }

 private:
  Tensor residual(zstar::Evaluator& f, const Tensor& z, zstar::Purpose purpose) const { return call(f, z, purpose) - z; }

  /// Largest over smallest residual across the batch, below 1.3 in all of the last 30 columns, near the tolerance.
  bool no_progress(std::int64_t n) const {
    const auto& trace = record_.trace();
    if (n <= 30 || trace.back().max().item<double>() >= 3 * record_.limits().tolerance) return false;
    return std::all_of(trace.end() - 30, trace.end(), [](const Tensor& column) { return (column.max() / column.min()).item<double>() < 1.3; });  // 0 / 0 is not
  }

  /// Step length s and g(x + s p).
  std::pair<double, Tensor> step(zstar::Evaluator& f, const Tensor& x, const Tensor& g, const Tensor& p) const {
    if (!o_.line_search) return {1.0, residual(f, x + p, zstar::Purpose::step)};
    double last_s = -1;
    Tensor last_g;
    const auto phi = [&](double s) {
      last_s = s;
      last_g = residual(f, x + s * p, zstar::Purpose::line_search);
      const double value = last_g.square().sum().item<double>();
      return std::isfinite(value) ? value : INFINITY;
    };
    const std::optional<double> found = search(phi, g.square().sum().item<double>());
    const double s = found.value_or(1.0);
    if (s != last_s) last_g = residual(f, x + s * p, zstar::Purpose::step);
    return {s, last_g};
  }

  /// Backtracking by quadratic, then cubic interpolation, with the reference's acceptance and its halvings.
  template <class Phi>
  static std::optional<double> search(const Phi& phi, double phi0) {
    constexpr double c1 = 1e-4;
    const double slope = -phi0, phi1 = phi(1.0);
    if (phi1 <= phi0 + c1 * slope) return 1.0;
    double a0 = 1.0, pa0 = phi1, a1 = -slope / (2 * (phi1 - phi0 - slope)), pa1 = phi(a1);
    while (a1 > 1e-2) {
      const double d = a0 * a0 * a1 * a1 * (a1 - a0), r0 = pa0 - phi0 - slope * a0, r1 = pa1 - phi0 - slope * a1;
      const double a = (a0 * a0 * r1 - a1 * a1 * r0) / d, b = (-a0 * a0 * a0 * r1 + a1 * a1 * a1 * r0) / d;
      double a2 = (-b + std::sqrt(std::abs(b * b - 3 * a * slope))) / (3 * a);
      const double pa2 = phi(a2);
      if (pa2 <= phi0 + c1 * a2 * slope) return a2;
      if (a1 - a2 > a1 / 2 || 1 - a2 / a1 < 0.96) a2 = a1 / 2;
      a0 = a1, pa0 = pa1, a1 = a2, pa1 = pa2;
    }
    return std::nullopt;
  }

  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.torchdeq", "0.1.0", "the solvers of TorchDEQ, for comparison")
ZSTAR_SOLVER(Broyden, "torchdeq_broyden", "TorchDEQ's broyden, step by step")
