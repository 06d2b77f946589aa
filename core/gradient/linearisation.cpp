#include "core/gradient/linearisation.hpp"

#include <torch/csrc/autograd/autograd.h>

namespace zstar::gradient {

Linearisation::Linearisation(const FixedPointMap& f, const State& at) : packing_(at) {
  const torch::AutoGradMode grad(true);
  std::vector<Tensor> leaves;
  for (const Tensor& z : at) leaves.push_back(z.detach().requires_grad_());
  z_ = State(std::move(leaves), at.axes());
  y_ = f(z_);
}

Tensor Linearisation::vjp(const Tensor& u) const {
  const State cotangents = packing_.unpack(u);
  std::vector<Tensor> outputs, seeds;
  for (std::size_t i = 0; i < y_.size(); ++i)
    if (y_[i].requires_grad()) {
      outputs.push_back(y_[i]);
      seeds.push_back(cotangents[i].contiguous());
    }
  if (outputs.empty()) return torch::zeros_like(u);
  auto grads = torch::autograd::grad(outputs, z_.tensors(), seeds, /*retain_graph=*/true, /*create_graph=*/false, /*allow_unused=*/true);
  for (std::size_t i = 0; i < grads.size(); ++i)
    if (!grads[i].defined()) grads[i] = torch::zeros_like(z_[i]);
  return packing_.pack(State(std::move(grads), z_.axes()));
}

}  // namespace zstar::gradient
