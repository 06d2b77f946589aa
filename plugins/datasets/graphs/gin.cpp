/// \file Graph sets in the text form of GIN and DGCNN. Layout and source: README.md.
#include "graph_set.hpp"

namespace {

using namespace zstar_graphs;

class Gin final : public GraphSet {
 public:
  struct Options : GraphSetOptions {
    std::string name, split = "stratified";
  };
  static auto options() {
    return std::tuple_cat(std::tuple{zstar::opt("graphs", &Options::name, "name of the set: MUTAG, PTC, PROTEINS, NCI1; empty: the one whose file is there, of several MUTAG"),
                                     zstar::choice("split", &Options::split, "stratified: folds of our own; files: 10fold_idx/test_idx-….txt as published (a few graphs are in no test fold)", {"stratified", "files"})},
                          graph_set_options<Options>("folder of the sets' folders, or that of the set, or its file: NAME.txt"));
  }

  Gin(const Options& o, zstar::Host& host) : GraphSet(o) {
    const Located at = located(o.path, "", {".txt"});
    const std::string name = chosen(o.name, at, names_of_sets(at.folder), {"graphs", "MUTAG", "NAME.txt"}, host);
    const fs::path folder = fs::is_directory(at.folder / name) ? at.folder / name : at.folder, file = needed(folder, name + ".txt");
    read(file);
    std::vector<std::int64_t> tested;
    if (o.split == "files") {
      const fs::path list = needed(folder / "10fold_idx", "test_idx-" + std::to_string(o.fold + 1) + ".txt");
      tested = different(column(list));
      if (tested.empty() || tested.front() < 0 || tested.back() >= static_cast<std::int64_t>(labels_.size())) zstar::formats::damaged(list, "names a graph outside of 0 … " + std::to_string(labels_.size() - 1));
    }
    std::vector<std::int64_t> known;
    for (const auto& list : tags_) known.insert(known.end(), list.begin(), list.end());
    known = different(std::move(known));
    std::vector<SmallGraph> graphs;
    for (std::size_t g = 0; g < tags_.size(); ++g) graphs.push_back({pairs_of(edges_[g]), one_hot(torch::tensor(tags_[g], torch::kInt64), known)});
    set(file, std::move(graphs), labels_, host, std::move(tested));
  }

 private:
  /// NAME of NAME.txt and NAME/NAME.txt.
  static std::vector<std::string> names_of_sets(const fs::path& folder) {
    std::vector<std::string> names = names_in(folder, "", {".txt"});
    std::erase_if(names, [&](const std::string& name) { return find_file(folder, name + ".txt").empty() && find_file(folder / name, name + ".txt").empty(); });
    return names;
  }

  /// The number of graphs; for each a line "nodes label", then a line "tag degree neighbours…" for each node.
  void read(const fs::path& file) {
    Lines lines(file);
    if (!lines.next()) lines.fail("the number of graphs was expected");
    const std::int64_t count = lines.integer();
    for (std::int64_t g = 0; g < count; ++g) {
      if (!lines.next()) lines.fail("the file ends after " + std::to_string(g) + " of " + std::to_string(count) + " graphs");
      const auto head = lines.numbers<std::int64_t>();
      if (head.size() != 2 || head[0] < 1) lines.fail("the number of nodes and the label of graph " + std::to_string(g) + " were expected");
      labels_.push_back(head[1]);
      read_graph(lines, head[0]);
    }
    if (lines.next()) lines.fail("there is more than the " + std::to_string(count) + " graphs that the first line announces");
  }

  void read_graph(Lines& lines, std::int64_t n) {
    auto& tags = tags_.emplace_back();
    auto& edges = edges_.emplace_back();
    for (std::int64_t i = 0; i < n; ++i) {
      if (!lines.next()) lines.fail("the file ends in the middle of a graph");
      const auto words = lines.words(" \t\r");
      if (words.size() < 2) lines.fail("the tag of a node and its degree were expected");
      const std::int64_t degree = lines.number<std::int64_t>(words[1]);
      if (degree < 0 || static_cast<std::int64_t>(words.size()) < 2 + degree) lines.fail("the node has degree " + std::to_string(degree) + ", its line names fewer neighbours");
      tags.push_back(lines.number<std::int64_t>(words[0]));
      for (std::int64_t k = 0; k < degree; ++k) {
        const auto j = lines.number<std::int64_t>(words[static_cast<std::size_t>(2 + k)]);
        if (j < 0 || j >= n) lines.fail("the neighbour " + std::to_string(j) + " is none of the graph's " + std::to_string(n) + " nodes");
        edges.push_back(i), edges.push_back(j);
      }
    }
  }

  std::vector<std::vector<std::int64_t>> tags_, edges_;
  std::vector<std::int64_t> labels_;
};

}  // namespace

ZSTAR_DATASET(Gin, "gin", "classified graphs in GIN's text form, with the published folds")
