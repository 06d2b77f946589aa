/// \file Protein interactions: many graphs, several labels for each node. Layouts and source: README.md.
#include <ATen/CPUGeneratorImpl.h>

#include "ppi_files.hpp"

namespace {

using namespace zstar_graphs;

/// A graph with features [n, p] and labels [n, classes] of its nodes.
struct Sample {
  Tensor features, labels;
  Adjacency adjacency;
};

class Ppi final : public zstar::Dataset {
 public:
  struct Options : AdjacencyOptions {
    Options() { adjacency = "raw", undirected = true; }
    std::string path;
  };
  static auto options() {
    return std::tuple_cat(std::tuple{zstar::opt("path", &Options::path, "folder of ppi-G.json, ppi-feats.npy, ppi-id_map.json, ppi-class_map.json, or of train_graph.json, train_feats.npy, …, or one of these files")},
                          adjacency_options<Options>());
  }

  Ppi(const Options& o, zstar::Host&) : o_(o) {
    if (o.path.empty()) throw OptionError("path", "path is not set; name the folder of the data: --set dataset.path=FOLDER");
    const SplitTables tables = read_tables(o.path);
    for (std::size_t k = 0; k < tables.size(); ++k) splits_[k] = samples(tables[k], split_names[k]);
  }

  zstar::Description describe() const override { return {{{"features", splits_[0].front().features.size(1)}, {"classes", splits_[0].front().labels.size(1)}}}; }
  std::int64_t size(Split split) const override { return static_cast<std::int64_t>(of(split).size()); }

  std::vector<std::vector<std::int64_t>> batches(Split split, std::int64_t batch_size, std::uint64_t shuffle_seed) const override {
    const std::int64_t n = size(split);
    Tensor order = split == Split::train ? torch::randperm(n, at::make_generator<at::CPUGeneratorImpl>(shuffle_seed)) : torch::arange(n);
    std::vector<std::vector<std::int64_t>> out;
    for (const Tensor& part : order.split(batch_size)) out.emplace_back(part.data_ptr<std::int64_t>(), part.data_ptr<std::int64_t>() + part.numel());
    return out;
  }

  zstar::Batch load(Split split, const std::vector<std::int64_t>& indices, std::uint64_t) const override {
    std::vector<Tensor> features, labels, pairs, values, graphs;
    std::int64_t first = 0, number = 0;
    for (const std::int64_t i : indices) {
      const Sample& s = of(split)[static_cast<std::size_t>(i)];
      const std::int64_t n = s.features.size(0);
      features.push_back(s.features), labels.push_back(s.labels), pairs.push_back(s.adjacency.indices + first), values.push_back(s.adjacency.values);
      graphs.push_back(torch::full({n}, number++, torch::kInt64));
      first += n;
    }
    return {{{"features", torch::cat(features)}, {"adjacency_indices", torch::cat(pairs, 1)}, {"adjacency_values", torch::cat(values)},
             {"graphs", torch::cat(graphs)}, {"labels", torch::cat(labels)}}, indices};
  }

 private:
  const std::vector<Sample>& of(Split split) const { return splits_[static_cast<std::size_t>(split)]; }

  /// The graphs of a split, each with its nodes in their order.
  std::vector<Sample> samples(const NodeTables& t, const std::string& split) const {
    const Tensor pairs = t.pairs.index_select(1, t.pairs[0].ne(t.pairs[1]).nonzero().squeeze(1));
    if (pairs.numel() == 0) zstar::formats::damaged(t.file, "has no link between two nodes of the split '" + split + "'");
    const auto [ids, graph, sizes] = torch::_unique2(t.of_node, /*sorted=*/true, /*return_inverse=*/true, /*return_counts=*/true);
    const Tensor of_pair = graph.index_select(0, pairs[0]);
    if (of_pair.ne(graph.index_select(0, pairs[1])).any().item<bool>()) zstar::formats::damaged(t.file, "has links between different graphs");
    const auto in_order = [](const Tensor& numbers) { return std::get<1>(torch::sort(numbers, /*stable=*/true, /*dim=*/0, /*descending=*/false)); };
    const auto split_by = [](const Tensor& counts) { return std::vector<std::int64_t>(counts.data_ptr<std::int64_t>(), counts.data_ptr<std::int64_t>() + counts.numel()); };
    const Tensor order = in_order(graph), first = sizes.cumsum(0) - sizes;
    const Tensor place = torch::empty_like(order).index_copy_(0, order, torch::arange(order.numel())) - first.index_select(0, graph);
    const Tensor local = place.index_select(0, pairs.index_select(1, in_order(of_pair)).flatten()).reshape(pairs.sizes());
    const auto nodes = order.split_with_sizes(split_by(sizes)), links = local.split_with_sizes(split_by(torch::bincount(of_pair, {}, ids.numel())), 1);
    std::vector<Sample> out;
    for (std::size_t g = 0; g < nodes.size(); ++g)
      out.push_back({t.features.index_select(0, nodes[g]), t.labels.index_select(0, nodes[g]), adjacency_of(links[g], nodes[g].numel(), o_)});
    return out;
  }

  Options o_;
  std::vector<Sample> splits_[3];
};

}  // namespace

ZSTAR_DATASET(Ppi, "ppi", "protein interactions: 24 graphs, 121 labels; GraphSAGE's files, or those of each split")
