/// \file The Amazon co-purchase graph in IGNN's form: several labels for each node, no features. Layout and source: README.md.
#include "nodes.hpp"

namespace {

using namespace zstar_graphs;

class Amazon final : public zstar::Dataset {
 public:
  struct Options : AdjacencyOptions {
    std::string path, fraction = "0.06";
  };
  static auto options() {
    return std::tuple_cat(std::tuple{zstar::opt("path", &Options::path, "folder of adj_list.txt, label.txt, meta.txt, train_idx-0.06.txt, test_idx.txt, or one of these files"),
                                     zstar::opt("fraction", &Options::fraction, "of the nodes that train: the number in the name of train_idx-….txt")},
                          adjacency_options<Options>());
  }

  Amazon(const Options& o, zstar::Host& host) : o_(o) {
    if (o.path.empty()) throw OptionError("path", "path is not set; name the folder of the data: --set dataset.path=FOLDER");
    const fs::path folder = located(o.path, "", {"adj_list.txt", "label.txt", "meta.txt", "test_idx.txt"}).folder;
    Lines meta(needed(folder, "meta.txt"));
    std::vector<std::int64_t> sizes;
    while (meta.next())
      for (const std::int64_t x : meta.numbers<std::int64_t>()) sizes.push_back(x);
    if (sizes.size() < 2 || sizes[0] < 1 || sizes[1] < 1) meta.fail("the numbers of nodes and of classes were expected");
    n_ = sizes[0], classes_ = sizes[1];
    adjacency_ = adjacency_of(read_pairs(needed(folder, "adj_list.txt")), n_, o);
    read_labels(needed(folder, "label.txt"));
    masks_[0] = mask(needed(folder, "train_idx-" + o.fraction + ".txt"));
    const fs::path tested = needed(folder, "test_idx.txt");
    masks_[1] = masks_[2] = mask(tested);
    about(tested, [&] { all_are(torch::arange(n_), (masks_[0] & masks_[2]).logical_not(), "node", "none that trains, too"); });
    host.warn("amazon: the published split has no validation nodes; the test nodes stand in for them, so a model selected by them has seen the test");
  }

  zstar::Description describe() const override { return {{{"nodes", n_}, {"features", n_}, {"classes", classes_}}}; }
  std::int64_t size(Split split) const override { return masks_[static_cast<std::size_t>(split)].any().item<bool>() ? 1 : 0; }
  std::vector<std::vector<std::int64_t>> batches(Split split, std::int64_t, std::uint64_t) const override {
    if (size(split) == 0) return {};
    return {{0}};
  }
  /// Batch tensors: those of other sets of nodes without `features`: they are the identity.
  zstar::Batch load(Split split, const std::vector<std::int64_t>&, std::uint64_t) const override {
    return {{{"adjacency_indices", adjacency_.indices}, {"adjacency_values", adjacency_.values}, {"labels", labels_}, {"mask", masks_[static_cast<std::size_t>(split)]}}, {}};
  }

 private:
  /// Line i: a number that is left out, then the neighbours of node i.
  Tensor read_pairs(const fs::path& file) const {
    Lines lines(file);
    std::vector<std::int64_t> flat;
    std::int64_t node = 0;
    for (; lines.next(); ++node) {
      const auto row = lines.numbers<std::int64_t>();
      for (std::size_t k = 1; k < row.size(); ++k) {
        if (row[k] < 0 || row[k] >= n_ || node >= n_) lines.fail("it names a node outside of 0 … " + std::to_string(n_ - 1));
        flat.push_back(node), flat.push_back(row[k]);
      }
    }
    if (node != n_) zstar::formats::damaged(file, "has " + std::to_string(node) + " lines for " + std::to_string(n_) + " nodes");
    return pairs_of(flat);
  }

  void read_labels(const fs::path& file) {
    Lines lines(file);
    std::vector<float> flat;
    std::int64_t node = 0;
    for (; lines.next(); ++node) {
      const auto row = lines.numbers<float>();
      if (node >= n_ || static_cast<std::int64_t>(row.size()) != classes_) lines.fail("one number for each of " + std::to_string(classes_) + " classes was expected, for " + std::to_string(n_) + " nodes");
      for (const float x : row)
        if (x != 0 && x != 1) lines.fail("zeros and ones were expected, there is a " + (std::ostringstream() << x).str());
      flat.insert(flat.end(), row.begin(), row.end());
    }
    if (node != n_) zstar::formats::damaged(file, "has " + std::to_string(node) + " lines for " + std::to_string(n_) + " nodes");
    labels_ = torch::tensor(flat).reshape({n_, classes_});
  }

  Tensor mask(const fs::path& file) const {
    const Tensor nodes = torch::tensor(column(file), torch::kInt64);
    if (nodes.numel() > 0 && (nodes.min().item<std::int64_t>() < 0 || nodes.max().item<std::int64_t>() >= n_)) zstar::formats::damaged(file, "names a node outside of 0 … " + std::to_string(n_ - 1));
    return torch::zeros({n_}, torch::kBool).index_fill_(0, nodes, true);
  }

  Options o_;
  std::int64_t n_ = 0, classes_ = 0;
  Adjacency adjacency_;
  Tensor labels_, masks_[3];
};

}  // namespace

ZSTAR_DATASET(Amazon, "amazon", "Amazon co-purchases: one graph of 334,863 nodes, 58 labels, no features")
