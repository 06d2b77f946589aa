#pragma once
/// \file What penalties on a map at a state share. Compiled into the plugin.

#include <string>
#include <utility>
#include <vector>

#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include "zstar/abi/map.hpp"
#include "zstar/abi/regularizer.hpp"
#include "zstar/abi/solver.hpp"
#include "zstar/drawn.hpp"

namespace zstar {

/// float64 where the tensor is, else float32: what penalties add up in.
inline torch::ScalarType wide_dtype(const Tensor& t) { return t.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32; }

/// The state as leaves; with `through`, tensors that are on a graph stay on it.
inline State leaves_of(const State& z, bool through = false) {
  std::vector<Tensor> leaves;
  for (const Tensor& t : z) leaves.push_back(through && t.requires_grad() ? t : t.detach().requires_grad_());
  return {std::move(leaves), z.axes()};
}

inline State detached_state(const State& z) {
  std::vector<Tensor> tensors;
  for (const Tensor& t : z) tensors.push_back(t.detach());
  return {std::move(tensors), z.axes()};
}

/// Random numbers of the shapes of a state: "normal" N(0, 1), or "rademacher", signs.
inline State random_like(const State& like, const std::string& distribution, const at::Generator& generator) {
  std::vector<Tensor> tensors;
  for (const Tensor& t : like) {
    const Tensor e = empty_to_draw(t);
    tensors.push_back((distribution == "normal" ? e.normal_(0.0, 1.0, generator) : e.bernoulli_(0.5, generator).mul_(2.0).sub_(1.0)).to(t.scalar_type()));
  }
  return {std::move(tensors), like.axes()};
}

/// ‖z_b‖² of every sample over all tensors of the state, [B] ([1] without a batch axis), differentiable.
inline Tensor length2_of(const State& z) {
  Tensor sum;
  for (std::size_t i = 0; i < z.size(); ++i) {
    const Tensor rows = z.axis(i) < 0 ? z[i].reshape({1, -1}) : z[i].movedim(z.axis(i), 0).flatten(1 - (z[i].dim() == 1));
    const Tensor square = rows.to(wide_dtype(z[i])).square();
    const Tensor part = square.dim() > 1 ? square.sum(1) : square;
    sum = sum.defined() ? sum + part : part;
  }
  return sum;
}

/// a + c b, tensor by tensor; c is a number, or one for each sample ([B]).
inline State added(const State& a, const State& b, const Tensor& c) {
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < a.size(); ++i) {
    Tensor factor = c.to(a[i].scalar_type());
    if (c.dim() == 1 && a.axis(i) >= 0) {
      std::vector<std::int64_t> shape(static_cast<std::size_t>(a[i].dim()), 1);
      shape[static_cast<std::size_t>(a.axis(i))] = -1;
      factor = factor.reshape(shape);
    }
    tensors.push_back(a[i] + factor * b[i]);
  }
  return {std::move(tensors), a.axes()};
}
inline State added(const State& a, const State& b, double c) { return added(a, b, torch::full({}, c, a[0].options().requires_grad(false).dtype(torch::kFloat64))); }

/// Jᵀu on the graph of y = f(z), z leaves or on a graph. \param create_graph  to be differentiated again
inline State pulled_back(const State& y, const State& z, const State& u, bool create_graph) {
  std::vector<Tensor> outputs, seeds;
  for (std::size_t i = 0; i < y.size(); ++i)
    if (y[i].requires_grad()) outputs.push_back(y[i]), seeds.push_back(u[i]);
  std::vector<Tensor> found(z.size());
  if (!outputs.empty()) found = torch::autograd::grad(outputs, z.tensors(), seeds, /*retain_graph=*/true, create_graph, /*allow_unused=*/true);
  for (std::size_t i = 0; i < found.size(); ++i)
    if (!found[i].defined()) found[i] = torch::zeros_like(z[i]);
  return {std::move(found), z.axes()};
}

/// The mean square of what a value of each sample exceeds a bound by. The values begin with one direction, by default at random; of the last
/// penalty their mean and the largest are in the metrics.
class ExcessPenalty : public Regularizer, public Probed, public Statistics {
 public:
  explicit ExcessPenalty(double bound) : bound_(bound) {}

  void* query(std::string_view id) override {
    if (id == Statistics::id) return static_cast<Statistics*>(this);
    return id == Probed::id ? static_cast<Probed*>(this) : nullptr;
  }
  std::vector<std::pair<std::string, Tensor>> statistics() override {
    if (!last_.defined()) return {};
    return {{"mean", last_.mean()}, {"max", last_.max()}};
  }
  Tensor penalty(const Solved& solved, const at::Generator& generator) override {
    return penalty(solved, std::vector<State>{random_like(solved.equilibrium.z(), "normal", generator)});
  }
  /// \param probes  one: the direction
  Tensor penalty(const Solved& solved, const std::vector<State>& probes) override {
    const torch::AutoGradMode grad(true);
    const Tensor found = values(solved, probes.front());
    last_ = found.detach();
    return (found - bound_).clamp_min(0).square().mean();
  }

 protected:
  /// [B], differentiable in the parameters of the map.
  virtual Tensor values(const Solved& solved, const State& direction) = 0;

 private:
  double bound_;
  Tensor last_;
};

}  // namespace zstar
