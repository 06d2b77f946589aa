/// \file Protein interactions in GraphSAGE's form: many graphs, several labels for each node. Layout and source: README.md.
#include <ATen/CPUGeneratorImpl.h>
#include <nlohmann/json.hpp>

#include "nodes.hpp"
#include "zstar/formats/arrays.hpp"

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
    return std::tuple_cat(std::tuple{zstar::opt("path", &Options::path, "folder of train_graph.json, train_feats.npy, train_labels.npy, train_graph_id.npy, valid_…, test_…, or one of these files")},
                          adjacency_options<Options>());
  }

  Ppi(const Options& o, zstar::Host&) : o_(o) {
    if (o.path.empty()) throw OptionError("path", "path is not set; name the folder of the data: --set dataset.path=FOLDER");
    o_.path = located(o.path, "", {"_graph.json", "_feats.npy", "_labels.npy", "_graph_id.npy"}).folder.string();
    const char* names[] = {"train", "valid", "test"};
    for (int k = 0; k < 3; ++k) {
      read(names[k], splits_[k]);
      same_width(names[k], "_feats.npy", splits_[k].front().features.size(1), splits_[0].front().features.size(1));
      same_width(names[k], "_labels.npy", splits_[k].front().labels.size(1), splits_[0].front().labels.size(1));
    }
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

  void same_width(const std::string& split, const std::string& kind, std::int64_t width, std::int64_t expected) const {
    if (width != expected)
      zstar::formats::damaged(needed(o_.path, split + kind), "has " + std::to_string(width) + " numbers for each node, train" + kind + " has " + std::to_string(expected));
  }

  /// \param checked  what its numbers must be, and become
  template <class F>
  Tensor array(const std::string& name, const F& checked) const {
    const fs::path file = needed(o_.path, name);
    return about(file, [&] {
      const Bytes bytes = read_file(file);
      return checked(zstar::formats::read_npy(as_text(bytes)));
    });
  }

  /// Pairs of positions from the links of a graph in node-link form.
  Tensor links(const fs::path& file, std::int64_t n) const {
    return about(file, [&] {
      try {
        const Bytes bytes = read_file(file);
        const auto graph = nlohmann::json::parse(as_text(bytes));
        std::vector<std::int64_t> flat;
        for (const auto& link : graph.at("links"))
          for (const char* end : {"source", "target"}) {
            flat.push_back(link.at(end).get<std::int64_t>());
            if (flat.back() < 0 || flat.back() >= n) throw FormatError("has a link to node " + std::to_string(flat.back()) + " of " + std::to_string(n) + " nodes");
          }
        if (flat.empty()) throw FormatError("has no link");
        return pairs_of(flat);
      } catch (const nlohmann::json::exception&) {
        throw FormatError("is no JSON graph with 'links' of 'source' and 'target' numbers, or is cut short");
      }
    });
  }

  void read(const std::string& name, std::vector<Sample>& out) const {
    const Tensor features = array(name + "_feats.npy", [](const Tensor& t) { return finite(t, "feature"); }),
                 labels = array(name + "_labels.npy", [](const Tensor& t) { return zeros_and_ones(t, "label").to(torch::kFloat32); }),
                 of_node = array(name + "_graph_id.npy", [](const Tensor& t) { return whole(t, "graph id").flatten(); });
    const fs::path file = needed(o_.path, name + "_graph.json");
    const std::int64_t n = features.dim() > 0 ? features.size(0) : 0;
    if (features.dim() != 2 || labels.dim() != 2 || labels.size(0) != n || of_node.numel() != n || n == 0)
      zstar::formats::damaged(file, "and its features, labels and graph ids have different numbers of nodes");
    Tensor pairs = links(file, n);
    pairs = pairs.index_select(1, pairs[0].ne(pairs[1]).nonzero().squeeze(1));
    const Tensor crossing = of_node.index_select(0, pairs[0]).ne(of_node.index_select(0, pairs[1]));
    if (crossing.any().item<bool>()) zstar::formats::damaged(file, "has links between different graphs");
    const Tensor ids = std::get<0>(torch::_unique(of_node, /*sorted=*/true));
    for (std::int64_t k = 0; k < ids.numel(); ++k) {
      const std::int64_t g = ids[k].item<std::int64_t>();
      const Tensor nodes = of_node.eq(g).nonzero().squeeze(1);
      const Tensor place = torch::zeros({n}, torch::kInt64).index_copy_(0, nodes, torch::arange(nodes.numel()));
      const Tensor inside = pairs.index_select(1, of_node.index_select(0, pairs[0]).eq(g).nonzero().squeeze(1));
      const Tensor local = place.index_select(0, inside.flatten()).reshape(inside.sizes());
      out.push_back({features.index_select(0, nodes), labels.index_select(0, nodes), adjacency_of(local, nodes.numel(), o_)});
    }
  }

  Options o_;
  std::vector<Sample> splits_[3];
};

}  // namespace

ZSTAR_DATASET(Ppi, "ppi", "protein interactions: 24 graphs, 121 labels, GraphSAGE's files")
