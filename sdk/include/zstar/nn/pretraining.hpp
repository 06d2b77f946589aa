#pragma once
/// \file The first batches of training, for which a map is unrolled instead of solved.

#include <cstdint>
#include <optional>

#include <torch/nn/module.h>

#include "zstar/abi/map.hpp"

namespace zstar::nn {

/// Counts those batches in the buffer `pretrained_batches` of a model, which checkpoints keep. \par Source  Bai, Koltun & Kolter, NeurIPS 2019 and 2020
class Pretraining {
 public:
  /// \param steps  batches; 0: none, and no buffer \param evaluations  of the unrolled map
  Pretraining(torch::nn::Module& model, std::int64_t steps, std::int64_t evaluations) : steps_(steps), evaluations_(evaluations) {
    if (steps > 0) seen_ = model.register_buffer("pretrained_batches", torch::zeros({}, torch::kInt64));
  }

  /// z after all evaluations on the graph, for one of the first batches of training; nothing for others and in evaluation, which are solved.
  std::optional<State> unrolled(const FixedPointMap& f, State z, bool training) {
    if (!training || !seen_.defined() || seen_.item<std::int64_t>() >= steps_) return {};
    seen_.add_(1);
    for (std::int64_t k = 0; k < evaluations_; ++k) z = f(z);
    return z;
  }

 private:
  std::int64_t steps_, evaluations_;
  Tensor seen_;
};

}  // namespace zstar::nn
