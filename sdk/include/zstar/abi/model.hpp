#pragma once
/// \file Model: parameters, the map, the loss and the metrics of a task.

#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "zstar/abi/dataset.hpp"
#include "zstar/abi/layer.hpp"

namespace zstar {

/// Sums over samples, by name; those of several batches are added.
using Sums = std::vector<std::pair<std::string, double>>;

struct Metric {
  std::string name;
  double value = 0;
  bool higher_is_better = true;
};

enum class Phase : std::uint32_t { training, evaluation };

/// A network with equilibria inside. Parameters have the published names, so that published checkpoints load.
class Model : public Object, public torch::nn::Module {
 public:
  /// A pass over a split begins: a model that remembers across batches forgets.
  virtual void begin_pass(Phase /*phase*/) {}
  /// One output for each state that the layer returned, the final one last.
  virtual std::vector<Tensor> forward(const Batch& batch) = 0;
  /// Mean loss of one output, rank 0.
  virtual Tensor loss(const Tensor& output, const Batch& batch) = 0;
  /// What the metrics need of one batch, as sums that add up over batches.
  virtual Sums measure(const Tensor& output, const Batch& batch) = 0;
  /// The metrics of the sums over a pass; the first one selects the best checkpoint.
  virtual std::vector<Metric> summarise(const Sums& sums) const = 0;
};

}  // namespace zstar
