#pragma once
/// \file From tokens to vectors and from vectors to probabilities: adaptive embedding, projected adaptive softmax, their ties.

#include <zstar/sdk.hpp>

namespace zstar_deq_transformer {
namespace {

using torch::Tensor;
using torch::nn::Module;
using zstar::OptionError;

/// The vocabulary in clusters [0, c₁), [c₁, c₂), …, [c_k, V), and what of the two sides is one.
struct WordOptions {
  std::int64_t tokens = 0, width = 0, embedding = 0;  ///< V, D, E
  std::vector<std::int64_t> cutoffs;                  ///< c₁ … c_k
  std::int64_t divisor = 1;                           ///< cluster i has vectors of E / divisorⁱ numbers; 1: one table for all
  bool tied = true;                                   ///< the softmax reads the embedding's tables
  std::vector<bool> tied_projections;                 ///< of every cluster: the softmax reads the embedding's projection
  bool one_storage = false;                           ///< tied projections are two parameters in one storage

  std::size_t clusters() const { return cutoffs.size() + 1; }
  std::int64_t begin(std::size_t i) const { return i == 0 ? 0 : cutoffs[i - 1]; }
  std::int64_t end(std::size_t i) const { return i < cutoffs.size() ? cutoffs[i] : tokens; }
  bool one_table() const { return divisor == 1; }
  std::int64_t width_of(std::size_t i) const {
    std::int64_t e = embedding;
    for (std::size_t k = 0; k < i; ++k) e /= divisor;
    return e;
  }
  bool projected() const { return !one_table() || embedding != width; }
  /// Cluster of every token of t, int64 in the shape of t.
  Tensor cluster_of(const Tensor& t) const {
    return torch::bucketize(t, torch::tensor(cutoffs, t.options()), /*out_int32=*/false, /*right=*/true);
  }
};

/// A matrix under the name `weight`, and perhaps a `bias`. Ties hand over the matrix of another.
class Table final : public Module {
 public:
  explicit Table(Tensor weight, std::int64_t bias = 0) {
    weight_ = register_parameter("weight", std::move(weight));
    if (bias > 0) bias_ = register_parameter("bias", torch::zeros({bias}));
  }
  const Tensor& weight() const { return weight_; }
  const Tensor& bias() const { return bias_; }
  void share(const Tensor& other) {
    if (weight_.data_ptr() != other.data_ptr()) weight_.set_data(other.detach());
  }

 private:
  Tensor weight_, bias_;
};
using Tables = std::vector<std::shared_ptr<Table>>;

/// Registers tables under `name`.0, `name`.1, …
inline void place(Module& owner, const std::string& name, const Tables& tables) {
  if (tables.empty()) return;
  const auto list = owner.register_module(name, std::make_shared<Module>());
  for (std::size_t i = 0; i < tables.size(); ++i) list->register_module(std::to_string(i), tables[i]);
}

/// e(x) = √D P_i table_i[x − c_i] for a token x of cluster i.
/// \par Source  Baevski & Auli, Adaptive input representations for neural language modeling, ICLR 2019
class Embedding final : public Module {
 public:
  Embedding(const WordOptions& o, double std) : o_(o) {
    const std::size_t n = o.one_table() ? 1 : o.clusters();
    const auto normal = [std](std::int64_t rows, std::int64_t columns) {
      return std::make_shared<Table>(torch::empty({rows, columns}).normal_(0, std));
    };
    for (std::size_t i = 0; i < n; ++i) {
      tables_.push_back(normal(o.one_table() ? o.tokens : o.end(i) - o.begin(i), o.width_of(i)));
      if (o.projected()) projections_.push_back(normal(o.width, o.width_of(i)));
    }
    place(*this, "emb_layers", tables_);
    place(*this, "emb_projs", projections_);
  }

  const Tables& tables() const { return tables_; }
  const Tables& projections() const { return projections_; }

  /// \param x  int64 [B, L] \return [B, L, D]
  Tensor forward(const Tensor& x) const {
    const Tensor flat = x.reshape({-1});
    const Tensor e = tables_.size() == 1 ? vectors(0, flat) : by_cluster(flat);
    return (e * std::sqrt(static_cast<double>(o_.width))).reshape({x.size(0), x.size(1), o_.width});
  }

 private:
  Tensor vectors(std::size_t i, const Tensor& rows) const {
    const Tensor e = torch::embedding(tables_[i]->weight(), rows);
    return o_.projected() ? torch::linear(e, projections_[i]->weight()) : e;
  }

  /// Clusters one after the other, then back to the order of the tokens. A cluster without a token takes no part.
  Tensor by_cluster(const Tensor& flat) const {
    const Tensor cluster = o_.cluster_of(flat);
    std::vector<Tensor> parts, places;
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      const Tensor at = (cluster == static_cast<std::int64_t>(i)).nonzero().squeeze(1);
      if (at.numel() == 0) continue;
      parts.push_back(vectors(i, flat.index_select(0, at) - o_.begin(i)));
      places.push_back(at);
    }
    return torch::cat(parts).index_select(0, torch::cat(places).argsort());
  }

  WordOptions o_;
  Tables tables_, projections_;
};

/// −log p(target): the head chooses among the tokens of cluster 0 and the other clusters, a softmax of its own within each.
/// With k clusters besides the first, cluster i is the head's column −i, counted from the end.
/// \par Source  Grave et al., Efficient softmax approximation for GPUs, ICML 2017
class AdaptiveSoftmax final : public Module {
 public:
  AdaptiveSoftmax(const WordOptions& o, const Embedding& embedding, double std) : o_(o) {
    const auto k = static_cast<std::int64_t>(o.cutoffs.size());
    if (k > 0) {
      cluster_weight_ = register_parameter("cluster_weight", torch::empty({k, o.embedding}).normal_(0, std));
      cluster_bias_ = register_parameter("cluster_bias", torch::zeros({k}));
    }
    for (const auto& table : embedding.tables()) {
      const Tensor weight = o.tied ? table->weight() : torch::empty_like(table->weight()).normal_(0, std);
      layers_.push_back(std::make_shared<Table>(weight, /*bias=*/weight.size(0)));
    }
    if (o.projected())
      for (std::size_t i = 0; i < o.clusters(); ++i) projections_.push_back(projection(i, embedding, std));
    place(*this, "out_layers", layers_);
    place(*this, "out_projs", projections_);
  }

  /// −log p of every target. \param h  [B, L, D] \param target  int64 [B, L] \return [B, L]
  Tensor nll(const Tensor& h, const Tensor& target) const {
    share_storages();
    const Tensor rows = h.reshape({-1, o_.width}), t = target.reshape({-1});
    if (o_.clusters() == 1) return torch::cross_entropy_loss(logits(0, rows), t, {}, at::Reduction::None).reshape(target.sizes());
    const Tensor cluster = o_.cluster_of(t);
    const Tensor head = torch::log_softmax(head_logits(rows), 1), column = torch::where(cluster == 0, t, head.size(1) - cluster);
    Tensor loss = -head.gather(1, column.unsqueeze(1)).squeeze(1);
    for (std::size_t i = 1; i < o_.clusters(); ++i) {
      const Tensor at = (cluster == static_cast<std::int64_t>(i)).nonzero().squeeze(1);
      if (at.numel() == 0) continue;
      const Tensor within = t.index_select(0, at) - o_.begin(i);
      loss = loss.index_add(0, at, torch::cross_entropy_loss(logits(i, rows.index_select(0, at)), within, {}, at::Reduction::None));
    }
    return loss.reshape(target.sizes());
  }

  /// log p of all tokens. \param h  [B, D] \return [B, V]
  Tensor log_probabilities(const Tensor& h) const {
    if (o_.clusters() == 1) return torch::log_softmax(logits(0, h), 1);
    const Tensor head = torch::log_softmax(head_logits(h), 1);
    std::vector<Tensor> parts{head.narrow(1, 0, o_.end(0))};
    for (std::size_t i = 1; i < o_.clusters(); ++i)
      parts.push_back(torch::log_softmax(logits(i, h), 1) + head.narrow(1, head.size(1) - static_cast<std::int64_t>(i), 1));
    return torch::cat(parts, 1);
  }

 private:
  std::shared_ptr<Table> projection(std::size_t i, const Embedding& embedding, double std) {
    const auto& source = embedding.projections()[o_.one_table() ? 0 : i];
    if (!o_.tied_projections[i]) return std::make_shared<Table>(torch::empty_like(source->weight()).normal_(0, std));
    if (!o_.one_storage) return std::make_shared<Table>(source->weight());
    const auto table = std::make_shared<Table>(source->weight().detach());
    shared_.emplace_back(table, source);
    return table;
  }

  /// Moves to another device or dtype part what is one storage; a step must find it together.
  void share_storages() const {
    for (const auto& [table, source] : shared_) table->share(source->weight());
  }

  Tensor projected(std::size_t i, const Tensor& h) const { return projections_.empty() ? h : h.matmul(projections_[i]->weight()); }

  /// Scores of the tokens of cluster i. \param h  [N, D]
  Tensor logits(std::size_t i, const Tensor& h) const {
    const Table& layer = *layers_[o_.one_table() ? 0 : i];
    if (!o_.one_table() || o_.clusters() == 1) return torch::linear(projected(i, h), layer.weight(), layer.bias());
    const std::int64_t from = o_.begin(i), count = o_.end(i) - from;
    return torch::linear(projected(i, h), layer.weight().narrow(0, from, count), layer.bias().narrow(0, from, count));
  }

  /// Scores of the tokens of cluster 0, then of the clusters k, …, 1.
  Tensor head_logits(const Tensor& h) const {
    return torch::cat({logits(0, h), torch::linear(projected(0, h), cluster_weight_, cluster_bias_)}, 1);
  }

  WordOptions o_;
  Tensor cluster_weight_, cluster_bias_;
  Tables layers_, projections_;
  std::vector<std::pair<std::shared_ptr<Table>, std::shared_ptr<Table>>> shared_;  ///< one storage each
};

}  // namespace
}  // namespace zstar_deq_transformer
