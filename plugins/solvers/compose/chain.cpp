/// \file A chain of solvers with hand-over for each sample. Rules: README.md.
#include "cohorts.hpp"

namespace {

using torch::Tensor;
using zstar_compose::Best;
using zstar_compose::Cohorts;
using zstar_compose::Progress;

/// Each sample begins with the first solver. Where it stalls, grows or is no longer finite, the sample goes to the next one, which
/// starts from the sample's best iterate and its image: no evaluation is repeated. The last solver keeps what it has; growth
/// and non-finite images send its samples back to their best.
///
/// \par Cost per iteration  that of the inner solvers, 4 passes over the state; on a device, one read-back of B numbers
class Chain final : public zstar::Solver, public zstar::Backtracking, public zstar::Statistics {
 public:
  struct Options {
    std::vector<zstar::Part> solvers{{"anderson", {}}, {"fixed_point", {{"beta", 0.5}}}, {"newton_krylov", {}}};
    std::int64_t patience = 10;
    double growth = 10.0;
  };
  static auto options() {
    return std::tuple{
        zstar::part("solvers", &Options::solvers, "the solvers, in the order in which they are tried", zstar::Kind::solver),
        zstar::opt("patience", &Options::patience, "evaluations without 5 % progress after which the next solver takes a sample",
                   zstar::at_least(1)),
        zstar::opt("growth", &Options::growth, "residual, in multiples of the best, at which it does", zstar::above(1.0))};
  }
  Chain(const Options& o, zstar::Host& host)
      : o_(o), best_(host.products()), cohorts_([this, &host](std::size_t i) {
          if (first_ && i == 0) return std::move(first_);
          return zstar_compose::inner_solver(host, o_.solvers[i], "solvers");
        }) {
    if (o_.solvers.empty()) throw zstar::OptionError("solvers", "'solvers' is empty; name at least one solver");
    for (std::size_t i = o_.solvers.size(); i-- > 0;) first_ = zstar_compose::inner_solver(host, o_.solvers[i], "solvers");
  }

  void* query(std::string_view id) override {
    if (id == zstar::Backtracking::id) return static_cast<zstar::Backtracking*>(this);
    if (id == zstar::Statistics::id) return static_cast<zstar::Statistics*>(this);
    return nullptr;
  }
  std::int64_t patience() const override { return static_cast<std::int64_t>(o_.solvers.size()); }
  /// Number of the solver that had each sample last, from 1.
  std::vector<std::pair<std::string, Tensor>> statistics() override { return {{"solver", torch::tensor(final_, torch::kInt64)}, cohorts_.line_searches()}; }

  void begin(std::int64_t batch, std::int64_t width) override {
    cohorts_.begin(batch, width);
    progress_.begin(batch);
    final_.assign(static_cast<std::size_t>(batch), 1);
    ids_.resize(static_cast<std::size_t>(batch));
    for (std::size_t b = 0; b < ids_.size(); ++b) ids_[b] = b;
    best_.clear();
  }
  void keep(const Tensor& rows) override {
    cohorts_.keep(rows);
    progress_.keep(rows);
    best_.keep(rows);
    const Tensor kept = rows.cpu().contiguous();
    std::vector<std::size_t> ids;
    for (std::int64_t i = 0; i < kept.size(0); ++i) ids.push_back(ids_[static_cast<std::size_t>(kept.data_ptr<std::int64_t>()[i])]);
    ids_ = std::move(ids);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const auto back = hand_over(best_.note(z, fz));
    return best_.propose(cohorts_, back, z, fz);
  }

 private:
  /// Moves the samples that must. \return them, rising
  std::vector<std::int64_t> hand_over(const Tensor& size2) {
    std::vector<std::vector<std::int64_t>> to(o_.solvers.size());
    std::vector<std::int64_t> all;
    for (std::int64_t b = 0; b < size2.size(0); ++b) {
      std::int64_t& stage = final_[ids_[static_cast<std::size_t>(b)]];
      const auto verdict = progress_.judge(b, size2.data_ptr<double>()[b], o_.growth, o_.patience);
      const bool last = stage == static_cast<std::int64_t>(o_.solvers.size());
      if (verdict == Progress::Verdict::well || (last && verdict == Progress::Verdict::stalled)) continue;
      stage += last ? 0 : 1;
      progress_.renew(b);
      to[static_cast<std::size_t>(stage - 1)].push_back(b);
      all.push_back(b);
    }
    for (std::size_t i = 0; i < to.size(); ++i) cohorts_.move(to[i], i);
    return all;
  }

  Options o_;
  Best best_;
  std::unique_ptr<zstar::Solver> first_;  // made by the constructor to check the names, used for the first cohort
  Cohorts cohorts_;
  Progress progress_;
  std::vector<std::int64_t> final_;   // solver of each sample of the solve, from 1
  std::vector<std::size_t> ids_;      // sample of each row
};

}  // namespace

ZSTAR_PLUGIN("zstar.compose", "0.1.0", "solvers made of other solvers")
ZSTAR_SOLVER(Chain, "chain", "several solvers: each sample goes to the next where one fails, from its best iterate")
