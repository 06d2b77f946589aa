#pragma once
/// \file The two forms of the protein graphs, each read into the same tables. Layouts: README.md.

#include <array>

#include <nlohmann/json.hpp>

#include "nodes.hpp"
#include "zstar/formats/arrays.hpp"

namespace zstar_graphs {
namespace {

using Json = nlohmann::json;

/// The nodes of a split: features [n, p], labels [n, classes], the graph of every node [n], links as pairs of positions [2, e].
struct NodeTables {
  fs::path file;  ///< of the links
  Tensor features, labels, of_node, pairs;
};
using SplitTables = std::array<NodeTables, 3>;
constexpr std::array split_names{"train", "valid", "test"};

const std::vector<std::string> split_endings{"_graph.json", "_feats.npy", "_labels.npy", "_graph_id.npy"}, prefix_endings{"-G.json", "-feats.npy", "-id_map.json", "-class_map.json"};

/// \param checked  what the numbers of a npy file must be, and become
template <class F>
Tensor numbers_of(const fs::path& file, const F& checked) {
  return about(file, [&] {
    const Bytes bytes = read_file(file);
    return checked(zstar::formats::read_npy(as_text(bytes)));
  });
}

/// \param expected  what the JSON of the file must be \param keep  says which of its parts are kept
template <class F>
auto json_of(const fs::path& file, const std::string& expected, const F& use, const Json::parser_callback_t& keep = nullptr) {
  return about(file, [&] {
    try {
      const Bytes bytes = read_file(file);
      return use(Json::parse(as_text(bytes), keep));
    } catch (const Json::exception&) {
      throw FormatError("is no JSON " + expected + ", or is cut short");
    }
  });
}

inline std::int64_t whole_number(const Json& number) {
  if (!number.is_number_integer()) throw FormatError("has " + number.dump(-1, ' ', true) + " where a whole number was expected");
  return number.get<std::int64_t>();
}

/// Pairs of positions from a graph in node-link form. Each node and link is used and dropped as it is read: all of them together fill a gigabyte.
/// \param node  takes a node \param nodes  says how many there are; called behind the last
template <class F, class N>
Tensor links_of(const fs::path& file, const std::string& expected, const F& node, const N& nodes) {
  std::vector<std::int64_t> flat;
  std::string list;
  const auto use = [&](int depth, Json::parse_event_t event, const Json& part) {
    if (event == Json::parse_event_t::key) {
      if (depth == 1) list = part.get<std::string>();
      return part != "feature" && part != "features" && part != "label";  // in files of their own, too
    }
    if (event != Json::parse_event_t::object_end || depth != 2 || (list != "nodes" && list != "links")) return true;
    if (list == "nodes") return node(part), false;
    for (const char* end : {"source", "target"}) flat.push_back(whole_number(part.at(end)));
    return false;
  };
  return json_of(file, expected, [&](const Json& rest) {
    if (rest.at("links") != Json::array() || rest.value("nodes", Json::array()) != Json::array()) throw FormatError("is no JSON " + expected);
    const std::int64_t n = nodes();
    for (const std::int64_t end : flat)
      if (end < 0 || end >= n) throw FormatError("has a link to node " + std::to_string(end) + " of " + std::to_string(n) + " nodes");
    return pairs_of(flat);
  }, use);
}

/// Files of a split each: SPLIT_graph.json, SPLIT_feats.npy, SPLIT_labels.npy, SPLIT_graph_id.npy.
inline SplitTables read_split_files(const fs::path& folder) {
  SplitTables out;
  const auto same_width = [&](const std::string& split, const std::string& kind, const Tensor& table, const Tensor& first) {
    if (table.size(1) != first.size(1))
      zstar::formats::damaged(needed(folder, split + kind), "has " + std::to_string(table.size(1)) + " numbers for each node, train" + kind + " has " + std::to_string(first.size(1)));
  };
  for (std::size_t k = 0; k < out.size(); ++k) {
    const std::string name = split_names[k];
    NodeTables& t = out[k];
    t.features = numbers_of(needed(folder, name + "_feats.npy"), [](const Tensor& x) { return finite(x, "feature"); });
    t.labels = numbers_of(needed(folder, name + "_labels.npy"), [](const Tensor& x) { return zeros_and_ones(x, "label").to(torch::kFloat32); });
    t.of_node = numbers_of(needed(folder, name + "_graph_id.npy"), [](const Tensor& x) { return whole(x, "graph id").flatten(); });
    t.file = needed(folder, name + "_graph.json");
    const std::int64_t n = t.features.dim() > 0 ? t.features.size(0) : 0;
    if (t.features.dim() != 2 || t.labels.dim() != 2 || t.labels.size(0) != n || t.of_node.numel() != n || n == 0)
      zstar::formats::damaged(t.file, "and its features, labels and graph ids have different numbers of nodes");
    same_width(name, "_feats.npy", t.features, out[0].features);
    same_width(name, "_labels.npy", t.labels, out[0].labels);
    t.pairs = links_of(t.file, "graph with 'links' of 'source' and 'target' numbers", [](const Json&) {}, [n] { return n; });
  }
  return out;
}

/// The graph of each of n nodes, where one graph lies behind the other: it begins with a node that a link leads on from, and that none spans from before.
/// Nodes without links belong to the graph before them, or to the first.
inline Tensor stretches(const Tensor& pairs, std::int64_t n) {
  const Tensor first = torch::minimum(pairs[0], pairs[1]), last = torch::maximum(pairs[0], pairs[1]), one = torch::ones_like(first);
  const Tensor across = torch::zeros({n + 1}, torch::kInt64).index_add_(0, first + 1, one).index_add_(0, last + 1, one, -1).cumsum(0);  // links between node k − 1 and node k
  const Tensor begins = across.narrow(0, 0, n).eq(0) & across.narrow(0, 1, n).gt(0);
  return (begins.cumsum(0) - 1).clamp_min(0);
}

/// The files PREFIX-G.json, PREFIX-feats.npy, PREFIX-id_map.json, PREFIX-class_map.json of all splits.
class PrefixFiles {
 public:
  PrefixFiles(const fs::path& folder, const std::string& prefix) : graph_(needed(folder, prefix + "-G.json")) {
    read_graph();
    read_features(needed(folder, prefix + "-feats.npy"), needed(folder, prefix + "-id_map.json"));
    read_labels(needed(folder, prefix + "-class_map.json"));
  }

  /// Links between nodes of different splits are left out.
  SplitTables splits() const {
    SplitTables out;
    for (std::size_t k = 0; k < out.size(); ++k) {
      const Tensor nodes = masks_[k].nonzero().squeeze(1), place = torch::zeros({size()}, torch::kInt64).index_copy_(0, nodes, torch::arange(nodes.numel()));
      const Tensor inside = masks_[k].index_select(0, pairs_.flatten()).reshape(pairs_.sizes()).all(0).nonzero().squeeze(1), own = pairs_.index_select(1, inside);
      const Tensor local = place.index_select(0, own.flatten()).reshape(own.sizes());
      out[k] = {graph_, features_.index_select(0, nodes), labels_.index_select(0, nodes), stretches(local, nodes.numel()), local};
    }
    return out;
  }

 private:
  std::int64_t size() const { return static_cast<std::int64_t>(ids_.size()); }

  void read_graph() {
    std::vector<std::int64_t> validates, tests;
    const auto mark = [](const Json& m) { return m.is_boolean() ? std::int64_t{m.get<bool>()} : whole_number(m); };
    const auto node = [&](const Json& v) {
      const Json& id = v.at("id");
      ids_.push_back(id.is_string() ? id.get<std::string>() : std::to_string(whole_number(id)));
      validates.push_back(mark(v.at("val"))), tests.push_back(mark(v.at("test")));
    };
    pairs_ = links_of(graph_, "graph with 'nodes' of 'id', 'val' and 'test' and 'links' of 'source' and 'target' numbers", node, [this] { return size(); });
    about(graph_, [&] {
      if (ids_.empty()) throw FormatError("has no node");
      const auto held_out = splits_of({torch::tensor(validates, torch::kInt64), torch::tensor(tests, torch::kInt64)});
      masks_ = {(held_out[0] | held_out[1]).logical_not(), held_out[0], held_out[1]};
    });
  }

  /// What a map of the nodes says of one.
  const Json& in(const Json& map, const std::string& id) const {
    const auto found = map.find(id);
    if (found == map.end()) throw FormatError("lacks the node '" + id + "' of " + graph_.filename().string());
    return *found;
  }

  void read_features(const fs::path& file, const fs::path& id_map) {
    const Tensor table = numbers_of(file, [](const Tensor& x) {
      if (x.dim() != 2 || x.numel() == 0) throw FormatError("holds no table of features");
      return finite(x, "feature");
    });
    const std::vector<std::int64_t> rows = json_of(id_map, "object of rows by nodes", [&](const Json& map) {
      std::vector<std::int64_t> of_nodes, times(static_cast<std::size_t>(table.size(0)));
      for (const std::string& id : ids_) {
        const std::int64_t row = whole_number(in(map, id));
        if (row < 0 || row >= table.size(0)) throw FormatError("leads the node '" + id + "' to row " + std::to_string(row) + " of the " + std::to_string(table.size(0)) + " of " + file.filename().string());
        if (times[static_cast<std::size_t>(row)]++ > 0) throw FormatError("leads two nodes to row " + std::to_string(row) + ", the second is '" + id + "'");
        of_nodes.push_back(row);
      }
      return of_nodes;
    });
    features_ = table.index_select(0, torch::tensor(rows, torch::kInt64));
  }

  void read_labels(const fs::path& file) {
    labels_ = json_of(file, "object of labels by nodes", [&](const Json& map) {
      std::vector<float> flat;
      const std::size_t classes = in(map, ids_.front()).size();
      for (const std::string& id : ids_) {
        const Json& labels = in(map, id);
        if (!labels.is_array() || labels.empty()) throw FormatError("gives the node '" + id + "' no list of labels; ppi reads several labels for each node, zeros and ones, not the number of one class");
        if (labels.size() != classes) throw FormatError("gives the node '" + id + "' " + std::to_string(labels.size()) + " labels, the first node has " + std::to_string(classes));
        for (const Json& label : labels) {
          if (label != 0 && label != 1) throw FormatError("gives the node '" + id + "' the label " + label.dump(-1, ' ', true) + "; expected 0 or 1");
          flat.push_back(label.get<float>());
        }
      }
      return torch::tensor(flat).reshape({size(), -1});
    });
  }

  fs::path graph_;
  std::vector<std::string> ids_;
  std::array<Tensor, 3> masks_;
  Tensor pairs_, features_, labels_;
};

/// The files that a path names, or the only ones of its folder.
inline SplitTables read_tables(const fs::path& path) {
  std::vector<std::string> endings = split_endings;
  endings.insert(endings.end(), prefix_endings.begin(), prefix_endings.end());
  const fs::path folder = located(path, "", endings).folder;
  if (fs::is_regular_file(path)) {
    const auto prefix = name_in(path, "", prefix_endings);
    return prefix ? PrefixFiles(folder, *prefix).splits() : read_split_files(folder);
  }
  std::vector<std::string> there;
  for (const std::string& name : names_in(folder, "", {"-G.json"})) there.push_back(name + "-G.json");
  there.insert(there.begin(), "train_graph.json");
  std::erase_if(there, [&](const std::string& name) { return find_file(folder, name).empty(); });
  if (there.empty()) throw OptionError("path", folder.string() + " holds neither train_graph.json nor PREFIX-G.json (or .gz); name the folder of the data: --set dataset.path=FOLDER");
  if (there.size() > 1) {
    std::string list;
    for (const std::string& name : there) list += (list.empty() ? "" : ", ") + name;
    throw OptionError("path", folder.string() + " holds several: " + list + "; name one of these files: --set dataset.path=" + (folder / there.back()).string());
  }
  return there[0] == "train_graph.json" ? read_split_files(folder) : PrefixFiles(folder, *name_in(there[0], "", {"-G.json"})).splits();
}

}  // namespace
}  // namespace zstar_graphs
