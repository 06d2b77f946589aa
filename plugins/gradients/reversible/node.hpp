#pragma once
/// \file The node that undoes the steps of a reversible iteration and differentiates each.

#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include <zstar/sdk.hpp>

#include <zstar/nn/checkpoint.hpp>

namespace zstar_reversible {
namespace {

using torch::Tensor;
using torch::autograd::edge_list;
using torch::autograd::variable_list;
using zstar::State;

/// All that backward needs: the pair at the end, and pairs on the way, one before every `every`-th step.
struct Course {
  zstar::FixedPointMap f;
  double beta;
  State y, z;
  std::vector<std::pair<State, State>> stored;
  edge_list edges;  ///< of all that f depends on
  std::int64_t every;
};

class ReversibleNode final : public torch::autograd::Node {
 public:
  ReversibleNode(Course course, std::int64_t steps, std::shared_ptr<double> measured)
      : torch::autograd::Node(edge_list(course.edges)), course_(std::move(course)), steps_(steps), measured_(std::move(measured)) {}

  variable_list apply(variable_list&& cotangents) override {
    if (torch::GradMode::is_enabled())
      throw std::runtime_error("the reversible gradient was asked for a second derivative (create_graph), which it cannot give; use gradient = unrolled");
    State y = course_.y, z = course_.z;
    std::vector<Tensor> bar_z, bar_y;
    for (std::size_t i = 0; i < z.size(); ++i) {
      bar_z.push_back(cotangents[i].defined() ? cotangents[i] : torch::zeros_like(z[i]));
      bar_y.push_back(torch::zeros_like(z[i]));
    }
    variable_list found(course_.edges.size());
    for (std::int64_t k = steps_; k-- > 0;) {
      z = undone(z, pulled(y, bar_z, bar_y, found));  // ȳ += β Jᵀz̄, z̄ ← (1 − β) z̄
      y = undone(y, pulled(z, bar_y, bar_z, found));
      if (k % course_.every == 0) resume(course_.stored[static_cast<std::size_t>(k / course_.every)], y, z);
    }
    return found;
  }

 private:
  /// Backward through a⁺ = (1 − β) a + β f(b): bar_b += β (∂f/∂b)ᵀ bar_a, bar_a ← (1 − β) bar_a; parts of f get theirs. \return f(b)
  State pulled(const State& b, std::vector<Tensor>& bar_a, std::vector<Tensor>& bar_b, variable_list& found) const {
    const torch::AutoGradMode grad(true);
    std::vector<Tensor> leaves;
    for (const Tensor& t : b) leaves.push_back(t.detach().requires_grad_());
    const State fb = course_.f(State(leaves, b.axes()));
    edge_list roots, wanted;
    variable_list seeds;
    for (std::size_t i = 0; i < fb.size(); ++i)
      if (fb[i].requires_grad()) {
        roots.push_back(torch::autograd::impl::gradient_edge(fb[i]));
        seeds.push_back(bar_a[i] * course_.beta);
      }
    for (const Tensor& t : leaves) wanted.push_back(torch::autograd::impl::gradient_edge(t));
    wanted.insert(wanted.end(), course_.edges.begin(), course_.edges.end());
    for (Tensor& t : bar_a) t = t * (1 - course_.beta);
    if (!roots.empty()) {
      const auto gradients = torch::autograd::Engine::get_default_engine().execute(roots, seeds, /*keep_graph=*/false, /*create_graph=*/false,
                                                                                   /*accumulate_grad=*/false, wanted);
      for (std::size_t i = 0; i < leaves.size(); ++i)
        if (gradients[i].defined()) bar_b[i] = bar_b[i] + gradients[i];
      for (std::size_t i = 0; i < found.size(); ++i)
        if (const Tensor& g = gradients[leaves.size() + i]; g.defined()) found[i] = found[i].defined() ? found[i] + g : g;
    }
    std::vector<Tensor> values;
    for (const Tensor& t : fb) values.push_back(t.detach());
    return {std::move(values), fb.axes()};
  }

  /// a from a⁺ = (1 − β) a + β f.
  State undone(const State& next, const State& f) const {
    std::vector<Tensor> tensors;
    for (std::size_t i = 0; i < next.size(); ++i) tensors.push_back((next[i] - course_.beta * f[i]) / (1 - course_.beta));
    return {std::move(tensors), next.axes()};
  }

  /// Goes on from a stored pair, and notes how far the one made again was from it.
  void resume(const std::pair<State, State>& stored, State& y, State& z) const {
    double error2 = 0, size2 = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      error2 += (y[i] - stored.first[i]).square().sum().item<double>() + (z[i] - stored.second[i]).square().sum().item<double>();
      size2 += stored.first[i].square().sum().item<double>() + stored.second[i].square().sum().item<double>();
    }
    *measured_ = std::max(*measured_, error2 == 0 ? 0.0 : std::sqrt(error2 / size2));
    y = stored.first, z = stored.second;
  }

  Course course_;
  std::int64_t steps_;
  std::shared_ptr<double> measured_;
};

/// z of the course's end with the node on it. One evaluation of f finds what f depends on.
State attached(Course course, std::int64_t steps, std::shared_ptr<double> measured) {
  const std::uint64_t first = at::sequence_number::peek();
  course.edges = zstar::nn::detail::boundary(course.f(course.z).tensors(), first);
  const State end = course.z;
  if (course.edges.empty()) return end;
  const std::shared_ptr<ReversibleNode> node(new ReversibleNode(std::move(course), steps, std::move(measured)), torch::autograd::deleteNode);
  std::vector<Tensor> outputs;
  for (const Tensor& t : end) {
    outputs.push_back(t.detach());
    torch::autograd::create_gradient_edge(outputs.back(), node);
  }
  return {std::move(outputs), end.axes()};
}

}  // namespace
}  // namespace zstar_reversible
