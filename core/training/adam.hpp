#pragma once
/// \file Adam and AdamW whose step goes once over memory.

#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>

namespace zstar::training {

/// torch::optim::Adam, its options, states and checkpoints, with a step that reads parameter, gradient and moments once and writes them once,
/// where LibTorch's takes eight passes or nine. LibTorch's is its plain form, and the step of all parameters where one is no dense tensor of
/// float32 or float64 on a CPU, with amsgrad, and with a closure.
/// \throws std::runtime_error  a loaded state is of parameters of other sizes
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
