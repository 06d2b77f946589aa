#pragma once
/// \file The graph of a batch: adjacency, spectral radius, and the place of every graph in the state.

#include <algorithm>
#include <deque>
#include <optional>

#include <zstar/sdk.hpp>

#include "radius.hpp"
#include "sparse.hpp"

namespace zstar_ignn {
namespace {

using zstar::OptionError;

/// One graph, or several side by side. In a state with a sample for each, every graph has `width` rows, the last ones of zeros.
struct Graph {
  Tensor indices, values, membership;  ///< as they came; membership [n]: the graph of every node, undefined: one graph
  AdjacencyPtr adjacency;              ///< of all rows of the state
  double radius = 1;                   ///< ρ(|A|) or what stands for it
  std::int64_t graphs = 1, width = 0;
  Tensor positions;                    ///< row of every node, [n]; undefined: nodes are rows

  /// Rows of the state from rows of nodes, and back.
  Tensor to_rows(const Tensor& x) const {
    return positions.defined() ? torch::zeros({graphs * width, x.size(1)}, x.options().requires_grad(false)).index_copy(0, positions, x) : x;
  }
  Tensor to_nodes(const Tensor& z) const { return positions.defined() ? z.index_select(0, positions) : z; }
};

/// What decides how a batch becomes a Graph.
struct GraphOptions {
  std::optional<double> radius;
  bool rows_of_graphs = false;  ///< one sample for each graph
};

/// The graphs that came last, so that what is derived from one is derived once: a graph is known by its numbers, not by its address.
class GraphStore {
 public:
  const Graph& of(const zstar::Batch& batch, std::int64_t n, const GraphOptions& o) {
    const Tensor &indices = batch.at("adjacency_indices"), &values = batch.at("adjacency_values");
    const Tensor membership = batch.has("graphs") ? batch.at("graphs") : Tensor();
    const auto same = [](const Tensor& a, const Tensor& b) {
      return a.defined() == b.defined() && (!a.defined() || (a.device() == b.device() && a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && a.equal(b)));
    };
    const auto known = std::find_if(kept_.begin(), kept_.end(), [&](const Graph& g) {
      return same(g.values, values) && same(g.indices, indices) && same(g.membership, membership);
    });
    if (known != kept_.end()) return *known;
    if (kept_.size() == capacity) kept_.pop_back();
    kept_.push_front(made(batch, n, o));
    return kept_.front();
  }

 private:
  static constexpr std::size_t capacity = 32;  // PPI has 24 graphs

  static Graph made(const zstar::Batch& batch, std::int64_t n, const GraphOptions& o) {
    Graph g;
    g.indices = batch.at("adjacency_indices").clone(), g.values = batch.at("adjacency_values").clone();  // the batch may be edited in place
    if (g.indices.numel() > 0 && g.indices.max().item<std::int64_t>() >= n)
      throw std::invalid_argument("the adjacency names node " + std::to_string(g.indices.max().item<std::int64_t>()) + " of " + std::to_string(n) + " nodes");
    if (batch.has("graphs")) {
      g.membership = batch.at("graphs").clone();
      g.graphs = g.membership.max().item<std::int64_t>() + 1;
    }
    g.radius = o.radius ? *o.radius : batch.has("adjacency_radius") ? batch.at("adjacency_radius").item<double>() : spectral_radius(g.indices, g.values, n) + 1e-5;
    Tensor indices = g.indices;
    std::int64_t rows = n;
    if (o.rows_of_graphs && g.graphs > 1) {
      place(g);
      indices = g.positions.index_select(0, indices.flatten()).reshape(indices.sizes());
      rows = g.graphs * g.width;
    }
    g.adjacency = std::make_shared<const Adjacency>(indices, g.values, rows);
    return g;
  }

  /// Node k of graph i goes to row i · width + k.
  static void place(Graph& g) {
    const Tensor graph = g.membership.cpu().contiguous();
    const std::int64_t n = graph.numel(), *of = graph.data_ptr<std::int64_t>();
    std::vector<std::int64_t> seen(static_cast<std::size_t>(g.graphs), 0), rank(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) rank[static_cast<std::size_t>(i)] = seen[static_cast<std::size_t>(of[i])]++;
    g.width = *std::max_element(seen.begin(), seen.end());
    g.positions = torch::tensor(rank, torch::kInt64).to(g.membership.device()) + g.membership * g.width;
  }

  std::deque<Graph> kept_;
};

}  // namespace
}  // namespace zstar_ignn
