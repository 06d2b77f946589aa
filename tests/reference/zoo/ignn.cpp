/// \file IGNN: chains and Amazon (one layer), PPI (layers with skips), graph classification.
#include "tests/reference/zoo/zoo.hpp"

namespace zstar::reference::zoo {
namespace {

class Ignn : public Family {
 public:
  Settings options(const Case& c) const override {
    Settings s{{"kappa", c.settings.at("model").at("kappa").get<double>()}, {"axis", std::string("feature")}};
    for (auto& more : own(c)) s.push_back(std::move(more));
    return s;
  }
  Description data(const Case& c) const override {
    const auto& m = c.settings.at("model");
    Description d{{{"features", m.at("nfeat").get<std::int64_t>()}, {"classes", m.at("nclass").get<std::int64_t>()}}};
    if (m.contains("num_node") && !m["num_node"].is_null()) d.sizes.emplace_back("nodes", m["num_node"].get<std::int64_t>());
    return d;
  }
  Batch batch(const Case& c, std::int64_t) const override {
    Batch b{{{"adjacency_indices", c.at("input/adj_indices").to(torch::kInt64)}, {"adjacency_values", c.at("input/adj_values")},
             {"adjacency_radius", c.at("input/adj_rho")}, {"labels", c.at("input/label")}}, {}};
    if (c.has("input/features") && c.at("input/features").numel() > 0) b.tensors.emplace_back("features", c.at("input/features").t().contiguous());
    if (c.has("input/batch")) b.tensors.emplace_back("graphs", c.at("input/batch").to(torch::kInt64));
    if (c.has("input/idx_train"))
      b.tensors.emplace_back("mask", torch::zeros({c.at("input/label").size(0)}, torch::kBool).index_fill(0, c.at("input/idx_train").to(torch::kInt64), true));
    return b;
  }
  bool last_alone() const override { return true; }
  std::string solve_prefix(const Case&, std::size_t k) const override { return "ig" + std::to_string(k + 1) + "."; }
  std::string output_name(const Case&, std::size_t) const override { return "logits"; }
  std::vector<std::pair<std::string, Tensor>> states(const State& z) const override { return {{"", z[0].t().contiguous()}}; }
  State state(const std::vector<Tensor>& tensors, const State& like) const override { return {{tensors[0].t().contiguous()}, like.axes()}; }

  /// `effective_W` is what the map captured of the layer's W; without a norm the parameter itself has been moved there, by the
  /// reference in evaluation too.
  void compare_more(Case& c, Model& model, const std::vector<Solved>& solves, const std::string& prefix) const override {
    for (std::size_t k = 0; k < solves.size(); ++k) {
      const Tensor effective = solves[k].map.captured()[0].t();
      c.compare("output/" + prefix + solve_prefix(c, k) + "effective_W", effective);
      const std::string name = solve_prefix(c, k) + "W";
      if (c.settings.contains("train")) continue;  // compared at the end of the run
      if (const Tensor* w = model.named_parameters().find(name)) c.compare("output/param_after/" + name, model.is_training() ? *w : effective);
    }
  }

 protected:
  virtual Settings own(const Case& c) const = 0;
  static std::int64_t hidden(const Case& c) { return c.settings.at("model").at("nhid").get<std::int64_t>(); }
  static double dropout(const Case& c) { return c.settings.at("model").value("dropout", 0.0); }
};

class Chains : public Ignn {
 public:
  std::string model() const override { return "ignn"; }

 protected:
  Settings own(const Case& c) const override { return {{"hidden", hidden(c)}, {"dropout", dropout(c)}, {"unit_rows", unit_rows()}}; }
  virtual bool unit_rows() const { return true; }
};

class Amazon final : public Chains {
 protected:
  bool unit_rows() const override { return false; }
};

class Ppi final : public Ignn {
 public:
  std::string model() const override { return "ignn_stacked"; }
  std::string solve_prefix(const Case&, std::size_t k) const override { return "ignn." + std::to_string(k) + "."; }

 protected:
  Settings own(const Case& c) const override {
    const std::int64_t h = hidden(c);
    return {{"widths", std::vector<std::int64_t>{4 * h, 2 * h, 2 * h, h}}};
  }
};

class Graphs final : public Ignn {
 public:
  std::string model() const override { return "ignn_graphs"; }

 protected:
  Settings own(const Case& c) const override { return {{"hidden", hidden(c)}, {"dropout", dropout(c)}, {"radius", 1.0}}; }
};

ZSTAR_ZOO_FAMILY(Chains, "ignn_chains")
ZSTAR_ZOO_FAMILY(Amazon, "ignn_amazon")
ZSTAR_ZOO_FAMILY(Ppi, "ignn_ppi")
ZSTAR_ZOO_FAMILY(Graphs, "ignn_graph")

}  // namespace
}  // namespace zstar::reference::zoo
