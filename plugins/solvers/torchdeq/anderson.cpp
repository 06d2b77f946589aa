/// \file The reference's Anderson iteration.
#include "record.hpp"

namespace {

using torch::Tensor;
using zstar_torchdeq::Compatible;
using zstar_torchdeq::row_norm;

/// Bordered system with an absolute ridge over slots in slot order; the candidate is f of the mixed point.
class Anderson final : public Compatible {
 public:
  struct Options {
    std::int64_t m = 6;
    double lam = 1e-4, tau = 1.0;
    bool return_final = false;
  };
  static auto options() {
    return std::tuple{zstar::opt("m", &Options::m, "slots of the history", zstar::at_least(2)),
                      zstar::opt("lam", &Options::lam, "λ, ridge, not scaled by the residual", zstar::at_least(0.0)),
                      zstar::opt("tau", &Options::tau, "τ, mixing"),
                      zstar::opt("return_final", &Options::return_final, "run all steps and return the last state")};
  }
  Anderson(const Options& o, zstar::Host&)
      : Compatible({{"at_solution", "TorchDEQ's anderson tests from its third call on"},
                    {"budgets", "it counts neither of its first two calls"},
                    {"within_budget", "it counts neither of its first two calls"},
                    {"scaling", "its ridge is not scaled by the residual"},
                    {"samples", "it numbers its steps from 2, and hands out the best state so far"}}),
        o_(o) {}

  Tensor drive(zstar::Evaluator& f, const Tensor& z0) override {
    const std::int64_t budget = f.limits().max_evaluations;
    record_.begin(f.limits(), z0, o_.return_final, std::max<std::int64_t>(budget - 1, 1));
    std::vector<Tensor> x{z0}, y{call(f, z0)};
    x.push_back(y[0]);
    y.push_back(call(f, x[1]));
    for (std::int64_t k = 2; k < budget; ++k) {
      const Tensor mixed = mix(x, y);
      const auto slot = static_cast<std::size_t>(k % o_.m);
      if (x.size() <= slot) x.emplace_back(), y.emplace_back();
      x[slot] = mixed;
      y[slot] = call(f, mixed);
      const bool stop = record_.offer(y[slot], row_norm(y[slot] - mixed), row_norm(y[slot]) + 1e-9, k + 1);
      record_.sample(f, k + 1);
      if (stop) break;
    }
    record_.sample_at_end(f, record_.best());
    return record_.best();
  }

 private:
  /// τ Σ α_i Y_i + (1−τ) Σ α_i X_i with α from [0 1ᵀ; 1 GGᵀ + λI] [ν; α] = [1; 0].
  Tensor mix(const std::vector<Tensor>& x, const std::vector<Tensor>& y) const {
    const Tensor xs = torch::stack(x, 1), ys = torch::stack(y, 1), g = ys - xs;  // [B, n, D]
    const std::int64_t n = g.size(1);
    Tensor system = torch::zeros({g.size(0), n + 1, n + 1}, g.options());
    system.select(1, 0).narrow(1, 1, n).fill_(1);
    system.select(2, 0).narrow(1, 1, n).fill_(1);
    system.narrow(1, 1, n).narrow(2, 1, n).copy_(torch::bmm(g, g.transpose(1, 2)) + o_.lam * torch::eye(n, g.options()));
    Tensor right = torch::zeros({g.size(0), n + 1, 1}, g.options());
    right.select(1, 0).fill_(1);
    const Tensor alpha = torch::linalg_solve(system, right).narrow(1, 1, n);  // [B, n, 1]
    return o_.tau * (alpha * ys).sum(1) + (1 - o_.tau) * (alpha * xs).sum(1);
  }

  Options o_;
};

}  // namespace

ZSTAR_SOLVER(Anderson, "torchdeq_anderson", "TorchDEQ's anderson, step by step")
