#pragma once
/// \file The statistics of the reference implementation: what it counts, keeps and reports, step by step.

#include <zstar/claims.hpp>
#include <zstar/sdk.hpp>

namespace zstar_torchdeq {
namespace {

using torch::Tensor;

/// Keeps what the reference keeps: the lowest residual of both kinds, its step, the best state of the stop mode, and both
/// traces, which begin with 1e8.
class Record {
 public:
  void begin(const zstar::Limits& limits, const Tensor& z0, bool return_final, std::int64_t trace_length) {
    *this = Record();
    limits_ = limits;
    return_final_ = return_final;
    trace_length_ = trace_length;
    const auto numbers = torch::TensorOptions().dtype(torch::kFloat64);
    lowest_[0] = lowest_[1] = torch::full({z0.size(0)}, 1e8, numbers);
    nstep_ = torch::zeros({z0.size(0)}, numbers);
    traces_[0] = traces_[1] = {lowest_[0]};
    best_ = z0;
  }

  /// Candidate x of step n. \param absolute, scale  residual and what it is divided by, [B]
  /// \return whether the reference would stop: its largest residual is below the tolerance
  bool offer(const Tensor& x, const Tensor& absolute, const Tensor& scale, std::int64_t n) {
    const Tensor residuals[2] = {absolute.to(torch::kFloat64).cpu(), (absolute / scale).to(torch::kFloat64).cpu()};
    const int mode = limits_.relative ? 1 : 0;
    for (int k = 0; k < 2; ++k) {
      traces_[k].push_back(residuals[k]);
      const Tensor better = return_final_ ? torch::ones_like(lowest_[k], torch::kBool) : residuals[k] < lowest_[k];
      lowest_[k] = torch::where(better, residuals[k], lowest_[k]);
      if (k != mode) continue;
      nstep_ = torch::where(better, torch::full_like(nstep_, static_cast<double>(n)), nstep_);
      best_ = torch::where(better.to(x.device()).unsqueeze(1), x, best_);
    }
    return !return_final_ && residuals[mode].max().item<double>() < limits_.tolerance;
  }

  /// Hands the best state over if `step` is in the list.
  void sample(zstar::Evaluator& f, std::int64_t step) {
    for (const std::int64_t at : limits_.sample_at)
      if (at == step) sample_state(f, best_);
  }
  void sample_state(zstar::Evaluator& f, const Tensor& z) {
    f.sample(z);
    ++sampled_;
  }
  /// A list that matched no step still gets one state.
  void sample_at_end(zstar::Evaluator& f, const Tensor& z) {
    if (!limits_.sample_at.empty() && sampled_ == 0) sample_state(f, z);
  }

  const Tensor& best() const { return best_; }
  bool return_final() const { return return_final_; }
  const zstar::Limits& limits() const { return limits_; }
  const std::vector<Tensor>& trace() const { return traces_[limits_.relative ? 1 : 0]; }

  std::vector<std::pair<std::string, Tensor>> statistics() const {
    return {{"abs_lowest", lowest_[0]}, {"rel_lowest", lowest_[1]}, {"abs_trace", padded(0)}, {"rel_trace", padded(1)},
            {"nstep", nstep_}, {"sampled", torch::tensor(sampled_)}};
  }

  void replace(std::vector<Tensor> absolute, std::vector<Tensor> relative) {
    traces_[0] = std::move(absolute), traces_[1] = std::move(relative);
    lowest_[0] = traces_[0].back(), lowest_[1] = traces_[1].back();
    nstep_ = torch::full_like(lowest_[0], static_cast<double>(limits_.max_evaluations));
  }

 private:
  Tensor padded(int kind) const {
    std::vector<Tensor> columns = traces_[kind];
    while (static_cast<std::int64_t>(columns.size()) < trace_length_) columns.push_back(lowest_[kind]);
    return columns.empty() ? Tensor() : torch::stack(columns, 1);
  }

  zstar::Limits limits_;
  bool return_final_ = false;
  std::int64_t trace_length_ = 0, sampled_ = 0;
  Tensor lowest_[2], nstep_, best_;
  std::vector<Tensor> traces_[2];  // absolute, relative
};

/// ‖v‖₂ of every row, [B].
inline Tensor row_norm(const Tensor& v) { return v.norm(2, {1}, /*keepdim=*/false); }

/// What the four compatible solvers share: they drive f themselves and stop by the reference's own rules.
class Compatible : public zstar::Solver, public zstar::Driver, public zstar::Statistics {
 public:
  void* query(std::string_view id) final {
    if (id == zstar::Driver::id) return static_cast<zstar::Driver*>(this);
    if (id == zstar::Statistics::id) return static_cast<zstar::Statistics*>(this);
    if (id == zstar::Exemptions::id) return &exemptions_;
    return nullptr;
  }
  void begin(std::int64_t, std::int64_t) final {}
  void keep(const Tensor&) final {}
  Tensor propose(const Tensor&, const Tensor&) final {
    throw std::logic_error("a compatible solver chooses its own evaluations");
  }
  zstar::Limits enforced(const zstar::Limits& asked) const final {
    zstar::Limits limits = asked;
    limits.max_evaluations = std::numeric_limits<std::int64_t>::max();  // the reference counts in its own way
    limits.stop_early = false;
    return limits;
  }
  std::vector<std::pair<std::string, Tensor>> statistics() final { return record_.statistics(); }

 protected:
  /// \param exempt  checks of the contract that the reference's own rules break
  explicit Compatible(std::vector<zstar::Exemptions::Exemption> exempt) : exemptions_{std::move(exempt)} {}
  static Tensor call(zstar::Evaluator& f, const Tensor& z, zstar::Purpose purpose = zstar::Purpose::step) {
    return *f.evaluate(z, purpose);
  }
  Record record_;

 private:
  zstar::Exemptions exemptions_;
};

}  // namespace
}  // namespace zstar_torchdeq
