/// \file The reference's fixed_point_iter and simple_fixed_point_iter.
#include "record.hpp"

namespace {

using torch::Tensor;
using zstar_torchdeq::Compatible;
using zstar_torchdeq::row_norm;

/// z_k = τ f(z_{k−1}) + (1−τ) z_{k−1}; the residual ‖z_k − z_{k−1}‖ is that of the state before, scaled by τ.
class FixedPoint final : public Compatible {
 public:
  struct Options {
    double tau = 1.0;
    bool return_final = false;
  };
  static auto options() {
    return std::tuple{zstar::opt("tau", &Options::tau, "τ, mixing"),
                      zstar::opt("return_final", &Options::return_final, "run all steps and return the last state")};
  }
  FixedPoint(const Options& o, zstar::Host&)
      : Compatible({{"budgets", "TorchDEQ returns the image of the iterate that it measured"}}), o_(o) {}

  Tensor drive(zstar::Evaluator& f, const Tensor& z0) override {
    const std::int64_t steps = f.limits().max_evaluations;
    record_.begin(f.limits(), z0, o_.return_final, steps + 1);
    Tensor z = z0;
    for (std::int64_t k = 1; k <= steps; ++k) {
      const Tensor fz = call(f, z), next = o_.tau == 1.0 ? fz : o_.tau * fz + (1 - o_.tau) * z;
      const bool stop = record_.offer(next, row_norm(next - z), row_norm(next) + 1e-9, k);
      z = next;
      record_.sample(f, k);
      if (stop) break;
    }
    record_.sample_at_end(f, record_.best());
    return record_.best();
  }

 private:
  Options o_;
};

/// A fixed number of steps, no stop, no best state.
class Simple final : public Compatible {
 public:
  struct Options {
    double tau = 1.0;
  };
  static auto options() { return std::tuple{zstar::opt("tau", &Options::tau, "τ, mixing")}; }
  Simple(const Options& o, zstar::Host&)
      : Compatible({{"at_solution", "TorchDEQ's simple iteration makes all its steps"},
                    {"nonfinite", "it keeps no best iterate"},
                    {"budgets", "it returns the image of the last iterate"},
                    {"options", "it takes any tau, and keeps no best iterate"},
                    {"finite", "it keeps no best iterate"}}),
        tau_(o.tau) {}

  Tensor drive(zstar::Evaluator& f, const Tensor& z0) override {
    const std::int64_t steps = f.limits().max_evaluations;
    record_.begin(f.limits(), z0, false, 1);
    Tensor z = z0, before = z0;
    for (std::int64_t k = 1; k <= steps; ++k) {
      before = z;
      const Tensor fz = call(f, z);
      z = tau_ == 1.0 ? fz : tau_ * fz + (1 - tau_) * z;
      for (const std::int64_t at : f.limits().sample_at)
        if (at == k) record_.sample_state(f, z);
    }
    const Tensor step = row_norm(z - before).to(torch::kFloat64).cpu();
    record_.replace({step}, {step / (row_norm(z).to(torch::kFloat64).cpu() + 1e-8)});
    return z;
  }

 private:
  double tau_;
};

}  // namespace

ZSTAR_SOLVER(FixedPoint, "torchdeq_fixed_point", "TorchDEQ's fixed_point_iter, step by step")
ZSTAR_SOLVER(Simple, "torchdeq_simple", "TorchDEQ's simple_fixed_point_iter, step by step")
