/// \file The heterophilous graphs in npz files. Layout and source: README.md.
#include "masks.hpp"

namespace {

using namespace zstar_graphs;

class Heterophilous final : public NodeSet {
 public:
  struct Options : NodeOptions {
    std::string name;
  };
  static auto options() {
    return std::tuple_cat(std::tuple{zstar::opt("graph", &Options::name, "name of the file without .npz: cornell, texas, wisconsin, chameleon, squirrel, minesweeper, …")},
                          node_options<Options>("folder of the npz files, or one of them"));
  }

  Heterophilous(const Options& o, zstar::Host& host) : NodeSet(o) {
    const Located at = located(o.path, "", {".npz"});
    const fs::path file = needed(at.folder, chosen(o.name, at, names_in(at.folder, "", {".npz"}), {"graph", "cornell", "NAME.npz"}, host) + ".npz");
    about(file, [&] {
      const Bytes bytes = read_file(file);
      const zstar::formats::Npz npz(bytes);
      const Tensor edges = whole(npz.array("edges"), "node of an edge"), features = npz.array("node_features"), labels = npz.array("node_labels").flatten();
      if (edges.dim() != 2 || edges.size(1) != 2 || features.dim() != 2) throw FormatError("has edges or features of another shape than (e, 2) and (n, p)");
      std::vector<Tensor> masks;
      for (const char* kind : {"train_masks", "val_masks", "test_masks"}) {
        const Tensor all = npz.array(kind);
        if (all.dim() != 2 || o.split >= all.size(0)) throw OptionError("split", file.string() + " has " + std::to_string(all.size(0)) + " splits, counted from 0, no number " + std::to_string(o.split));
        masks.push_back(all[o.split]);
      }
      set(file, features, edges.t().contiguous(), labels, splits_of(masks), host);
    });
  }
};

}  // namespace

ZSTAR_DATASET(Heterophilous, "heterophilous", "graphs whose neighbours differ: npz files with ten splits each")
