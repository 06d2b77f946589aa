#include "core/solve/loop.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>

#include "core/solve/measure.hpp"
#include "zstar/guard.hpp"
#include "zstar/line_search.hpp"

namespace zstar::solve {
namespace {

/// One solve by proposals. Between stop tests (`check_every` > 1) residuals stay on the device; the states of that
/// interval are kept, so that the best of them is found when the numbers arrive.
class Loop {
 public:
  Loop(Solver& solver, const std::string& who, const RowMap& map, const Tensor& z0, double epsilon, const Options& options,
       const std::vector<std::int64_t>& sample_at, std::int64_t patience)
      : solver_(solver), who_(who), map_(map), options_(options), sample_at_(sample_at), f_(map.f), z_(z0), best_(z0), last_(z0),
        monitor_(options, z0.size(0), z0.size(1), epsilon, patience),
        check_every_(options.check_every.value_or(z0.is_cpu() ? 1 : 5)), norms_(torch::empty({2, z0.size(0)}, torch::kFloat64)) {}

  PackedOutcome run() {
    guarded([&] { return call_text(solver_, who_, "begin", {z_}); }, [&] { solver_.begin(z_.size(0), z_.size(1)); });
    for (std::int64_t call = 1; call <= options_.max_evaluations; ++call) {
      const Tensor fz = f_(z_);
      observe(z_, fz);
      if (call == options_.max_evaluations || static_cast<std::int64_t>(waiting_.size()) >= check_every_) check();
      if (monitor_.running_count() == 0 || call == options_.max_evaluations) break;
      advance(fz);
      while (next_sample_ < sample_at_.size() && sample_at_[next_sample_] == call) {
        samples_.push_back(whole(z_));
        ++next_sample_;
      }
    }
    return finish();
  }

 private:
  const std::vector<std::int64_t>* rows() const { return compacted_ ? &rows_ : nullptr; }

  void observe(const Tensor& z, const Tensor& fz) {
    if (z.is_cpu() && check_every_ == 1 && z.is_contiguous() && fz.is_contiguous() &&
        (z.scalar_type() == torch::kFloat32 || z.scalar_type() == torch::kFloat64)) {
      measure_cpu(z, fz, norms_.data_ptr<double>());
      note(z, norms_.data_ptr<double>());
      return;
    }
    waiting_.push_back({z, measure(z, fz)});
  }

  void note(const Tensor& z, const double* norms) {
    monitor_.evaluated(norms, rows());
    best_.update(z, monitor_, rows());
    changed_ = changed_ || monitor_.changed();
  }

  /// Reads back what was measured since the last test: the only synchronisation of the loop.
  void check() {
    if (waiting_.empty()) return;
    std::vector<Tensor> norms;
    for (const auto& [z, n] : waiting_) norms.push_back(n);
    const Tensor all = torch::stack(norms).cpu().contiguous();
    for (std::size_t i = 0; i < waiting_.size(); ++i)
      note(waiting_[i].first, all.data_ptr<double>() + static_cast<std::int64_t>(i) * all.stride(0));
    waiting_.clear();
  }

  void advance(const Tensor& fz) {
    const Tensor next = guarded([&] { return call_text(solver_, who_, "propose", {z_, fz}); }, [&] { return solver_.propose(z_, fz); });
    if (changed_ && options_.finished == "compact" && map_.at_rows) compact();
    if (compacted_now_) {
      z_ = next.index_select(0, kept_).contiguous();
      compacted_now_ = false;
    } else if (monitor_.running_count() < held()) {
      z_ = frozen_rows(next);
    } else {
      z_ = next.contiguous();
    }
    changed_ = false;
  }

  std::int64_t held() const { return compacted_ ? static_cast<std::int64_t>(rows_.size()) : z_.size(0); }

  /// Samples that have stopped keep their iterate: by selection, never by multiplication.
  Tensor frozen_rows(const Tensor& next) {
    if (changed_ || !mask_.defined()) {
      mask_ = torch::empty({held(), 1}, torch::kBool);
      for (std::int64_t row = 0; row < held(); ++row)
        mask_[row][0] = monitor_.running(compacted_ ? rows_[static_cast<std::size_t>(row)] : row);
      mask_ = mask_.to(z_.device());
    }
    return torch::where(mask_, next, z_);
  }

  /// Once less than four fifths of the rows held are running, the others leave the batch: a gather costs about one pass over
  /// what the solver remembers, and is made at most log(B) / log(5/4) times.
  void compact() {
    if (5 * monitor_.running_count() >= 4 * held()) return;
    if (!compacted_) full_ = z_.clone();
    std::vector<std::int64_t> kept, left;
    for (std::int64_t row = 0; row < held(); ++row) {
      const std::int64_t sample = compacted_ ? rows_[static_cast<std::size_t>(row)] : row;
      if (!monitor_.running(sample)) continue;
      kept.push_back(row);
      left.push_back(sample);
    }
    full_ = whole(z_);
    rows_ = std::move(left);
    compacted_ = compacted_now_ = true;
    kept_ = torch::tensor(kept, torch::kInt64).to(z_.device());
    mask_ = Tensor();
    guarded([&] { return call_text(solver_, who_, "keep", {kept_}); }, [&] { solver_.keep(kept_); });
    f_ = map_.at_rows(torch::tensor(rows_, torch::kInt64).to(z_.device()));
  }

  /// The state of all samples: those that left the batch as they were then.
  Tensor whole(const Tensor& z) const {
    if (!compacted_) return z;
    return full_.index_copy(0, torch::tensor(rows_, torch::kInt64).to(z.device()), z);
  }

  PackedOutcome finish() {
    const bool last = options_.select == "last";
    PackedOutcome out{last ? whole(z_) : best_.z(), monitor_.finish(last), std::move(samples_)};
    if (out.z.is_same(last_) || out.z.is_alias_of(last_)) out.z = out.z.clone();  // z0 belongs to the caller
    while (out.samples.size() < sample_at_.size()) out.samples.push_back(out.z);
    return out;
  }

  Solver& solver_;
  const std::string& who_;
  const RowMap& map_;
  const Options& options_;
  const std::vector<std::int64_t>& sample_at_;
  PackedMap f_;
  Tensor z_;
  Best best_;
  const Tensor last_;  // z0
  Monitor monitor_;
  std::int64_t check_every_;
  Tensor norms_, mask_, kept_, full_;
  std::vector<std::pair<Tensor, Tensor>> waiting_;
  std::vector<std::int64_t> rows_;
  std::vector<Tensor> samples_;
  std::size_t next_sample_ = 0;
  bool compacted_ = false, compacted_now_ = false, changed_ = false;
};

/// One solve by a method that chooses its own evaluations.
class Driven final : public Evaluator {
 public:
  Driven(Solver& solver, Driver& driver, const std::string& who, const RowMap& map, const Tensor& z0, double epsilon, const Options& options,
         const std::vector<std::int64_t>& sample_at)
      : solver_(solver), driver_(driver), who_(who), map_(map), z0_(z0), best_(z0),
        limits_{options.max_evaluations, options.tolerance, options.stop == "relative", sample_at},
        enforced_(driver.enforced(limits_)), monitor_(options, z0.size(0), z0.size(1), epsilon, /*patience=*/0) {}

  std::optional<Tensor> evaluate(const Tensor& z, Purpose purpose) override {
    if (monitor_.calls() >= enforced_.max_evaluations) return std::nullopt;
    if (enforced_.stop_early && monitor_.running_count() == 0) return std::nullopt;
    Tensor fz = evaluated(z);
    if (purpose == Purpose::probe) {
      monitor_.probed();
      return fz;
    }
    const Tensor norms = measure(z.contiguous(), fz).cpu().contiguous();
    monitor_.evaluated(norms.data_ptr<double>(), nullptr);
    best_.update(z, monitor_, nullptr);
    line_search_calls_ += purpose == Purpose::line_search;
    return fz;
  }
  void sample(const Tensor& z) override { samples_.push_back(z); }
  const Limits& limits() const override { return limits_; }

  PackedOutcome run() {
    const Tensor z = driven();
    const bool own = z.defined() && !z.is_same(best_.z());
    PackedOutcome out{own ? z : best_.z(), monitor_.finish(/*last=*/false), std::move(samples_)};
    out.report.line_search_calls = line_search_calls_;
    if (own) not_measured(out.report);
    if (out.z.is_alias_of(z0_)) out.z = out.z.clone();
    while (out.samples.size() < limits_.sample_at.size()) out.samples.push_back(out.z);
    return out;
  }

 private:
  /// f(z); what f throws passes through the method unchanged, for it is not the method's.
  Tensor evaluated(const Tensor& z) {
    try {
      return map_.f(z);
    } catch (...) {
      of_map_ = std::current_exception();
      throw;
    }
  }

  Tensor driven() {
    try {
      return guarded([&] { return call_text(solver_, who_, "drive", {z0_}); }, [&] { return driver_.drive(*this, z0_); });
    } catch (const PartError&) {
      if (of_map_) std::rethrow_exception(of_map_);
      throw;
    }
  }

  /// A returned state that is none of those evaluated has no known residual.
  static void not_measured(Report& report) {
    std::fill(report.residual.begin(), report.residual.end(), std::numeric_limits<double>::quiet_NaN());
    std::fill(report.relative.begin(), report.relative.end(), std::numeric_limits<double>::quiet_NaN());
    std::fill(report.best.begin(), report.best.end(), 0);
  }

  Solver& solver_;
  Driver& driver_;
  const std::string& who_;
  const RowMap& map_;
  const Tensor& z0_;
  Best best_;
  Limits limits_, enforced_;
  Monitor monitor_;
  std::int64_t line_search_calls_ = 0;
  std::exception_ptr of_map_;
  std::vector<Tensor> samples_;
};

/// Takes the statistics of the solver, of which calls of a line search have a place of their own in the report.
void take_statistics(Statistics& statistics, Report& report) {
  report.statistics = statistics.statistics();
  std::erase_if(report.statistics, [&report](const auto& entry) {
    if (entry.first != LineSearchCalls::name) return false;
    report.line_search_calls += entry.second.template item<std::int64_t>();
    return true;
  });
}

}  // namespace

PackedOutcome run(Solver& solver, const std::string& name, const RowMap& map, const Tensor& z0, double epsilon,
                  const Options& options, const std::vector<std::int64_t>& sample_at) {
  const torch::NoGradGuard no_grad;
  const std::string who = "solver '" + name + "'";
  PackedOutcome out;
  if (z0.size(0) == 0) {
    out.z = z0.clone();
    out.samples.assign(sample_at.size(), out.z);
  } else if (Driver* driver = query<Driver>(solver)) {
    guarded([&] { return call_text(solver, who, "begin", {z0}); }, [&] { solver.begin(z0.size(0), z0.size(1)); });
    out = Driven(solver, *driver, who, map, z0, epsilon, options, sample_at).run();
  } else {
    const Backtracking* backtracking = query<Backtracking>(solver);
    out = Loop(solver, who, map, z0, epsilon, options, sample_at, backtracking ? backtracking->patience() : 0).run();
  }
  out.report.method = name;
  if (Statistics* statistics = z0.size(0) == 0 ? nullptr : query<Statistics>(solver))
    guarded([&] { return call_text(solver, who, "statistics"); }, [&] { take_statistics(*statistics, out.report); });
  return out;
}

}  // namespace zstar::solve
