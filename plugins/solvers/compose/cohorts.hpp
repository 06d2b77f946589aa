#pragma once
/// \file Solvers inside solvers: copies of them, each for some samples of a batch.

#include <functional>
#include <memory>
#include <vector>

#include <zstar/line_search.hpp>
#include <zstar/mixed.hpp>
#include <zstar/residual_window.hpp>
#include <zstar/sdk.hpp>

namespace zstar_compose {

using torch::Tensor;

/// The solver that an option names. \throws zstar::OptionError if it chooses its own evaluations: it has no proposals
std::unique_ptr<zstar::Solver> inner_solver(zstar::Host& host, const zstar::Part& part, const char* option);

/// Solvers of several kinds side by side. Each sample belongs to one copy of one kind; the samples of a copy were given to it
/// together and are a batch of their own to it.
class Cohorts {
 public:
  using Make = std::function<std::unique_ptr<zstar::Solver>(std::size_t kind)>;
  explicit Cohorts(Make make) : make_(std::move(make)) {}

  /// All samples to one copy of kind 0.
  void begin(std::int64_t batch, std::int64_t width);
  void keep(const Tensor& rows);
  /// Gives these samples to a new copy, which knows nothing of them. \param samples  rising
  void move(const std::vector<std::int64_t>& samples, std::size_t kind);
  Tensor propose(const Tensor& z, const Tensor& fz);
  /// Calls of f at which any copy, also one that is no more, stood at a shortened step: one call is counted once.
  std::pair<std::string, Tensor> line_searches() const { return searches_.statistic(); }

 private:
  struct Cohort {
    std::unique_ptr<zstar::Solver> solver;
    std::vector<std::int64_t> samples;
    std::size_t kind;
    bool begun = false;      // it has proposed: a solver that has not remembers no rows
    bool searches = true;    // its solver may count line searches
    Tensor searched = {};    // how many it has counted
  };
  void leave(Cohort& cohort, const std::vector<char>& gone);
  /// What the copy proposes. \param searched  takes, of a solver that counts its line searches, whether it stood at a shortened step
  static Tensor proposed(Cohort& cohort, const Tensor& z, const Tensor& fz, std::vector<Tensor>& searched);

  Make make_;
  std::vector<Cohort> cohorts_;
  zstar::LineSearchCalls searches_;
  std::int64_t batch_ = 0, width_ = 0;
  torch::Device device_ = torch::kCPU;  // of the state, where solvers want their indices
};

/// What each sample has reached since it was last given away: numbers on the host.
class Progress {
 public:
  void begin(std::int64_t batch) { samples_.assign(static_cast<std::size_t>(batch), {}); }
  void keep(const Tensor& rows);
  enum class Verdict { well, stalled, failed };
  /// Notes ‖r‖² of an evaluation. \param growth  failed: not finite, or more than this many times the best
  /// \param patience  stalled: evaluations without 5 % progress; 0: never. A sample without a residual is at its end and always well
  Verdict judge(std::int64_t sample, double size2, double growth, std::int64_t patience);
  void renew(std::int64_t sample);
  std::int64_t age(std::int64_t sample) const { return samples_[static_cast<std::size_t>(sample)].age; }

 private:
  struct Sample {
    double best = INFINITY, mark = INFINITY;
    std::int64_t age = 0, idle = 0;
  };
  std::vector<Sample> samples_;
};

/// The best iterate of each sample and its image, from which it may go on without a new evaluation. A sample that stands where it stood,
/// though it was sent elsewhere, has been stopped: nothing that happens to it any more is judged.
class Best {
 public:
  explicit Best(zstar::Products& products) : products_(products) {}
  void clear() { z_ = fz_ = size2_ = stood_ = sent_ = stopped_ = Tensor(); }
  void keep(const Tensor& rows) { zstar::keep_rows({&z_, &fz_, &size2_, &stood_, &sent_, &stopped_}, rows); }
  /// \return ‖f(z) − z‖² on the host, [B], 0 for samples that have been stopped; on a device this is one read-back
  Tensor note(const Tensor& z, const Tensor& fz);
  /// What the cohorts propose, the samples `back` from their best iterate. \param back  rising
  Tensor propose(Cohorts& cohorts, const std::vector<std::int64_t>& back, const Tensor& z, const Tensor& fz);

 private:
  Tensor proposed(Cohorts& cohorts, const std::vector<std::int64_t>& back, const Tensor& z, const Tensor& fz) const;

  zstar::Products& products_;
  Tensor z_, fz_, size2_;
  Tensor stood_, sent_, stopped_;  // the last iterate, what was proposed from it; bool [B]
};

}  // namespace zstar_compose
