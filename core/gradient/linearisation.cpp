#include "core/gradient/linearisation.hpp"

#include <stdexcept>

#include <torch/csrc/autograd/autograd.h>

#include "zstar/guard.hpp"

namespace zstar::gradient {
namespace {

State leaves_of(const State& at) {
  std::vector<Tensor> leaves;
  for (const Tensor& z : at) leaves.push_back(z.detach().requires_grad_());
  return {std::move(leaves), at.axes()};
}

}  // namespace

Linearisation::Linearisation(const FixedPointMap& f, const State& at) : Linearisation(f, at, f.captured()) {}

Linearisation::Linearisation(const FixedPointMap& f, const State& at, const std::vector<Tensor>& captured) : packing_(at), z_(leaves_of(at)) {
  const torch::AutoGradMode grad(true);
  y_ = f(z_, captured);
}

std::vector<Tensor> Linearisation::pullback(const State& u, const std::vector<Tensor>& tensors, bool create_graph) const {
  std::vector<Tensor> outputs, seeds;
  for (std::size_t i = 0; i < y_.size(); ++i)
    if (y_[i].requires_grad()) {
      outputs.push_back(y_[i]);
      seeds.push_back(u[i].contiguous());
    }
  if (outputs.empty()) return std::vector<Tensor>(tensors.size());
  return torch::autograd::grad(outputs, tensors, seeds, /*retain_graph=*/true, create_graph, /*allow_unused=*/true);
}

Tensor Linearisation::vjp(const Tensor& u) const {
  auto grads = pullback(packing_.unpack(u), z_.tensors(), /*create_graph=*/false);
  for (std::size_t i = 0; i < grads.size(); ++i)
    if (!grads[i].defined()) grads[i] = torch::zeros_like(z_[i]);
  return packing_.pack(State(std::move(grads), z_.axes()));
}

Tensor Linearisation::jvp(const Tensor& v) const {
  if (!product_.defined()) {
    const torch::AutoGradMode grad(true);
    seed_ = torch::zeros_like(v, v.options().requires_grad(true));
    auto grads = pullback(packing_.unpack(seed_), z_.tensors(), /*create_graph=*/true);
    for (std::size_t i = 0; i < grads.size(); ++i)
      if (!grads[i].defined()) grads[i] = torch::zeros_like(z_[i]);
    product_ = packing_.pack(State(std::move(grads), z_.axes()));
  }
  if (!product_.requires_grad()) return torch::zeros_like(v);
  try {
    const Tensor found = torch::autograd::grad({product_}, {seed_}, {v}, /*retain_graph=*/true, /*create_graph=*/false, /*allow_unused=*/true)[0];
    return found.defined() ? found : torch::zeros_like(v);
  } catch (...) {
    throw std::runtime_error("the map has no product Jv: an operation of it lacks a second derivative (" + current_exception_text() + ")");
  }
}

}  // namespace zstar::gradient
