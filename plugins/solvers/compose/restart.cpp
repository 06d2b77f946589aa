/// \file A solver that is started afresh, sample by sample. Rules: README.md.
#include "cohorts.hpp"

namespace {

using torch::Tensor;
using zstar_compose::Best;
using zstar_compose::Cohorts;
using zstar_compose::Progress;

/// The inner solver, which forgets a sample after `every` evaluations of it, or where its residual grows or stalls; after growth
/// the sample goes on from its best iterate.
///
/// \par Cost per iteration  that of the inner solver, 4 passes over the state; on a device, one read-back of B numbers
class Restart final : public zstar::Solver, public zstar::Statistics {
 public:
  struct Options {
    zstar::Part solver{"anderson", {}};
    std::optional<std::int64_t> every;
    std::int64_t patience = 0;
    double growth = 4.0;
  };
  static auto options() {
    return std::tuple{
        zstar::part("solver", &Options::solver, "the solver that is started afresh", zstar::Kind::solver),
        zstar::opt("every", &Options::every, "evaluations from one start to the next; unset: only where it is needed", zstar::at_least(2)),
        zstar::opt("patience", &Options::patience, "evaluations without 5 % progress after which a sample starts afresh; 0: never",
                   zstar::at_least(0)),
        zstar::opt("growth", &Options::growth, "residual, in multiples of the best, after which a sample starts afresh from its best",
                   zstar::above(1.0))};
  }
  Restart(const Options& o, zstar::Host& host)
      : o_(o), best_(host.products()), first_(zstar_compose::inner_solver(host, o.solver, "solver")),
        cohorts_([this, &host](std::size_t) { return first_ ? std::move(first_) : zstar_compose::inner_solver(host, o_.solver, "solver"); }) {}

  void* query(std::string_view id) override { return id == zstar::Statistics::id ? static_cast<zstar::Statistics*>(this) : nullptr; }
  std::vector<std::pair<std::string, Tensor>> statistics() override { return {cohorts_.line_searches()}; }

  void begin(std::int64_t batch, std::int64_t width) override {
    cohorts_.begin(batch, width);
    progress_.begin(batch);
    best_.clear();
  }
  void keep(const Tensor& rows) override {
    cohorts_.keep(rows);
    progress_.keep(rows);
    best_.keep(rows);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const Tensor size2 = best_.note(z, fz);
    std::vector<std::int64_t> again, back;
    for (std::int64_t b = 0; b < size2.size(0); ++b) {
      const auto verdict = progress_.judge(b, size2.data_ptr<double>()[b], o_.growth, o_.patience);
      if (verdict == Progress::Verdict::well && !(o_.every && progress_.age(b) > *o_.every)) continue;
      progress_.renew(b);
      again.push_back(b);
      if (verdict == Progress::Verdict::failed) back.push_back(b);
    }
    cohorts_.move(again, 0);
    return best_.propose(cohorts_, back, z, fz);
  }

 private:
  Options o_;
  Best best_;
  std::unique_ptr<zstar::Solver> first_;  // made by the constructor to check the name, used for the first cohort
  Cohorts cohorts_;
  Progress progress_;
};

}  // namespace

ZSTAR_SOLVER(Restart, "restart", "another solver, started afresh for each sample that needs it")
