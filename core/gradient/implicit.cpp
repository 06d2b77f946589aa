#include "core/gradient/implicit.hpp"

#include <stdexcept>

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/saved_variable.h>

#include "core/gradient/nodes.hpp"

namespace zstar::gradient {
namespace {

using torch::autograd::edge_list;
using torch::autograd::Node;
using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

void refuse_second_derivative() {
  if (torch::GradMode::is_enabled())
    throw std::runtime_error(
        "the implicit gradient was asked for a second derivative (create_graph), which this node cannot give; let the map name its "
        "captured tensors and take J at the state, or use gradient = phantom for losses that contain derivatives");
}

State filled(variable_list&& cotangents, const State& like) {
  for (std::size_t i = 0; i < cotangents.size(); ++i)
    if (!cotangents[i].defined()) cotangents[i] = torch::zeros_like(like[i]);
  return {std::move(cotangents), like.axes()};
}

std::shared_ptr<Node> owned(Node* node) { return {node, torch::autograd::deleteNode}; }

edge_list edges_to(const std::vector<Tensor>& tensors) {
  edge_list edges;
  for (const Tensor& t : tensors) edges.push_back(torch::autograd::impl::gradient_edge(t));
  return edges;
}

/// On y: the cotangent becomes u and goes on through y's own graph. J is of a second graph made in backward, or of y's own.
class ImplicitNode final : public Node {
 public:
  ImplicitNode(std::shared_ptr<ImplicitCall> call, std::unique_ptr<Linearisation> own, edge_list edges)
      : Node(std::move(edges)), call_(std::move(call)), own_(std::move(own)), keeps_(own_ != nullptr) {}

  variable_list apply(variable_list&& cotangents) override {
    refuse_second_derivative();
    if (keeps_ && !own_) throw std::runtime_error("backward a second time through a graph that was freed; give retain_graph = true the first time");
    std::unique_ptr<Linearisation> made;
    if (!keeps_) made = std::make_unique<Linearisation>(call_->f, call_->at);
    const Linearisation& linear = keeps_ ? *own_ : *made;
    const AdjointProblem problem = problem_of(linear, *call_, filled(std::move(cotangents), call_->at));
    return linear.packing().unpack(call_->adjoint(problem)).tensors();
  }
  void release_variables() override { own_.reset(); }

 private:
  std::shared_ptr<ImplicitCall> call_;
  std::unique_ptr<Linearisation> own_;
  bool keeps_;
};

class Transposed final : public InverseJacobian {
 public:
  explicit Transposed(InverseJacobian* of) : of_(of) {}
  Tensor apply(const Tensor& v) override { return of_->apply_transpose(v); }
  Tensor apply_transpose(const Tensor& v) override { return of_->apply(v); }

 private:
  InverseJacobian* of_;
};

/// r ↦ r, where r = Jᵀu + v of a solved u: its derivative is that of (I − Jᵀ)⁻¹, p = J p + w.
class AdjointNode final : public Node {
 public:
  AdjointNode(std::shared_ptr<ImplicitCall> call, State at, std::vector<Tensor> captured, edge_list edges)
      : Node(std::move(edges)), call_(std::move(call)), at_(std::move(at)), captured_(std::move(captured)) {}

  variable_list apply(variable_list&& cotangents) override {
    if (torch::GradMode::is_enabled())
      throw std::runtime_error("the implicit gradient has first and second derivatives; a third one was asked for (create_graph)");
    const Linearisation linear(call_->f, at_, captured_);
    AdjointProblem problem = problem_of(linear, *call_, filled(std::move(cotangents), at_));
    Transposed estimate(problem.estimate);
    std::swap(problem.vjp, problem.jvp);  // the system of J instead of Jᵀ
    if (problem.estimate) problem.estimate = &estimate;
    return linear.packing().unpack(call_->adjoint(problem)).tensors();
  }

 private:
  std::shared_ptr<ImplicitCall> call_;
  State at_;
  std::vector<Tensor> captured_;  // without graph
};

/// From the captured tensors to y; see attach_differentiable().
class DifferentiableNode final : public Node {
 public:
  DifferentiableNode(std::shared_ptr<ImplicitCall> call, edge_list edges) : Node(std::move(edges)), call_(std::move(call)) {
    for (const Tensor& c : call_->f.captured()) captured_.emplace_back(c, /*is_output=*/false);
  }
  void save_outputs(const State& outputs) {
    for (const Tensor& t : outputs) outputs_.emplace_back(t, /*is_output=*/true);
  }

  variable_list apply(variable_list&& cotangents) override {
    if (captured_.size() != call_->f.captured().size()) throw std::runtime_error("backward a second time through a graph that was freed; give retain_graph = true the first time");
    std::vector<Tensor> captured;
    for (const SavedVariable& c : captured_) captured.push_back(c.unpack());
    return torch::GradMode::is_enabled() ? twice(std::move(cotangents), captured) : once(std::move(cotangents), captured);
  }
  void release_variables() override { captured_.clear(), outputs_.clear(); }

 private:
  variable_list once(variable_list&& cotangents, const std::vector<Tensor>& captured) {
    std::vector<Tensor> leaves;
    for (const Tensor& c : captured) leaves.push_back(c.detach().requires_grad_(c.requires_grad()));
    const Linearisation linear(call_->f, call_->at, leaves);
    const AdjointProblem problem = problem_of(linear, *call_, filled(std::move(cotangents), call_->at));
    return handed_out(linear, linear.packing().unpack(call_->adjoint(problem)), leaves, /*create_graph=*/false);
  }

  variable_list twice(variable_list&& cotangents, const std::vector<Tensor>& captured) {
    std::vector<Tensor> constants, aliases, outputs;
    for (const Tensor& c : captured) constants.push_back(c.detach());
    for (const Tensor& c : captured) aliases.push_back(c.requires_grad() ? c.view_as(c) : c);  // else the way to c would lead through out, back to here
    for (const SavedVariable& o : outputs_) outputs.push_back(o.unpack(shared_from_this()));
    const State out(std::move(outputs), call_->at.axes()), v = filled(std::move(cotangents), call_->at);
    State u;
    {
      const torch::NoGradGuard no_grad;
      const Linearisation linear(call_->f, detached(out), constants);
      u = detached(linear.packing().unpack(call_->adjoint(problem_of(linear, *call_, detached(v)))));
    }
    const Linearisation attached(out, call_->f(out, aliases));
    State r = v;
    auto products = attached.pullback(u, out.tensors(), /*create_graph=*/true);
    for (std::size_t i = 0; i < r.size(); ++i)
      if (products[i].defined()) r[i] = products[i] + v[i];
    if (std::any_of(r.begin(), r.end(), [](const Tensor& t) { return t.requires_grad(); }))
      r = outputs_of(r, owned(new AdjointNode(call_, detached(out), constants, edges_to(r.tensors()))));
    return handed_out(attached, r, aliases, /*create_graph=*/true);
  }

  /// The gradients of the captured tensors that want one, in the order of the edges.
  static variable_list handed_out(const Linearisation& linear, const State& u, const std::vector<Tensor>& captured, bool create_graph) {
    std::vector<Tensor> wanted;
    for (const Tensor& c : captured)
      if (c.requires_grad()) wanted.push_back(c);
    auto found = linear.pullback(u, wanted, create_graph);
    variable_list gradients(captured.size());
    for (std::size_t i = 0, k = 0; i < captured.size(); ++i)
      if (captured[i].requires_grad()) gradients[i] = std::move(found[k++]);
    return gradients;
  }

  std::shared_ptr<ImplicitCall> call_;
  std::vector<SavedVariable> captured_, outputs_;
};

bool any_requires_grad(const std::vector<Tensor>& tensors) {
  return std::any_of(tensors.begin(), tensors.end(), [](const Tensor& t) { return t.requires_grad(); });
}

}  // namespace

AdjointProblem problem_of(const Linearisation& linear, const ImplicitCall& call, const State& cotangents) {
  AdjointProblem problem;
  problem.cotangent = linear.packing().pack(cotangents);
  problem.vjp = [&linear](const Tensor& u) { return linear.vjp(u); };
  problem.jvp = [&linear](const Tensor& v) { return linear.jvp(v); };
  problem.samples_independent = call.f.samples_independent();
  problem.declared = call.f.declared();
  if (call.forward) problem.estimate = query<InverseJacobian>(*call.forward);
  return problem;
}

State attach_implicit(const State& y, std::shared_ptr<ImplicitCall> call) {
  if (!any_requires_grad(y.tensors())) return y;
  return outputs_of(y, owned(new ImplicitNode(std::move(call), nullptr, edges_to(y.tensors()))));
}

State attach_hook(const FixedPointMap& f, const State& z_star, std::shared_ptr<ImplicitCall> call) {
  State z = source(z_star);
  State y = f(z);
  edge_list edges = edges_to(y.tensors());
  auto own = std::make_unique<Linearisation>(std::move(z), y);
  return outputs_of(y, owned(new ImplicitNode(std::move(call), std::move(own), std::move(edges))));
}

State attach_differentiable(const State& y, std::shared_ptr<ImplicitCall> call) {
  if (!any_requires_grad(call->f.captured())) return y;
  edge_list edges = edges_to(call->f.captured());
  const auto node = std::shared_ptr<DifferentiableNode>(new DifferentiableNode(std::move(call), std::move(edges)), torch::autograd::deleteNode);
  State out = outputs_of(y, node);
  node->save_outputs(out);
  return out;
}

}  // namespace zstar::gradient
