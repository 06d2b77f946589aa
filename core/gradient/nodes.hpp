#pragma once
/// \file Small autograd nodes: a source that takes what flows into it, and states that are the outputs of a node.

#include <functional>
#include <memory>

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include "zstar/abi/state.hpp"

namespace zstar::gradient {

/// The tensors without their history.
inline State detached(const State& z) {
  std::vector<Tensor> tensors;
  for (const Tensor& t : z) tensors.push_back(t.detach());
  return {std::move(tensors), z.axes()};
}

inline State zeros_of(const State& z) {
  std::vector<Tensor> zeros;
  for (const Tensor& t : z) zeros.push_back(torch::zeros_like(t));
  return {std::move(zeros), z.axes()};
}

/// The values as outputs of the node, in order.
inline State outputs_of(const State& values, const std::shared_ptr<torch::autograd::Node>& node) {
  State out = detached(values);
  for (const Tensor& t : out) torch::autograd::create_gradient_edge(const_cast<Tensor&>(t), node);
  return out;
}

/// A state whose gradient goes to a function and nowhere else: no `.grad` is written.
class Source final : public torch::autograd::Node {
 public:
  using Taker = std::function<void(const torch::autograd::variable_list&)>;
  explicit Source(Taker take) : take_(std::move(take)) {}
  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    if (take_) take_(gradients);
    return {};
  }

 private:
  Taker take_;
};

inline State source(const State& values, Source::Taker take = {}) {
  return outputs_of(values, std::shared_ptr<Source>(new Source(std::move(take)), torch::autograd::deleteNode));
}

/// The identity; what flows back through it is shown to a function.
class Tap final : public torch::autograd::Node {
 public:
  Tap(Source::Taker show, torch::autograd::edge_list edges) : torch::autograd::Node(std::move(edges)), show_(std::move(show)) {}
  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    show_(gradients);
    return std::move(gradients);
  }

 private:
  Source::Taker show_;
};

inline State tapped(const State& values, Source::Taker show) {
  torch::autograd::edge_list edges;
  for (const Tensor& t : values) edges.push_back(torch::autograd::impl::gradient_edge(t));
  return outputs_of(values, std::shared_ptr<Tap>(new Tap(std::move(show), std::move(edges)), torch::autograd::deleteNode));
}

}  // namespace zstar::gradient
