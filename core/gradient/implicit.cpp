#include "core/gradient/implicit.hpp"

#include <stdexcept>

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace zstar::gradient {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Carries a call through the context of a node.
struct Capsule : torch::CustomClassHolder {
  explicit Capsule(std::shared_ptr<ImplicitCall> c) : call(std::move(c)) {}
  std::shared_ptr<ImplicitCall> call;
};

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

class ImplicitNode : public torch::autograd::Function<ImplicitNode> {
 public:
  static variable_list forward(AutogradContext* ctx, const c10::intrusive_ptr<Capsule>& capsule, variable_list y) {
    ctx->saved_data["call"] = c10::IValue::make_capsule(capsule);
    ctx->set_materialize_grads(true);
    for (Tensor& t : y) t = t.view_as(t);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list cotangents) {
    if (c10::GradMode::is_enabled())
      throw std::runtime_error(
          "the implicit gradient was asked for a second derivative (create_graph), which this node cannot give; "
          "use gradient = phantom or unrolled for losses that contain derivatives");
    const auto capsule = c10::static_intrusive_pointer_cast<Capsule>(ctx->saved_data["call"].toCapsule());
    const ImplicitCall& call = *capsule->call;
    const Linearisation linear(call);
    AdjointProblem problem;
    problem.cotangent = linear.packing().pack(State(std::move(cotangents), call.at.axes()));
    problem.vjp = [&linear](const Tensor& u) { return linear.vjp(u); };
    problem.samples_independent = call.f.samples_independent();
    if (call.forward) problem.estimate = query<InverseJacobian>(*call.forward);
    const State u = linear.packing().unpack(call.adjoint(problem));
    variable_list grads{Tensor()};  // of the capsule
    for (const Tensor& t : u) grads.push_back(t);
    return grads;
  }
};

}  // namespace

State attach_implicit(const State& y, std::shared_ptr<ImplicitCall> call) {
  std::vector<Tensor> tensors = y.tensors();
  bool any = false;
  for (const Tensor& t : tensors) any = any || t.requires_grad();
  if (!any) return y;
  return {ImplicitNode::apply(c10::make_intrusive<Capsule>(std::move(call)), tensors), y.axes()};
}

}  // namespace zstar::gradient
