#pragma once
/// \file checkpoint(): a part of the graph is given up and made again in the backward pass. Compiled into the plugin.

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ATen/Context.h>
#include <ATen/SequenceNumber.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/types.h>

namespace zstar::nn {

/// Whether the graph of a checkpoint is being made again, in this thread: what was counted or drawn the first time is not to be counted twice.
inline bool& remaking() {
  static thread_local bool now = false;
  return now;
}

/// Whether f of a checkpoint runs for its graph alone: the value of its last operation is not looked at.
inline bool& for_the_graph() {
  static thread_local bool now = false;
  return now;
}

namespace detail {

using torch::autograd::edge_list;
using torch::autograd::Node;
using torch::autograd::variable_list;

/// Where the graph of `outputs`, made since the sequence number `first`, ends: the edges to whatever was there before. They are the
/// gradients of all that the outputs depend on, whether it was handed over or captured by a closure.
inline edge_list boundary(const std::vector<torch::Tensor>& outputs, std::uint64_t first) {
  edge_list edges, open;
  std::unordered_set<Node*> seen;
  const auto known = [&edges](const torch::autograd::Edge& e) {
    for (const auto& other : edges)
      if (other == e) return true;
    return false;
  };
  const auto visit = [&](const torch::autograd::Edge& e) {
    if (!e.is_valid()) return;
    const std::uint64_t number = e.function->sequence_nr();
    if (number < first || number == UINT64_MAX) {  // leaves have no sequence number
      if (!known(e)) edges.push_back(e);
    } else if (seen.insert(e.function.get()).second) {
      open.push_back(e);
    }
  };
  for (const torch::Tensor& t : outputs)
    if (t.requires_grad()) visit(torch::autograd::impl::gradient_edge(t));
  for (std::size_t i = 0; i < open.size(); ++i)
    for (const auto& e : torch::autograd::edge_list(open[i].function->next_edges())) visit(e);
  return edges;
}

/// Where a gradient of these sizes is taken off the graph; it holds no tensor, and lies below every other node.
class End final : public Node {
 public:
  explicit End(const torch::autograd::InputMetadata& of) : Node(/*sequence_nr=*/UINT64_MAX) { input_metadata_.emplace_back(of); }
  variable_list apply(variable_list&&) override { return {}; }
};

/// While it lives, the graph of `outputs`, made since `first`, ends at its boundary: every edge to one of `edges` leads to an End of its own
/// instead. Without this, a pass to several edges goes on through one of them to another, and counts what lies between twice.
class Cut {
 public:
  Cut(const std::vector<torch::Tensor>& outputs, std::uint64_t first, const edge_list& edges) : first_(first) {
    for (const auto& e : edges)
      ends_.emplace_back(std::shared_ptr<Node>(new End(e.function->input_metadata(e.input_nr)), torch::autograd::deleteNode), 0);
    for (const torch::Tensor& t : outputs)
      if (t.requires_grad()) visit(torch::autograd::impl::gradient_edge(t).function);
    for (std::size_t k = 0; k < inside_.size(); ++k)
      for (std::uint32_t i = 0; i < inside_[k]->num_outputs(); ++i) end(inside_[k], i, edges);
  }
  Cut(const Cut&) = delete;
  Cut& operator=(const Cut&) = delete;
  ~Cut() {  // second derivatives go on through the old edges
    for (const auto& [node, i, edge] : old_) node->next_edges()[i] = edge;
  }
  /// One for each edge.
  const edge_list& ends() const { return ends_; }

 private:
  bool is_inside(const Node& node) const { return node.sequence_nr() >= first_ && node.sequence_nr() != UINT64_MAX; }
  void visit(const std::shared_ptr<Node>& node) {
    if (node && is_inside(*node) && seen_.insert(node.get()).second) inside_.push_back(node);
  }
  void end(const std::shared_ptr<Node>& node, std::uint32_t i, const edge_list& edges) {
    const auto e = node->next_edge(i);
    if (!e.is_valid()) return;
    if (is_inside(*e.function)) return visit(e.function);
    const auto found = std::find(edges.begin(), edges.end(), e);
    if (found == edges.end()) throw std::runtime_error("a checkpointed function depends on other tensors the second time it is evaluated");
    old_.emplace_back(node, i, e);
    node->next_edges()[i] = ends_[static_cast<std::size_t>(found - edges.begin())];
  }

  std::uint64_t first_;
  edge_list ends_;
  std::vector<std::shared_ptr<Node>> inside_;
  std::unordered_set<Node*> seen_;
  std::vector<std::tuple<std::shared_ptr<Node>, std::uint32_t, torch::autograd::Edge>> old_;
};

/// The state of the random generator that operations on a device draw from.
class RandomState {
 public:
  explicit RandomState(const torch::Device& device) : generator_(at::globalContext().defaultGenerator(device)) {
    const std::lock_guard<std::mutex> lock(generator_.mutex());
    state_ = generator_.get_state();
  }
  void restore() {
    const std::lock_guard<std::mutex> lock(generator_.mutex());
    generator_.set_state(state_);
  }

 private:
  at::Generator generator_;
  torch::Tensor state_;
};

/// A flag of the thread while it lives.
struct Flag {
  Flag(bool& flag, bool now) : flag(flag), before(std::exchange(flag, now)) {}
  Flag(const Flag&) = delete;
  Flag& operator=(const Flag&) = delete;
  ~Flag() { flag = before; }
  bool &flag, before;
};

class CheckpointNode final : public Node {
 public:
  using Function = std::function<std::vector<torch::Tensor>()>;
  CheckpointNode(Function f, RandomState random, torch::Device device, edge_list edges)
      : Node(edge_list(edges)), f_(std::move(f)), random_(std::move(random)), device_(device), edges_(std::move(edges)), until_(at::sequence_number::peek()) {}

  variable_list apply(variable_list&& cotangents) override {
    if (!f_) throw std::runtime_error("backward a second time through a checkpoint that was freed; give retain_graph = true the first time");
    const bool again = torch::GradMode::is_enabled();
    auto [outputs, first] = taken();
    if (outputs.empty()) {
      const torch::AutoGradMode grad(true);
      RandomState now(device_);
      random_.restore();
      while (at::sequence_number::peek() < until_) at::sequence_number::get_and_increment();  // each thread counts for itself
      first = at::sequence_number::peek();
      const Flag again_now(remaking(), true), no_value(for_the_graph(), true);
      outputs = f_();
      now.restore();
    }
    const Cut cut(outputs, first, edges_);
    const edge_list& ends = cut.ends();
    edge_list roots;
    variable_list seeds;
    for (std::size_t i = 0; i < outputs.size(); ++i)
      if (cotangents[i].defined() && outputs[i].requires_grad()) {
        const auto root = torch::autograd::impl::gradient_edge(outputs[i]);
        const auto same = std::find(edges_.begin(), edges_.end(), root);  // f handed a tensor on
        roots.push_back(same == edges_.end() ? root : ends[static_cast<std::size_t>(same - edges_.begin())]);
        seeds.push_back(cotangents[i]);
      }
    if (roots.empty()) return variable_list(edges_.size());
    return torch::autograd::Engine::get_default_engine().execute(roots, seeds, /*keep_graph=*/again, /*create_graph=*/again,
                                                                 /*accumulate_grad=*/false, ends);
  }
  void release_variables() override { f_ = nullptr, taken(); }

  /// What f gave, with its graph, whose nodes are numbered from `first` on: the next backward pass need not make it again.
  struct Kept {
    std::vector<torch::Tensor> outputs;
    std::uint64_t first = 0;
  };
  void keep(Kept kept) { kept_ = std::move(kept); }
  /// What was kept, which is kept no more; empty: nothing was.
  Kept taken() {
    const std::lock_guard<std::mutex> lock(mutex_);  // several threads may go backward through one graph
    return std::exchange(kept_, {});
  }

 private:
  Function f_;
  RandomState random_;
  torch::Device device_;
  edge_list edges_;
  std::uint64_t until_;  ///< what f depends on has lower numbers
  Kept kept_;
};

}  // namespace detail

/// Of the checkpoints that share one, the newest keeps its graph until the next is made: backward comes to it first, and need not make it again. What
/// follows the chain has this graph beside its own.
class NewestGraph {
 private:
  friend std::vector<torch::Tensor> checkpoint(std::function<std::vector<torch::Tensor>()> f, const torch::Device& device, NewestGraph* newest);
  std::weak_ptr<detail::CheckpointNode> node_;
};

/// f() on the autograd graph, of which nothing but the result is kept: backward evaluates f once more, with the random numbers of the first
/// time. Whatever f depends on gets its gradient, captured by a closure or not; second derivatives exist.
/// \param f  deterministic but for the generator of `device`; its tensors must not change before backward
/// \param newest  may be null; with it, f's own tensors do not leave it but by its result, and nothing is written to the result in place: while the graph is kept,
///   both are parts of it
/// \par Cost  one more evaluation of f a backward pass; memory of the outputs alone, and of the newest graph
/// \par Sources  Griewank & Walther, ACM Trans. Math. Softw. 26 (2000), doi:10.1145/347837.347846 (recomputation instead of storage)
inline std::vector<torch::Tensor> checkpoint(std::function<std::vector<torch::Tensor>()> f, const torch::Device& device, NewestGraph* newest = nullptr) {
  if (newest)
    if (const auto before = std::exchange(newest->node_, {}).lock()) before->taken();
  if (!torch::GradMode::is_enabled()) {
    const detail::Flag value(for_the_graph(), false);
    return f();
  }
  detail::RandomState random(device);
  const std::uint64_t first = at::sequence_number::peek();
  std::vector<torch::Tensor> values = [&f] {
    const detail::Flag value(for_the_graph(), false);  // within another checkpoint, too
    return f();
  }();
  detail::edge_list edges = detail::boundary(values, first);
  if (edges.empty()) return values;
  const std::shared_ptr<detail::CheckpointNode> node(new detail::CheckpointNode(std::move(f), std::move(random), device, std::move(edges)),
                                                     torch::autograd::deleteNode);
  if (newest) node->keep({values, first}), newest->node_ = node;
  for (torch::Tensor& t : values) {
    t = t.detach();
    if (t.is_floating_point()) torch::autograd::create_gradient_edge(t, node);
  }
  return values;
}

}  // namespace zstar::nn
