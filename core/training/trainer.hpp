#pragma once
/// \file Trainer: the loop over epochs and batches, and everything it must be able to go on with.

#include <map>
#include <optional>

#include "core/runs/metrics.hpp"
#include "core/training/console.hpp"
#include "core/training/gradient_watch.hpp"
#include "core/training/optimiser.hpp"
#include "core/training/penalties.hpp"
#include "core/training/session.hpp"
#include "core/training/signals.hpp"
#include "core/training/solve_statistics.hpp"

namespace zstar::training {

/// Weights w(n, k) of the losses of n states: exp γ^(n−1−k), linear 1 − γ (n−k−1)/n + bias, const γ.
double correction_weight(const std::string& kind, double gamma, double bias, std::int64_t n, std::int64_t k);

/// Metrics and mean loss of a split, in evaluation mode without gradient. \param signals  given up when one came: nothing is returned
std::vector<Metric> evaluate_split(Session& session, Split split, std::int64_t batch_size, const SignalWatch* signals = nullptr);

/// The split by which evaluations select the best checkpoint: validation, or test where there is no other; empty: there is neither.
std::string selecting_split(const Dataset& data);

class Trainer {
 public:
  Trainer(const experiment::Experiment& experiment, Session& session, std::filesystem::path run, Console& console);

  /// Goes on from the newest checkpoint of the run that can be read. \return whether there was one
  /// \throws runs::RunError  if there are some and none is good, or none although the run has records
  bool resume();
  /// \param most_steps  stop after so many; negative: as the experiment says
  RunEnd run(std::int64_t most_steps);
  /// Optimiser steps so far.
  std::int64_t steps() const { return step_; }
  /// Of the last batch; 0 before the first.
  double last_loss() const { return last_loss_; }
  const SignalWatch& signals() const { return signals_; }
  RunEnd ended_by_signal() const { return signals_.caught() == 2 ? RunEnd::interrupted : RunEnd::terminated; }
  /// Solves of the training so far.
  const SolveStatistics& solves() const { return statistics_; }

 private:
  struct Clock {
    double data = 0, forward = 0, backward = 0;
  };
  std::int64_t steps_per_epoch() const { return (batches_per_epoch_ + train_.accumulate - 1) / train_.accumulate; }
  bool train_until_evaluation();
  void step(const Batch& batch);
  double share_of_step() const;
  Tensor total_loss(const Batch& batch, const std::vector<Tensor>& outputs);
  bool apply();
  void record_training();
  bool evaluate();
  std::vector<runs::Record> evaluate_splits(std::optional<Metric>& selecting);
  bool is_best(const Metric& metric, double loss) const;
  void checkpoint(const runs::Checkpoint* best = nullptr);
  void restore(const runs::Checkpoint& checkpoint);
  bool finished() const;
  void progress();

  const experiment::Experiment& experiment_;
  Session& session_;
  /// Of the best evaluation so far.
  struct Best {
    double metric, loss;
  };

  const std::filesystem::path run_;
  Console& console_;
  const TrainOptions train_;
  const EvalOptions eval_;
  std::int64_t batches_per_epoch_, total_steps_;
  Optimiser optimiser_;
  runs::MetricsFile metrics_;
  SignalWatch signals_;
  std::vector<Solved> solves_;
  SolveStatistics statistics_;
  GradientWatch watch_;
  Penalties penalties_;
  Clock clock_;
  at::Generator generator_;

  std::int64_t step_ = 0, epoch_ = 0, batch_ = 0, pending_ = 0, evaluations_without_gain_ = 0, skipped_ = 0;
  std::vector<std::int64_t> pass_;  ///< samples of each batch of this pass
  bool evaluation_due_ = false, resumed_ = false;
  std::optional<Best> best_;
  std::string latest_metric_;  ///< "accuracy 0.98" of the last evaluation
  double loss_sum_ = 0, last_loss_ = 0;
  std::int64_t loss_count_ = 0, samples_ = 0, records_ = 0;
};

}  // namespace zstar::training
