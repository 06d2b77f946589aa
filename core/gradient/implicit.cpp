#include "core/gradient/implicit.hpp"

#include <stdexcept>

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>

#include "core/gradient/linearisation.hpp"

namespace zstar::gradient {
namespace {

using torch::autograd::variable_list;

class ImplicitNode final : public torch::autograd::Node {
 public:
  ImplicitNode(std::shared_ptr<ImplicitCall> call, torch::autograd::edge_list edges)
      : torch::autograd::Node(std::move(edges)), call_(std::move(call)) {}

  variable_list apply(variable_list&& cotangents) override {
    if (torch::GradMode::is_enabled())
      throw std::runtime_error(
          "the implicit gradient was asked for a second derivative (create_graph), which this node cannot give; "
          "use gradient = phantom for losses that contain derivatives");
    const Linearisation linear(call_->f, call_->at);
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
