#pragma once
/// \file The optimiser of an experiment with its schedule, clipping and averaged weights.

#include <memory>
#include <string>

#include <torch/optim/optimizer.h>

#include "core/experiment/experiment.hpp"
#include "core/runs/checkpoint.hpp"
#include "core/training/options.hpp"
#include "zstar/abi/model.hpp"

namespace zstar::training {

class Optimiser {
 public:
  Optimiser(const experiment::Experiment& experiment, Model& model, std::int64_t total_steps, std::int64_t steps_per_epoch = 1);

  void zero_grad();
  /// Clips, steps at the rate of `step`, averages. \return the gradient's 2-norm before clipping
  double step(std::int64_t step);
  double rate(std::int64_t step) const;
  /// While it lives, the model has the averaged weights, where they are kept.
  class Averaged {
   public:
    explicit Averaged(Optimiser& o) : o_(o) { o_.swap(); }
    Averaged(const Averaged&) = delete;
    Averaged& operator=(const Averaged&) = delete;
    ~Averaged() { o_.swap(); }

   private:
    Optimiser& o_;
  };

  void save(runs::Checkpoint& checkpoint) const;
  void load(const runs::Checkpoint& checkpoint);

 private:
  void swap();
  double clip();

  std::vector<Tensor> parameters_, average_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  TrainOptions train_;
  std::string schedule_;
  ScheduleOptions schedule_options_;
  double lr_ = 0;
  std::int64_t total_steps_;
};

}  // namespace zstar::training
