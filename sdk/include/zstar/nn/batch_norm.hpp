#pragma once
/// \file Batch normalisation with the names of published checkpoints.

#include <torch/nn/module.h>

#include "zstar/abi/state.hpp"
#include "zstar/nn/checkpoint.hpp"

namespace zstar::nn {

/// Normalises channels over batch and positions; momentum 0.1, ε 1e-5.
/// \par Parameters  weight, bias [C] (if affine); buffers running_mean, running_var [C], num_batches_tracked
/// \par Source  Ioffe & Szegedy, ICML 2015
class BatchNorm final : public torch::nn::Module {
 public:
  explicit BatchNorm(std::int64_t channels, bool affine = true) {
    if (affine) weight_ = register_parameter("weight", torch::ones({channels}));
    if (affine) bias_ = register_parameter("bias", torch::zeros({channels}));
    mean_ = register_buffer("running_mean", torch::zeros({channels}));
    variance_ = register_buffer("running_var", torch::ones({channels}));
    seen_ = register_buffer("num_batches_tracked", torch::zeros({}, torch::kInt64));
  }

  /// \param x  [B, C, …]; in training mode the statistics of the batch, which are also remembered (once, where a checkpoint() of this plugin evaluates it twice)
  Tensor forward(const Tensor& x) {
    const bool again = is_training() && remaking();
    if (is_training() && !again) seen_.add_(1);
    return torch::batch_norm(x, weight_, bias_, again ? Tensor() : mean_, again ? Tensor() : variance_, is_training(), /*momentum=*/0.1, /*eps=*/1e-5, /*cudnn_enabled=*/true);
  }

 private:
  Tensor weight_, bias_, mean_, variance_, seen_;
};

}  // namespace zstar::nn
