/// \file Implicit graph neural network of several layers with linear skips, for nodes of many graphs. Equations: README.md.
#include "node_task.hpp"

namespace {

using namespace zstar_ignn;

/// A list of modules under their numbers.
class List final : public torch::nn::Module {};

class IgnnStacked final : public zstar::Model, public zstar::Predicts {
 public:
  struct Options : LayerOptions {
    Options() { kappa = 0.98; }
    std::vector<std::int64_t> widths = {1024, 512, 512, 256};
    bool second_term = true, as_many = false;
  };
  static auto options() {
    return std::tuple_cat(std::tuple{zstar::opt("widths", &Options::widths, "features of every layer but the last, which has one for each class", zstar::at_least(1)),
                                     zstar::opt("second_term", &Options::second_term, "Ω₂ U in the injections"),
                                     zstar::opt("as_many", &Options::as_many, "F1 of nodes with several labels: a node gets as many classes as it has, those of the highest scores")},
                          layer_options<Options>());
  }

  IgnnStacked(const Options& o, zstar::Host& host) : o_(o), equilibrium_(host.layer()) {
    const auto implicit = register_module("ignn", std::make_shared<List>()), skips = register_module("proj", std::make_shared<List>());
    std::vector<std::int64_t> widths{host.data().at("features")};
    widths.insert(widths.end(), o.widths.begin(), o.widths.end());
    widths.push_back(host.data().at("classes"));
    for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
      layers_.push_back(implicit->register_module(std::to_string(i), std::make_shared<Layer>(widths[i], widths[i + 1], o.second_term, host.norm())));
      skips_.push_back(skips->register_module(std::to_string(i), std::make_shared<zstar::nn::Linear>(widths[i], widths[i + 1], nullptr)));
    }
  }

  void* query(std::string_view id) override { return id == zstar::Predicts::id ? static_cast<zstar::Predicts*>(this) : nullptr; }

  std::vector<Tensor> forward(const zstar::Batch& batch) override {
    Tensor x = batch.at("features");
    const Graph& graph = graphs_.of(batch, x.size(0), o_.graph());
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      x = layers_[i]->forward(graph, x, /*start=*/{}, o_, *equilibrium_).back() + skips_[i]->forward(x);
      if (i + 1 < layers_.size()) x = torch::elu(x);
    }
    return {x};
  }

  Tensor loss(const Tensor& output, const zstar::Batch& batch) override { return NodeTask(output, batch).loss(); }
  zstar::Sums measure(const Tensor& output, const zstar::Batch& batch) override { return NodeTask(output, batch).measure(o_.as_many); }
  Tensor predict(const zstar::Batch& batch) override { return probabilities(forward(batch).back(), batch); }
  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override { return NodeTask::summarise(sums); }

 private:
  Options o_;
  std::shared_ptr<zstar::EquilibriumLayer> equilibrium_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::vector<std::shared_ptr<zstar::nn::Linear>> skips_;
  GraphStore graphs_;
};

}  // namespace

ZSTAR_MODEL(IgnnStacked, "ignn_stacked", "implicit graph layers with linear skips, for the nodes of many graphs (PPI)")
