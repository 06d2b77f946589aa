/// \file Cornell, Texas, Wisconsin, Film in Geom-GCN's text form. Layout, traps and source: README.md.
#include "masks.hpp"

namespace {

using namespace zstar_graphs;

class GeomGcn final : public NodeSet {
 public:
  struct Options : NodeOptions {
    std::string name = "wisconsin", splits;
    std::int64_t features = 0;
  };
  static auto options() {
    return std::tuple_cat(std::tuple{zstar::opt("graph", &Options::name, "folder below path: cornell, texas, wisconsin, film, …"),
                                     zstar::opt("splits", &Options::splits, "folder of the splits; empty: looked for beside path"),
                                     zstar::opt("features", &Options::features, "numbers of a node where features are lists of indices (film); 0: the largest index and one", zstar::at_least(0))},
                          node_options<Options>("folder of the graphs' folders (new_data), or one of those"));
  }

  GeomGcn(const Options& o, zstar::Host& host) : NodeSet(o), o_(o) {
    const fs::path folder = fs::is_directory(fs::path(o.path) / o.name) ? fs::path(o.path) / o.name : fs::path(o.path);
    const fs::path nodes = needed(folder, "out1_node_feature_label.txt");
    read_nodes(nodes);
    const Tensor pairs = read_edges(needed(folder, "out1_graph_edges.txt"));
    if (o.name == "cornell") warn_of_copy(nodes, folder, host);
    set(nodes, features_, pairs, labels_, masks_of(geom_split(o.splits.empty() ? folder : fs::path(o.splits), o.name, o.split), "_mask"));
  }

 private:
  /// Cornell's file is Texas's in the official repository: its own features and labels are lost there.
  static void warn_of_copy(const fs::path& nodes, const fs::path& folder, zstar::Host& host) {
    const fs::path other = find_file(folder / ".." / "texas", "out1_node_feature_label.txt");
    if (!other.empty() && read_file(nodes) == read_file(other))
      host.warn("cornell: out1_node_feature_label.txt is that of texas, byte for byte, as in the official repository; Cornell's own features and labels are in "
                "heterophilous/cornell.npz (data set heterophilous)");
  }

  /// Lines "id TAB f,f,f TAB label" behind a heading; features are zeros and ones, or (film) the indices of the ones.
  void read_nodes(const fs::path& file) {
    Lines lines(file);
    lines.next();
    std::vector<std::vector<std::int64_t>> lists;
    std::vector<std::int64_t> ids, labels;
    for (; lines.next();) {
      const auto words = lines.words("\t\r");
      if (words.size() != 3) lines.fail("three columns were expected: id, features, label");
      ids.push_back(lines.number<std::int64_t>(words[0])), labels.push_back(lines.number<std::int64_t>(words[2]));
      auto& list = lists.emplace_back();
      for (std::string_view rest = words[1]; !rest.empty();) {
        const auto end = std::min(rest.find(','), rest.size());
        list.push_back(lines.number<std::int64_t>(rest.substr(0, end)));
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
    }
    if (lists.empty()) zstar::formats::damaged(file, "has no node");
    const auto n = static_cast<std::int64_t>(lists.size());
    const std::size_t width = lists[0].size();
    const bool dense = std::all_of(lists.begin(), lists.end(), [&](const auto& l) { return l.size() == width && std::all_of(l.begin(), l.end(), [](std::int64_t x) { return x == 0 || x == 1; }); });
    std::int64_t most = o_.features - 1;
    for (const auto& l : lists)
      for (const std::int64_t x : l) {
        if (x < 0 || x > 1000000) zstar::formats::damaged(file, "has the feature " + std::to_string(x) + "; expected zeros and ones, or indices");
        most = std::max(most, x);
      }
    features_ = torch::zeros({n, dense ? static_cast<std::int64_t>(width) : most + 1}), labels_ = torch::zeros({n}, torch::kInt64);
    const Tensor seen = torch::zeros({n}, torch::kBool);
    for (std::int64_t k = 0; k < n; ++k) {
      const std::int64_t i = ids[static_cast<std::size_t>(k)];
      if (i < 0 || i >= n || seen[i].item<bool>()) zstar::formats::damaged(file, "has the node id " + std::to_string(i) + " twice or outside of 0 … " + std::to_string(n - 1));
      seen[i] = true;
      labels_[i] = labels[static_cast<std::size_t>(k)];
      const Tensor list = torch::tensor(lists[static_cast<std::size_t>(k)], torch::kInt64);
      if (dense) features_[i].copy_(list);
      else features_[i].index_fill_(0, list, 1.0);
    }
  }

  static Tensor read_edges(const fs::path& file) {
    Lines lines(file);
    lines.next();
    std::vector<std::int64_t> flat;
    for (; lines.next();) {
      const auto pair = lines.numbers<std::int64_t>();
      if (pair.size() != 2) lines.fail("two node ids were expected");
      flat.insert(flat.end(), pair.begin(), pair.end());
    }
    return pairs_of(flat);
  }

  Options o_;
  Tensor features_, labels_;
};

}  // namespace

ZSTAR_DATASET(GeomGcn, "geom_gcn", "Cornell, Texas, Wisconsin, Film: out1_*.txt files with ten splits")
