#pragma once
/// \file One graph with labelled nodes: what data sets for the classification of nodes share.

#include <zstar/sdk.hpp>

#include "numbers.hpp"
#include "text.hpp"

namespace zstar_graphs {
namespace {

using zstar::Split;

/// A sparse matrix: row 0 of `indices` is i, row 1 is j of A_ij.
struct Adjacency {
  Tensor indices, values;
};

struct AdjacencyOptions {
  std::string adjacency = "augmented";
  bool undirected = true;
};

/// A with "augmented": R^(−1/2) A R^(−1/2) with the row sums R of A; else as it is.
inline Adjacency scaled(const Adjacency& a, std::int64_t n, const std::string& adjacency) {
  if (adjacency != "augmented") return a;
  const Tensor scale = torch::zeros({n}).index_add_(0, a.indices[0], a.values).rsqrt();
  return {a.indices, a.values * scale.index_select(0, a.indices[0]) * scale.index_select(0, a.indices[1])};
}

/// Entries 0 and 1 of n nodes from pairs [2, e], each pair once. "augmented": R^(−1/2) (A + I) R^(−1/2) with the row sums R of A + I;
/// "self_loops": A + I; "raw": A as it is, self loops included.
inline Adjacency adjacency_of(Tensor pairs, std::int64_t n, const AdjacencyOptions& o) {
  if (o.undirected) pairs = torch::cat({pairs, pairs.flip(0)}, 1);
  const bool loops = o.adjacency != "raw";
  if (loops) {
    pairs = pairs.index_select(1, pairs[0].ne(pairs[1]).nonzero().squeeze(1));
    pairs = torch::cat({pairs, torch::arange(n).expand({2, n})}, 1);
  }
  const Tensor keys = std::get<0>(torch::_unique(pairs[0] * n + pairs[1], /*sorted=*/true));
  const Tensor i = torch::div(keys, n, "floor"), j = keys.remainder(n);
  return scaled({torch::stack({i, j}), torch::ones({i.numel()})}, n, o.adjacency);
}

/// The same with a weight for each pair; those of equal pairs add up, and loops go as above.
inline Adjacency weighted(Tensor pairs, Tensor weights, std::int64_t n, const std::string& adjacency) {
  if (adjacency != "raw") {
    const Tensor edges = pairs[0].ne(pairs[1]).nonzero().squeeze(1);
    pairs = torch::cat({pairs.index_select(1, edges), torch::arange(n).expand({2, n})}, 1);
    weights = torch::cat({weights.index_select(0, edges), torch::ones({n})});
  }
  const Tensor sum = torch::sparse_coo_tensor(pairs, weights, {n, n}).coalesce();
  return scaled({sum.indices(), sum.values()}, n, adjacency);
}

/// Says that there is nothing to learn where all labels are the same. \param what  "nodes", "graphs"
inline void note_one_class(const fs::path& from, const Tensor& labels, const char* what, zstar::Host& host) {
  if (labels.numel() > 0 && labels.eq(labels[0]).all().item<bool>())
    host.warn(from.string() + ": all " + std::to_string(labels.numel()) + ' ' + what + " are of one class: whatever is learnt, every answer is right");
}

/// Rows of features divided by their sums; rows that sum to nothing stay.
inline Tensor rows_to_one(const Tensor& features) {
  const Tensor sums = features.sum(1, /*keepdim=*/true);
  return torch::where(sums != 0, features / sums.masked_fill(sums == 0, 1.0), features);
}

/// A vector of pairs as a tensor [2, e].
inline Tensor pairs_of(const std::vector<std::int64_t>& flat) { return torch::tensor(flat, torch::kInt64).reshape({-1, 2}).t().contiguous(); }

struct NodeOptions : AdjacencyOptions {
  std::string path;
  std::int64_t split = 0;
  bool row_norm = true;
};

template <class O>
auto adjacency_options() {
  const auto own = []<class T>(T AdjacencyOptions::*member) -> T O::* { return member; };
  return std::tuple{
      zstar::choice("adjacency", own(&AdjacencyOptions::adjacency), "augmented: R^(−1/2)(A + I)R^(−1/2); self_loops: A + I; raw: A", {"augmented", "self_loops", "raw"}),
      zstar::opt("undirected", own(&AdjacencyOptions::undirected), "every edge runs both ways")};
}

/// The options of every set of nodes, to follow those of its own.
template <class O>
auto node_options(const char* path) {
  const auto own = []<class T>(T NodeOptions::*member) -> T O::* { return member; };
  return std::tuple_cat(std::tuple{zstar::opt("path", own(&NodeOptions::path), path),
                                   zstar::opt("split", own(&NodeOptions::split), "number of the split, 0 … 9", zstar::at_least(0)),
                                   zstar::opt("row_norm", own(&NodeOptions::row_norm), "divide the features of a node by their sum")},
                        adjacency_options<O>());
}

/// Batch tensors: `features` (n, p), `adjacency_indices` (2, nnz), `adjacency_values`, `labels` (n), `mask` (n). One batch: the graph.
class NodeSet : public zstar::Dataset {
 public:
  zstar::Description describe() const override { return {{{"nodes", features_.size(0)}, {"features", features_.size(1)}, {"classes", classes_}}}; }
  std::int64_t size(Split split) const override { return of(split).any().item<bool>() ? 1 : 0; }
  std::vector<std::vector<std::int64_t>> batches(Split split, std::int64_t, std::uint64_t) const override {
    if (size(split) == 0) return {};
    return {{0}};
  }
  zstar::Batch load(Split split, const std::vector<std::int64_t>&, std::uint64_t) const override {
    return {{{"features", features_}, {"adjacency_indices", adjacency_.indices}, {"adjacency_values", adjacency_.values}, {"labels", labels_}, {"mask", of(split)}}, {}};
  }

 protected:
  explicit NodeSet(const NodeOptions& o) : o_(o) {
    if (o.path.empty()) throw OptionError("path", "path is not set; name the folder of the data: --set dataset.path=FOLDER");
  }

  /// Takes a graph over. \param pairs  [2, e] \param masks  truth values of training, validation, test; [n] each
  void set(const fs::path& from, const Tensor& features, const Tensor& pairs, const Tensor& labels, const std::vector<Tensor>& masks, zstar::Host& host) {
    about(from, [&] {
      const std::int64_t n = features.size(0);
      const std::string nodes = std::to_string(n) + " nodes";
      if (features.numel() == 0) throw FormatError("has no node, or no feature");
      if (labels.numel() != n) throw FormatError("has " + std::to_string(labels.numel()) + " labels for " + nodes);
      if (pairs.numel() == 0) throw FormatError("has no edge");
      labels_ = whole(labels, "label");
      all_are(labels_, labels_.ge(0) & labels_.lt(n), "label", "classes counted from 0, no more than the " + nodes);
      const Tensor ends = pairs.t(), known = ends.ge(0) & ends.lt(n);
      all_are(ends, known, "node of an edge", "one of the " + nodes + ", counted from 0");
      for (const Tensor& mask : masks)
        if (mask.numel() != n) throw FormatError("has a split over " + std::to_string(mask.numel()) + " of " + nodes);
      features_ = finite(features, "feature");
    });
    if (o_.row_norm) features_ = rows_to_one(features_);
    classes_ = labels_.max().item<std::int64_t>() + 1;
    adjacency_ = adjacency_of(pairs, features_.size(0), o_);
    for (std::size_t k = 0; k < 3; ++k) masks_[k] = masks[k];
    note_one_class(from, labels_, "nodes", host);
  }

 private:
  const Tensor& of(Split split) const { return masks_[static_cast<std::size_t>(split)]; }

  NodeOptions o_;
  Tensor features_, labels_, masks_[3];
  Adjacency adjacency_;
  std::int64_t classes_ = 0;
};

}  // namespace
}  // namespace zstar_graphs
