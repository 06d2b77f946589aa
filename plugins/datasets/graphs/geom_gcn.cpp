/// \file Cornell, Texas, Wisconsin, Film in Geom-GCN's text form. Layout, traps and source: README.md.
#include "masks.hpp"

namespace {

using namespace zstar_graphs;

class GeomGcn final : public NodeSet {
 public:
  struct Options : NodeOptions {
    std::string name, splits;
    std::int64_t features = 0;
  };
  static auto options() {
    return std::tuple_cat(std::tuple{zstar::opt("graph", &Options::name, "folder below path: cornell, texas, wisconsin, film, …; empty: the one that is there, of several wisconsin"),
                                     zstar::opt("splits", &Options::splits, "folder of the splits; empty: looked for beside path"),
                                     zstar::opt("features", &Options::features, "numbers of a node where features are lists of indices (film); 0: the largest index and one", zstar::at_least(0))},
                          node_options<Options>("folder of the graphs' folders (new_data), or the one above it, or that of a graph, or one of its files"));
  }

  GeomGcn(const Options& given, zstar::Host& host) : NodeSet(given), o_(resolved(given, host)) {
    const Options& o = o_;
    const fs::path folder = o.path;
    const fs::path nodes = needed(folder, "out1_node_feature_label.txt");
    read_nodes(nodes);
    const Tensor pairs = read_edges(needed(folder, "out1_graph_edges.txt"), labels_.numel());
    if (o.name == "cornell") warn_of_copy(nodes, folder, host);
    set(nodes, features_, pairs, labels_, masks_of(geom_split(o.splits.empty() ? folder : fs::path(o.splits), o.name, o.split), "_mask"), host);
  }

 private:
  /// The options with the graph and its folder, whether path names that folder, a file in it, or one above it.
  /// A graph has the name of its folder.
  static Options resolved(Options o, zstar::Host& host) {
    const std::string nodes = "out1_node_feature_label.txt";
    Located at = located(o.path, "out1_", {"node_feature_label.txt", "graph_edges.txt"});
    at.name.clear();
    if (fs::is_directory(at.folder / "new_data")) at.folder /= "new_data";
    std::vector<std::string> there;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(at.folder, error))
      if (!find_file(entry.path(), nodes).empty()) there.push_back(entry.path().filename().string());
    std::sort(there.begin(), there.end());
    if (!find_file(at.folder, nodes).empty()) there = {fs::canonical(at.folder).filename().string()};
    o.name = chosen(o.name, at, there, {"graph", "wisconsin", nodes}, host);
    o.path = (fs::is_directory(at.folder / o.name) ? at.folder / o.name : at.folder).string();
    return o;
  }

  /// Cornell's file is Texas's in the official repository: its own features and labels are lost there.
  static void warn_of_copy(const fs::path& nodes, const fs::path& folder, zstar::Host& host) {
    const fs::path other = find_file(folder / ".." / "texas", "out1_node_feature_label.txt");
    if (!other.empty() && read_file(nodes) == read_file(other))
      host.warn("cornell: out1_node_feature_label.txt is that of texas, byte for byte, as in the official repository; Cornell's own features and labels are in "
                "heterophilous/cornell.npz (data set heterophilous)");
  }

  /// What a line says of a node: features are zeros and ones, or (film) the indices of the ones.
  struct Node {
    std::int64_t id, label;
    std::vector<std::int64_t> features;
    std::string line;
  };

  static Node node_of(const Lines& lines) {
    const auto words = lines.words("\t\r");
    if (words.size() != 3) lines.fail("three columns were expected: id, features, label");
    Node node{lines.number<std::int64_t>(words[0]), lines.number<std::int64_t>(words[2]), {}, "line " + std::to_string(lines.line())};
    for (std::string_view rest = words[1]; !rest.empty();) {
      const auto end = std::min(rest.find(','), rest.size());
      const auto x = lines.number<std::int64_t>(rest.substr(0, end));
      if (x < 0 || x > 1000000) lines.fail("there is the feature " + std::to_string(x) + "; expected zeros and ones, or indices");
      node.features.push_back(x);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return node;
  }

  /// Lines "id TAB f,f,f TAB label" behind a heading.
  void read_nodes(const fs::path& file) {
    Lines lines(file);
    lines.heading();
    std::vector<Node> nodes;
    while (lines.next()) nodes.push_back(node_of(lines));
    if (nodes.empty()) zstar::formats::damaged(file, "has no node");
    const auto n = static_cast<std::int64_t>(nodes.size());
    std::int64_t most = 0;
    bool zeros = false;  // a line with several zeros is no list of indices
    for (const Node& node : nodes) {
      for (const std::int64_t x : node.features) most = std::max(most, x);
      zeros = zeros || std::count(node.features.begin(), node.features.end(), 0) > 1;
    }
    const bool dense = o_.features == 0 && (most <= 1 || zeros);
    features_ = torch::zeros({n, dense ? static_cast<std::int64_t>(nodes[0].features.size()) : std::max(o_.features, most + 1)}), labels_ = torch::zeros({n}, torch::kInt64);
    const Tensor seen = torch::zeros({n}, torch::kBool);
    for (const Node& node : nodes) {
      if (node.id < 0 || node.id >= n || seen[node.id].item<bool>()) zstar::formats::damaged(file, node.line + ": there is the node id " + std::to_string(node.id) + " twice or outside of 0 … " + std::to_string(n - 1));
      seen[node.id] = true;
      labels_[node.id] = node.label;
      const Tensor features = torch::tensor(node.features, torch::kInt64);
      if (dense) features_[node.id].copy_(zeros_and_ones_of(file, node, features));
      else features_[node.id].index_fill_(0, features, 1.0);
    }
  }

  Tensor zeros_and_ones_of(const fs::path& file, const Node& node, const Tensor& features) const {
    if (features.numel() != features_.size(1))
      zstar::formats::damaged(file, node.line + ": there are " + std::to_string(features.numel()) + " features, the first node has " + std::to_string(features_.size(1)));
    if (features.max().item<std::int64_t>() > 1) zstar::formats::damaged(file, node.line + ": there is the feature " + std::to_string(features.max().item<std::int64_t>()) + "; expected zeros and ones, as elsewhere");
    return features;
  }

  /// Lines "id TAB id" behind a heading.
  static Tensor read_edges(const fs::path& file, std::int64_t n) {
    Lines lines(file);
    lines.heading();
    std::vector<std::int64_t> flat;
    while (lines.next()) {
      const auto pair = lines.numbers<std::int64_t>();
      if (pair.size() != 2 || std::min(pair[0], pair[1]) < 0 || std::max(pair[0], pair[1]) >= n) lines.fail("two node ids from 0 to " + std::to_string(n - 1) + " were expected");
      flat.insert(flat.end(), pair.begin(), pair.end());
    }
    if (flat.empty()) zstar::formats::damaged(file, "has no edge");
    return pairs_of(flat);
  }

  Options o_;
  Tensor features_, labels_;
};

}  // namespace

ZSTAR_DATASET(GeomGcn, "geom_gcn", "Cornell, Texas, Wisconsin, Film: out1_*.txt files with ten splits")
