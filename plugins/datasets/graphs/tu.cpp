/// \file Graph sets in TU's text form. Layout and sources: README.md.
#include "graph_set.hpp"

namespace {

using namespace zstar_graphs;

class Tu final : public GraphSet {
 public:
  struct Options : GraphSetOptions {
    std::string name, features = "labels";
  };
  static auto options() {
    return std::tuple_cat(std::tuple{zstar::opt("graphs", &Options::name, "name of the set: MUTAG, PTC_MR, COX2, PROTEINS, NCI1, …; empty: the one whose files are there, of several MUTAG"),
                                     zstar::choice("features", &Options::features, "labels: one-hot labels of the nodes (their in-degree where there are none); attributes; both", {"labels", "attributes", "both"})},
                          graph_set_options<Options>("folder of the sets' folders, or that of the set, or one of its files: NAME_A.txt, NAME_graph_indicator.txt, …"));
  }

  Tu(const Options& o, zstar::Host& host) : GraphSet(o), o_(resolved(o, host)), folder_(o_.path) {
    const fs::path indicator = needed(folder_, o_.name + "_graph_indicator.txt");
    const auto of_node = column(indicator), labels = column(needed(folder_, o_.name + "_graph_labels.txt"));
    const auto n = static_cast<std::int64_t>(of_node.size()), count = static_cast<std::int64_t>(labels.size());
    std::vector<std::int64_t> first{0};
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t g = of_node[static_cast<std::size_t>(i)];
      if (g != static_cast<std::int64_t>(first.size()) && g != static_cast<std::int64_t>(first.size()) + 1)
        zstar::formats::damaged(indicator, "line " + std::to_string(i + 1) + ": graph " + std::to_string(g) + " follows graph " + std::to_string(first.size()) + "; graphs were expected in order, from 1");
      if (g > static_cast<std::int64_t>(first.size())) first.push_back(i);
    }
    if (static_cast<std::int64_t>(first.size()) != count) zstar::formats::damaged(indicator, "has " + std::to_string(first.size()) + " graphs, there are labels for " + std::to_string(count));
    first.push_back(n);
    const std::vector<std::int64_t> edges = read_edges(of_node);
    const Tensor pairs = pairs_of(edges), features = read_features(n, pairs), graph = torch::tensor(of_node, torch::kInt64).index_select(0, pairs[0]) - 1;
    const Tensor types = o_.edges == "published" ? read_types(pairs.size(1)) : Tensor();
    std::vector<SmallGraph> graphs;
    const Tensor order = graph.argsort(0, /*descending=*/false), sorted = graph.index_select(0, order), bounds = torch::searchsorted(sorted, torch::arange(count + 1));
    for (std::int64_t g = 0; g < count; ++g) {
      const std::int64_t from = bounds[g].item<std::int64_t>(), to = bounds[g + 1].item<std::int64_t>();
      const Tensor own = order.slice(0, from, to);
      graphs.push_back({pairs.index_select(1, own) - first[static_cast<std::size_t>(g)], features.slice(0, first[static_cast<std::size_t>(g)], first[static_cast<std::size_t>(g + 1)]),
                        types.defined() ? types.index_select(0, own) : types});
    }
    set(indicator, std::move(graphs), labels, host);
  }

 private:
  static Options resolved(Options o, zstar::Host& host) {
    const Located at = located(o.path, "", {"_A.txt", "_graph_indicator.txt", "_graph_labels.txt", "_node_labels.txt", "_node_attributes.txt", "_edge_labels.txt", "_edge_attributes.txt", "_graph_attributes.txt"});
    o.name = chosen(o.name, at, names_in(at.folder, "", {"_graph_indicator.txt"}), {"graphs", "MUTAG", "NAME_graph_indicator.txt"}, host);
    o.path = (fs::is_directory(at.folder / o.name) ? at.folder / o.name : at.folder).string();
    return o;
  }

  std::vector<std::int64_t> read_edges(const std::vector<std::int64_t>& of_node) const {
    const auto n = static_cast<std::int64_t>(of_node.size());
    Lines lines(needed(folder_, o_.name + "_A.txt"));
    std::vector<std::int64_t> flat;
    while (lines.next()) {
      const auto pair = lines.numbers<std::int64_t>();
      if (pair.size() != 2 || std::min(pair[0], pair[1]) < 1 || std::max(pair[0], pair[1]) > n) lines.fail("two nodes from 1 to " + std::to_string(n) + " were expected");
      if (of_node[static_cast<std::size_t>(pair[0] - 1)] != of_node[static_cast<std::size_t>(pair[1] - 1)]) lines.fail("the edge joins two graphs");
      flat.push_back(pair[0] - 1), flat.push_back(pair[1] - 1);
    }
    if (flat.empty()) zstar::formats::damaged(lines.file(), "has no edge");
    return flat;
  }

  /// The number of every edge's type, from 0; undefined: there are no types.
  Tensor read_types(std::int64_t edges) const {
    const fs::path file = find_file(folder_, o_.name + "_edge_labels.txt");
    if (file.empty()) return {};
    const Tensor labels = torch::tensor(column(file), torch::kInt64);
    if (labels.numel() != edges) zstar::formats::damaged(file, "has " + std::to_string(labels.numel()) + " lines for " + std::to_string(edges) + " edges");
    return (labels - labels.min()).to(torch::kFloat32);
  }

  Tensor read_features(std::int64_t n, const Tensor& pairs) const {
    std::vector<Tensor> parts;
    const fs::path labels = find_file(folder_, o_.name + "_node_labels.txt"), attributes = find_file(folder_, o_.name + "_node_attributes.txt");
    const auto complete = [n](const fs::path& file, std::int64_t rows) {
      if (rows != n) zstar::formats::damaged(file, "has " + std::to_string(rows) + " lines for " + std::to_string(n) + " nodes");
    };
    if (o_.features != "attributes") {
      if (labels.empty()) {
        parts.push_back(torch::zeros({n}).index_add_(0, pairs[1], torch::ones({pairs.size(1)})).unsqueeze(1));
      } else {
        const auto tags = column(labels);
        complete(labels, static_cast<std::int64_t>(tags.size()));
        parts.push_back(one_hot(torch::tensor(tags, torch::kInt64), different(tags)));
      }
    }
    if (o_.features != "labels") {
      if (attributes.empty()) throw OptionError("features", "the nodes of " + o_.name + " have no attributes; choose features = \"labels\"");
      std::vector<float> flat;
      std::int64_t rows = 0;
      for (Lines lines(attributes); lines.next(); ++rows) {
        const auto row = lines.numbers<float>();
        flat.insert(flat.end(), row.begin(), row.end());
        if (static_cast<std::int64_t>(flat.size()) != (rows + 1) * static_cast<std::int64_t>(row.size())) lines.fail("the lines have different numbers of attributes");
      }
      complete(attributes, rows);
      parts.push_back(torch::tensor(flat).reshape({n, -1}));
    }
    return torch::cat(parts, 1);
  }

  Options o_;
  fs::path folder_;
};

}  // namespace

ZSTAR_DATASET(Tu, "tu", "classified graphs in TU's text form: MUTAG, PTC, PROTEINS, NCI1, COX2, …")
