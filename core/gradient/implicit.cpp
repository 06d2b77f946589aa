#include "core/gradient/implicit.hpp"

#include <stdexcept>

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>

namespace zstar::gradient {
namespace {

using torch::autograd::variable_list;

/// f once more, on a graph of its own that lives as long as the solve: u ↦ Jᵀu.
class Linearisation {
 public:
  explicit Linearisation(const ImplicitCall& call) : packing_(call.at) {
    const torch::AutoGradMode grad(true);
    std::vector<Tensor> leaves;
    for (const Tensor& z : call.at) leaves.push_back(z.detach().requires_grad_());
    z_ = State(std::move(leaves), call.at.axes());
    y_ = call.f(z_);
  }

  const solve::Packing& packing() const { return packing_; }

  Tensor vjp(const Tensor& u) const {
    const State cotangents = packing_.unpack(u);
    std::vector<Tensor> outputs, seeds;
    for (std::size_t i = 0; i < y_.size(); ++i)
      if (y_[i].requires_grad()) {
        outputs.push_back(y_[i]);
        seeds.push_back(cotangents[i].contiguous());
      }
    if (outputs.empty()) return torch::zeros_like(u);
    auto grads = torch::autograd::grad(outputs, z_.tensors(), seeds, /*retain_graph=*/true, /*create_graph=*/false,
                                       /*allow_unused=*/true);
    for (std::size_t i = 0; i < grads.size(); ++i)
      if (!grads[i].defined()) grads[i] = torch::zeros_like(z_[i]);
    return packing_.pack(State(std::move(grads), z_.axes()));
  }

 private:
  solve::Packing packing_;
  State z_, y_;
};

class ImplicitNode final : public torch::autograd::Node {
 public:
  ImplicitNode(std::shared_ptr<ImplicitCall> call, torch::autograd::edge_list edges)
      : torch::autograd::Node(std::move(edges)), call_(std::move(call)) {}

  variable_list apply(variable_list&& cotangents) override {
    if (torch::GradMode::is_enabled())
      throw std::runtime_error(
          "the implicit gradient was asked for a second derivative (create_graph), which this node cannot give; "
          "use gradient = phantom for losses that contain derivatives");
    const Linearisation linear(*call_);
    for (std::size_t i = 0; i < cotangents.size(); ++i)
      if (!cotangents[i].defined()) cotangents[i] = torch::zeros_like(call_->at[i]);
    AdjointProblem problem;
    problem.cotangent = linear.packing().pack(State(std::move(cotangents), call_->at.axes()));
    problem.vjp = [&linear](const Tensor& u) { return linear.vjp(u); };
    problem.samples_independent = call_->f.samples_independent();
    if (call_->forward) problem.estimate = query<InverseJacobian>(*call_->forward);
    return linear.packing().unpack(call_->adjoint(problem)).tensors();
  }

 private:
  std::shared_ptr<ImplicitCall> call_;
};

}  // namespace

State attach_implicit(const State& y, std::shared_ptr<ImplicitCall> call) {
  torch::autograd::edge_list edges;
  bool any = false;
  for (const Tensor& t : y) {
    edges.push_back(torch::autograd::impl::gradient_edge(t));
    any = any || t.requires_grad();
  }
  if (!any) return y;
  const std::shared_ptr<ImplicitNode> node(new ImplicitNode(std::move(call), std::move(edges)), torch::autograd::deleteNode);
  std::vector<Tensor> outputs;
  for (const Tensor& t : y) {
    outputs.push_back(t.detach());
    torch::autograd::create_gradient_edge(outputs.back(), node);
  }
  return {std::move(outputs), y.axes()};
}

}  // namespace zstar::gradient
