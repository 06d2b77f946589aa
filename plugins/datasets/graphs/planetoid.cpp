/// \file Cora, Citeseer and Pubmed in Planetoid's form. Layout, traps and sources: README.md.
#include "masks.hpp"

namespace {

using namespace zstar_graphs;
using zstar::formats::array_of;
using zstar::formats::Pickle;
using zstar::formats::Value;

class Planetoid final : public NodeSet {
 public:
  struct Options : NodeOptions {
    std::string name, protocol = "planetoid", splits;
  };
  static auto options() {
    return std::tuple_cat(std::tuple{zstar::choice("graph", &Options::name, "which graph; empty: the one whose files are there, of several cora", {"", "cora", "citeseer", "pubmed"}),
                                     zstar::choice("protocol", &Options::protocol, "planetoid: 20 labels of each class, 500 nodes validate, 1000 test; geom_gcn: split number `split` of the ten 60/20/20 ones",
                                                   {"planetoid", "geom_gcn"}),
                                     zstar::opt("splits", &Options::splits, "folder of the npz files of protocol geom_gcn; empty: looked for beside path")},
                          node_options<Options>("folder of ind.cora.x, ind.cora.graph, …, or one of these files"));
  }

  Planetoid(const Options& given, zstar::Host& host) : NodeSet(given), o_(resolved(given, host)) {
    const Options& o = o_;
    read();
    std::vector<Tensor> masks = o.protocol == "planetoid" ? fixed_masks() : masks_of(geom_split(o.splits.empty() ? fs::path(o.path) / ".." / "geom-gcn" / "splits" : fs::path(o.splits), o.name, o.split), "_mask");
    const std::int64_t n = features_.size(0), counted = (masks[0].to(torch::kBool) | masks[1].to(torch::kBool) | masks[2].to(torch::kBool)).sum().item<std::int64_t>();
    if (o.protocol == "geom_gcn" && counted < n)
      host.warn("split " + std::to_string(o.split) + " of " + o.name + " marks " + std::to_string(counted) + " of " + std::to_string(n) + " nodes, those of the largest component; the others train and test nothing");
    if (missing_ > 0)
      host.warn(o.name + ": " + std::to_string(missing_) + " nodes have neither features nor labels nor edges (ids that test.index leaves out); their features are zeros, their label is 0, as other readers do");
    set(file("graph"), features_, pairs_, labels_, masks, host);
  }

 private:
  static Options resolved(Options o, zstar::Host& host) {
    const Located at = located(o.path, "ind.", {".x", ".tx", ".allx", ".y", ".ty", ".ally", ".graph", ".test.index"});
    o.name = chosen(o.name, at, names_in(at.folder, "ind.", {".allx"}), {"graph", "cora", "ind.NAME.allx"}, host);
    o.path = at.folder.string();
    return o;
  }

  fs::path file(const std::string& part) const { return needed(o_.path, "ind." + o_.name + "." + part); }

  template <class F>
  auto unpickled(const std::string& part, const F& use) const {
    const fs::path path = file(part);
    return about(path, [&] {
      const Bytes bytes = read_file(path);
      return use(Pickle(as_text(bytes)).root());
    });
  }

  /// A scipy matrix in compressed rows, made dense.
  static Tensor matrix_of(const Value& v) {
    if (v.text.find("csr_matrix") == std::string::npos && v.text != "copy_reg._reconstructor") throw FormatError("holds no matrix of scipy in compressed rows");
    const Value* state = v.state;
    const Value *shape = state ? state->find("_shape") : nullptr, *data = state ? state->find("data") : nullptr, *indices = state ? state->find("indices") : nullptr,
                *starts = state ? state->find("indptr") : nullptr;
    if (!shape) shape = state ? state->find("shape") : nullptr;
    if (!shape || !data || !indices || !starts) throw FormatError("lacks a part of its matrix");
    const auto sizes = zstar::formats::integers_of(*shape);
    if (sizes.size() != 2 || sizes[0] < 1 || sizes[1] < 1 || sizes[1] > 1000000) throw FormatError("has a matrix of other sizes than nodes and one to a million features");
    const Tensor values = array_of(*data).flatten(), columns = whole(array_of(*indices).flatten(), "column"), rows = whole(array_of(*starts).flatten(), "start of a row");
    if (rows.numel() != sizes[0] + 1 || columns.numel() != values.numel() || rows[0].item<std::int64_t>() != 0 ||
        rows[-1].item<std::int64_t>() != values.numel() || (rows.diff() < 0).any().item<bool>())
      throw FormatError("has a matrix whose parts contradict one another");
    if (values.numel() > 0 && (columns.min().item<std::int64_t>() < 0 || columns.max().item<std::int64_t>() >= sizes[1])) throw FormatError("has a matrix with a column outside of it");
    const Tensor row = torch::arange(sizes[0]).repeat_interleave(rows.diff());
    return torch::zeros(sizes).index_put_({row, columns}, finite(values, "feature"), /*accumulate=*/true);
  }
  Tensor matrix(const std::string& part) const { return unpickled(part, matrix_of); }
  /// Classes from rows that are one-hot; a row of zeros is class 0.
  Tensor classes(const std::string& part) const {
    return unpickled(part, [](const Value& v) {
      const Tensor rows = array_of(v);
      if (rows.dim() != 2 || rows.numel() == 0) throw FormatError("holds no table of labels");
      const Tensor marks = zeros_and_ones(rows, "label").to(torch::kFloat32), several = marks.sum(1);
      all_are(several, several.le(1), "number of classes", "one class a node");
      return marks.argmax(1);
    });
  }

  void read() {
    const Tensor known = matrix("allx"), tested = matrix("tx"), known_labels = classes("ally"), tested_labels = classes("ty");
    labelled_ = classes("y").numel();
    const auto order = column(file("test.index"));
    if (static_cast<std::int64_t>(order.size()) != tested.size(0)) zstar::formats::damaged(file("test.index"), "has " + std::to_string(order.size()) + " ids for " + std::to_string(tested.size(0)) + " nodes");
    if (tested_labels.numel() != tested.size(0)) zstar::formats::damaged(file("ty"), "has " + std::to_string(tested_labels.numel()) + " labels for " + std::to_string(tested.size(0)) + " nodes");
    auto ids = order;
    std::sort(ids.begin(), ids.end());
    if (const auto twice = std::adjacent_find(ids.begin(), ids.end()); twice != ids.end()) zstar::formats::damaged(file("test.index"), "names node " + std::to_string(*twice) + " twice");
    test_ = torch::tensor(order, torch::kInt64);
    known_ = known.size(0);
    const std::int64_t first = known_, n = test_.max().item<std::int64_t>() + 1;
    if (test_.min().item<std::int64_t>() < first || known.size(1) != tested.size(1) || known_labels.numel() != first || n > 10 * (first + test_.numel()))
      zstar::formats::damaged(file("test.index"), "names ids that do not follow the " + std::to_string(first) + " nodes of allx");
    missing_ = n - first - test_.numel();
    features_ = torch::zeros({n, known.size(1)});
    features_.narrow(0, 0, first).copy_(known);
    features_.index_copy_(0, test_, tested);
    labels_ = torch::zeros({n}, torch::kInt64);
    labels_.narrow(0, 0, first).copy_(known_labels);
    labels_.index_copy_(0, test_, tested_labels);
    pairs_ = unpickled("graph", neighbours);
  }

  /// A dict from each node to the list of its neighbours.
  static Tensor neighbours(const Value& v) {
    std::vector<std::int64_t> flat;
    if (v.items.empty() || v.items.size() % 2 != 0) throw FormatError("holds no dict of neighbours");
    for (std::size_t i = 0; i < v.items.size(); i += 2)
      for (const std::int64_t j : zstar::formats::integers_of(*v.items[i + 1])) flat.push_back(v.items[i]->integer), flat.push_back(j);
    return pairs_of(flat);
  }

  std::vector<Tensor> fixed_masks() const {
    const std::int64_t n = features_.size(0);
    if (labelled_ + 500 > known_)
      zstar::formats::damaged(file("y"), "has " + std::to_string(labelled_) + " labels to train with; with the 500 nodes that validate they are more than the " + std::to_string(known_) + " nodes of allx");
    const auto mask = [n](const Tensor& nodes) { return torch::zeros({n}, torch::kBool).index_fill_(0, nodes, true); };
    return {mask(torch::arange(labelled_)), mask(torch::arange(labelled_, labelled_ + 500)), mask(test_)};
  }

  Options o_;
  Tensor features_, labels_, pairs_, test_;
  std::int64_t labelled_ = 0, known_ = 0, missing_ = 0;
};

}  // namespace

ZSTAR_PLUGIN("zstar.graphs", "0.1.0", "data sets of graphs in their official forms")
ZSTAR_DATASET(Planetoid, "planetoid", "Cora, Citeseer, Pubmed: ind.* files")
