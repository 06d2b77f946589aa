#pragma once
/// \file GradientWatch: certificates of the gradients of a run, and what happens to bad ones.

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "core/gradient/certificate.hpp"
#include "core/runs/checkpoint.hpp"
#include "core/runs/metrics.hpp"
#include "core/training/console.hpp"

namespace zstar::training {

class GradientWatch {
 public:
  explicit GradientWatch(gradient::Layer& layer) : layer_(layer) {}

  /// A batch of optimiser step `step` begins: if it is due, the layer leaves what certificates need.
  void begin(std::int64_t step);
  /// Whether the backward pass must keep its graph, so that a bad gradient can be refined.
  bool keeps_graph() const { return due_ && layer_.options().on_bad_gradient == "refine"; }
  /// The backward pass of the batch is over: certifies it and does what the experiment says to a bad gradient.
  /// \throws std::runtime_error  where a bad gradient ends the run
  void judge(std::int64_t step, Console& console);
  /// Whether the step must be left out; forgotten with the call.
  bool spoilt() { return std::exchange(spoilt_, false); }

  /// Appends means and extremes since the last record, the kind in the name: gradient_error_bound or gradient_error_estimate.
  void flush(runs::Record& record);
  void save(runs::Checkpoint& checkpoint) const;
  void load(const runs::Checkpoint& checkpoint);

 private:
  void add(const gradient::GradientReport& report);
  void refine(const gradient::Watched& call, const gradient::GradientReport& report, std::int64_t step, Console& console);

  struct Sums {
    double certificates = 0, bad = 0, refined = 0, bounds = 0, error_bound = 0, error_estimate = 0, forward = 0, residual = 0, cosine = 1, sigma = INFINITY, products = 0;
  };
  gradient::Layer& layer_;
  std::vector<std::shared_ptr<gradient::Watched>> watched_;
  bool due_ = false, spoilt_ = false;
  Sums sums_;
};

}  // namespace zstar::training
