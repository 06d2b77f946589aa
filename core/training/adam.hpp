#pragma once
/// \file Adam and AdamW whose step goes once over memory.

#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>

namespace zstar::training {

/// torch::optim::Adam, its options, states and checkpoints, with a step that reads parameter, gradient and moments once and writes them once,
/// where LibTorch's takes eight passes. Its plain form is LibTorch's, and is taken for what is no dense tensor of float32 or float64 on a CPU.
/// \par Source  Kingma & Ba, ICLR 2015, algorithm 1
class Adam final : public torch::optim::Adam {
 public:
  using torch::optim::Adam::Adam;
  torch::Tensor step(LossClosure closure = nullptr) override;
};

/// The same of torch::optim::AdamW.
/// \par Source  Loshchilov & Hutter, ICLR 2019, algorithm 2
class AdamW final : public torch::optim::AdamW {
 public:
  using torch::optim::AdamW::AdamW;
  torch::Tensor step(LossClosure closure = nullptr) override;
};

}  // namespace zstar::training
