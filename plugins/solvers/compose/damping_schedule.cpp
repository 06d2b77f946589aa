/// \file Damping that changes as the solve goes on. Rules: README.md.
#include "cohorts.hpp"

namespace {

using torch::Tensor;

/// z⁺ = z + β_k (inner proposal − z), β_k from `from` to `to` over `steps` steps.
///
/// \par Cost per iteration  that of the inner solver and one pass over the state
class DampingSchedule final : public zstar::Solver {
 public:
  struct Options {
    zstar::Part solver{"anderson", {}};
    double from = 0.3, to = 1.0;
    std::int64_t steps = 10;
    std::string shape = "linear";
  };
  static auto options() {
    return std::tuple{
        zstar::part("solver", &Options::solver, "the solver whose steps are damped", zstar::Kind::solver),
        zstar::opt("from", &Options::from, "β of the first step", zstar::Range{.low = 0, .high = 2, .open_low = true}),
        zstar::opt("to", &Options::to, "β from step `steps` on", zstar::Range{.low = 0, .high = 2, .open_low = true}),
        zstar::opt("steps", &Options::steps, "steps from the first β to the last", zstar::at_least(1)),
        zstar::choice("shape", &Options::shape, "how β goes between", {"linear", "cosine", "geometric"})};
  }
  DampingSchedule(const Options& o, zstar::Host& host) : o_(o), inner_(zstar_compose::inner_solver(host, o.solver, "solver")) {}

  void* query(std::string_view id) override { return id == zstar::InverseJacobian::id || id == zstar::Statistics::id ? inner_->query(id) : nullptr; }

  void begin(std::int64_t batch, std::int64_t width) override {
    inner_->begin(batch, width);
    step_ = 0;
  }
  void keep(const Tensor& rows) override { inner_->keep(rows); }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const double beta = beta_at(step_++);
    const Tensor next = inner_->propose(z, fz);
    return zstar::mixed(z, next, beta);
  }

 private:
  double beta_at(std::int64_t step) const {
    const double t = std::min(1.0, static_cast<double>(step) / static_cast<double>(o_.steps));
    if (t == 1.0) return o_.to;
    if (o_.shape == "geometric") return o_.from * std::pow(o_.to / o_.from, t);
    const double s = o_.shape == "cosine" ? 0.5 - 0.5 * std::cos(M_PI * t) : t;
    return o_.from + s * (o_.to - o_.from);
  }

  Options o_;
  std::unique_ptr<zstar::Solver> inner_;
  std::int64_t step_ = 0;
};

}  // namespace

ZSTAR_SOLVER(DampingSchedule, "damping_schedule", "another solver with steps damped by a factor that changes from step to step")
