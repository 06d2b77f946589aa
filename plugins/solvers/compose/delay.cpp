/// \file Plain steps before another solver begins. Rules: README.md.
#include "cohorts.hpp"

namespace {

using torch::Tensor;

/// `steps` steps z + β r, then the inner solver, which knows nothing of them.
///
/// \par Cost per iteration  that of the inner solver
class Delay final : public zstar::Solver {
 public:
  struct Options {
    zstar::Part solver{"anderson", {}};
    std::int64_t steps = 3;
    double beta = 1.0;
  };
  static auto options() {
    return std::tuple{zstar::part("solver", &Options::solver, "the solver that begins later", zstar::Kind::solver),
                      zstar::opt("steps", &Options::steps, "plain steps before", zstar::at_least(0)),
                      zstar::opt("beta", &Options::beta, "β, mixing of the plain steps", zstar::within(0.0, 2.0))};
  }
  Delay(const Options& o, zstar::Host& host) : o_(o), inner_(zstar_compose::inner_solver(host, o.solver, "solver")) {}

  void* query(std::string_view id) override { return inner_->query(id); }

  void begin(std::int64_t batch, std::int64_t width) override {
    batch_ = batch, width_ = width, step_ = 0;
    inner_->begin(batch, width);
  }
  void keep(const Tensor& rows) override {
    batch_ = rows.size(0);
    if (step_ > o_.steps) inner_->keep(rows);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    if (step_ < o_.steps) {
      ++step_;
      return zstar::mixed(z, fz, o_.beta);
    }
    if (step_ == o_.steps) {
      inner_->begin(batch_, width_);  // rows may have left since
      ++step_;
    }
    return inner_->propose(z, fz);
  }

 private:
  Options o_;
  std::unique_ptr<zstar::Solver> inner_;
  std::int64_t batch_ = 0, width_ = 0, step_ = 0;
};

}  // namespace

ZSTAR_SOLVER(Delay, "delay", "plain steps before another solver begins")
