#pragma once
/// \file Many small graphs with one label each: folds, batches. What data sets for the classification of graphs share.

#include <map>

#include <ATen/CPUGeneratorImpl.h>

#include "nodes.hpp"

namespace zstar_graphs {
namespace {

/// One graph: pairs [2, e], features [n, p], numbers of the edges' types [e] or undefined.
struct SmallGraph {
  Tensor pairs, features, types;
};

struct GraphSetOptions : AdjacencyOptions {
  std::string path, edges = "one";
  std::int64_t fold = 0, folds = 10, seed = 42;
  double validation = 0.1;
};

template <class O>
auto graph_set_options(const char* path) {
  const auto own = []<class T>(T GraphSetOptions::*member) -> T O::* { return member; };
  return std::tuple_cat(
      std::tuple{zstar::opt("path", own(&GraphSetOptions::path), path),
                 zstar::opt("fold", own(&GraphSetOptions::fold), "the fold that tests, 0 … folds − 1", zstar::at_least(0)),
                 zstar::opt("folds", own(&GraphSetOptions::folds), "parts of equal size with equal shares of the classes", zstar::at_least(2)),
                 zstar::opt("seed", own(&GraphSetOptions::seed), "of the folds and of the validation part", zstar::at_least(0)),
                 zstar::opt("validation", own(&GraphSetOptions::validation), "share of the graphs that do not test, set aside to select by; equal shares of the classes; 0: none", zstar::from_below(0.0, 1.0)),
                 zstar::choice("edges", own(&GraphSetOptions::edges),
                               "their weights. one: in training and evaluation; published, to compare with the published program: in training the number of the edge's type, 0 for the first (one where there "
                               "are no types), in validation and test A + Aᵀ; undirected is not asked then", {"one", "published"})},
      adjacency_options<O>());
}

/// The published program's adjacency of training or, Aᵀ added, of evaluation. \param pairs  as in the file
inline Adjacency published_adjacency(const SmallGraph& g, bool training, const AdjacencyOptions& o) {
  const std::int64_t n = g.features.size(0);
  const Tensor weights = training && g.types.defined() ? g.types : torch::ones({g.pairs.size(1)});
  if (training) return weighted(g.pairs, weights, n, o.adjacency);
  return weighted(torch::cat({g.pairs, g.pairs.flip(0)}, 1), torch::cat({weights, weights}), n, o.adjacency);
}

/// Indices in `parts` lists: each class is shuffled and dealt out in turn, going on where the class before ended.
inline std::vector<std::vector<std::int64_t>> dealt(const std::vector<std::int64_t>& indices, const Tensor& labels, std::int64_t parts, std::uint64_t seed) {
  std::map<std::int64_t, std::vector<std::int64_t>> classes;
  for (const std::int64_t i : indices) classes[labels[i].item<std::int64_t>()].push_back(i);
  std::vector<std::vector<std::int64_t>> out(static_cast<std::size_t>(parts));
  auto draw = at::make_generator<at::CPUGeneratorImpl>(seed);
  std::size_t next = 0;
  for (const auto& [label, members] : classes) {
    const Tensor order = torch::randperm(static_cast<std::int64_t>(members.size()), draw);
    for (std::int64_t k = 0; k < order.numel(); ++k) out[next++ % out.size()].push_back(members[static_cast<std::size_t>(order[k].item<std::int64_t>())]);
  }
  for (auto& part : out) std::sort(part.begin(), part.end());
  return out;
}

/// Batch tensors: `features` (n, p), `adjacency_indices`, `adjacency_values`, `graphs` (n; the graph of every node), `labels` (graphs).
class GraphSet : public zstar::Dataset {
 public:
  zstar::Description describe() const override { return {{{"features", graphs_.front().features.size(1)}, {"classes", classes_}}}; }
  std::int64_t size(Split split) const override { return static_cast<std::int64_t>(of(split).size()); }

  std::vector<std::vector<std::int64_t>> batches(Split split, std::int64_t batch_size, std::uint64_t shuffle_seed) const override {
    const std::int64_t n = size(split);
    const Tensor order = split == Split::train ? torch::randperm(n, at::make_generator<at::CPUGeneratorImpl>(shuffle_seed)) : torch::arange(n);
    std::vector<std::vector<std::int64_t>> out;
    if (n == 0) return out;
    for (const Tensor& part : order.split(batch_size)) out.emplace_back(part.data_ptr<std::int64_t>(), part.data_ptr<std::int64_t>() + part.numel());
    return out;
  }

  zstar::Batch load(Split split, const std::vector<std::int64_t>& indices, std::uint64_t) const override {
    std::vector<Tensor> features, pairs, values, graphs;
    std::vector<std::int64_t> ids;
    std::int64_t first = 0;
    for (const std::int64_t i : indices) {
      const std::int64_t id = of(split)[static_cast<std::size_t>(i)];
      const SmallGraph& g = graphs_[static_cast<std::size_t>(id)];
      const Adjacency& a = (split == Split::train || evaluated_.empty() ? adjacency_ : evaluated_)[static_cast<std::size_t>(id)];
      const std::int64_t n = g.features.size(0);
      features.push_back(g.features), pairs.push_back(a.indices + first), values.push_back(a.values);
      graphs.push_back(torch::full({n}, static_cast<std::int64_t>(ids.size()), torch::kInt64));
      ids.push_back(id);
      first += n;
    }
    const Tensor rows = torch::tensor(ids, torch::kInt64);
    return {{{"features", torch::cat(features)}, {"adjacency_indices", torch::cat(pairs, 1)}, {"adjacency_values", torch::cat(values)}, {"graphs", torch::cat(graphs)},
             {"labels", labels_.index_select(0, rows)}}, ids};
  }

 protected:
  explicit GraphSet(const GraphSetOptions& o) : o_(o) {
    if (o.path.empty()) throw OptionError("path", "path is not set; name the folder of the data: --set dataset.path=FOLDER");
    if (o.fold >= o.folds) throw OptionError("fold", "fold is " + std::to_string(o.fold) + "; expected one of " + std::to_string(o.folds) + ", counted from 0");
  }

  /// Takes the graphs over; labels of any values become 0, 1, … in their order. \param tested  graphs that test; empty: fold by `dealt`
  void set(const fs::path& from, std::vector<SmallGraph> graphs, const std::vector<std::int64_t>& labels, zstar::Host& host, std::vector<std::int64_t> tested = {}) {
    if (graphs.empty()) zstar::formats::damaged(from, "has no graph");
    graphs_ = std::move(graphs);
    const bool published = o_.edges == "published";
    for (const SmallGraph& g : graphs_) {
      adjacency_.push_back(published ? published_adjacency(g, /*training=*/true, o_) : adjacency_of(g.pairs, g.features.size(0), o_));
      if (published) evaluated_.push_back(published_adjacency(g, /*training=*/false, o_));
    }
    std::map<std::int64_t, std::int64_t> known;
    for (const std::int64_t label : labels) known.emplace(label, 0);
    for (auto& [label, index] : known) index = classes_++;
    std::vector<std::int64_t> mapped, all, rest;
    for (const std::int64_t label : labels) mapped.push_back(known.at(label)), all.push_back(static_cast<std::int64_t>(all.size()));
    labels_ = torch::tensor(mapped, torch::kInt64);
    note_one_class(from, labels_, "graphs", host);
    const auto seed = static_cast<std::uint64_t>(o_.seed);
    if (tested.empty() && o_.folds > static_cast<std::int64_t>(all.size()))
      throw OptionError("folds", "folds is " + std::to_string(o_.folds) + ", there are " + std::to_string(all.size()) + " graphs; expected no more folds than graphs, so that each tests some");
    if (tested.empty()) tested = dealt(all, labels_, o_.folds, seed)[static_cast<std::size_t>(o_.fold)];
    std::sort(tested.begin(), tested.end());
    std::set_difference(all.begin(), all.end(), tested.begin(), tested.end(), std::back_inserter(rest));
    splits_[2] = std::move(tested);
    if (o_.validation > 0) {
      const auto parts = dealt(rest, labels_, std::max<std::int64_t>(2, std::llround(1 / o_.validation)), seed + 1);
      splits_[1] = parts.front();
      std::vector<std::int64_t> train;
      std::set_difference(rest.begin(), rest.end(), splits_[1].begin(), splits_[1].end(), std::back_inserter(train));
      rest = std::move(train);
    }
    splits_[0] = std::move(rest);
  }

 private:
  const std::vector<std::int64_t>& of(Split split) const { return splits_[static_cast<std::size_t>(split)]; }

  GraphSetOptions o_;
  std::vector<SmallGraph> graphs_;
  std::vector<Adjacency> adjacency_, evaluated_;  ///< evaluated_: of validation and test, where it is another; else empty
  std::vector<std::int64_t> splits_[3];
  Tensor labels_;
  std::int64_t classes_ = 0;
};

/// One-hot rows of tags; tags of any values, in their order.
inline Tensor one_hot(const Tensor& tags, const std::vector<std::int64_t>& known) {
  const Tensor rows = torch::searchsorted(torch::tensor(known, torch::kInt64), tags.contiguous());
  return torch::zeros({tags.numel(), static_cast<std::int64_t>(known.size())}).scatter_(1, rows.unsqueeze(1), 1.0);
}

inline std::vector<std::int64_t> different(std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

}  // namespace
}  // namespace zstar_graphs
