/// \file Implicit graph neural network for whole graphs. Equations: README.md.
#include "layer.hpp"

namespace {

using namespace zstar_ignn;

class IgnnGraphs final : public zstar::Model, public zstar::Predicts {
 public:
  struct Options : LayerOptions {
    std::int64_t hidden = 64, layers = 3;
    double dropout = 0.5;
    bool second_term = false;
  };
  static auto options() {
    return std::tuple_cat(std::tuple{zstar::opt("hidden", &Options::hidden, "m, features of every state", zstar::at_least(1)),
                                     zstar::opt("layers", &Options::layers, "implicit layers", zstar::at_least(1)),
                                     zstar::opt("dropout", &Options::dropout, "before the last linear map", zstar::from_below(0.0, 1.0)),
                                     zstar::opt("second_term", &Options::second_term, "Ω₂ U in the injections (published programs keep Ω₂ unused)")},
                          layer_options<Options>());
  }

  IgnnGraphs(const Options& o, zstar::Host& host) : o_(o), equilibrium_(host.layer()) {
    for (std::int64_t i = 0; i < o.layers; ++i)
      layers_.push_back(register_module("ig" + std::to_string(i + 1), std::make_shared<Layer>(i == 0 ? host.data().at("features") : o.hidden, o.hidden, o.second_term, host.norm())));
    hidden_ = register_module("V_0", std::make_shared<zstar::nn::Linear>(o.hidden, o.hidden, nullptr));
    classifier_ = register_module("V_1", std::make_shared<zstar::nn::Linear>(o.hidden, host.data().at("classes"), nullptr));
  }

  void* query(std::string_view id) override { return id == zstar::Predicts::id ? static_cast<zstar::Predicts*>(this) : nullptr; }

  std::vector<Tensor> forward(const zstar::Batch& batch) override {
    Tensor x = batch.at("features");
    const Graph& graph = graphs_.of(batch, x.size(0), o_.graph());
    for (const auto& layer : layers_) x = layer->forward(graph, x, /*start=*/{}, o_, *equilibrium_).back();
    const Tensor pooled = torch::zeros({batch.at("labels").size(0), x.size(1)}, x.options().requires_grad(false)).index_add(0, batch.at("graphs"), x);
    return {torch::log_softmax(classifier_->forward(torch::dropout(torch::relu(hidden_->forward(pooled)), o_.dropout, is_training())), 1)};
  }

  Tensor loss(const Tensor& output, const zstar::Batch& batch) override { return torch::nll_loss(output, batch.at("labels")); }

  zstar::Sums measure(const Tensor& output, const zstar::Batch& batch) override {
    const Tensor& labels = batch.at("labels");
    return {{"correct", output.argmax(1).eq(labels).sum().item<double>()}, {"graphs", static_cast<double>(labels.numel())}};
  }
  Tensor predict(const zstar::Batch& batch) override { return torch::exp(forward(batch).back()); }
  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override { return {accuracy(sums, "graphs")}; }

 private:
  Options o_;
  std::shared_ptr<zstar::EquilibriumLayer> equilibrium_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::shared_ptr<zstar::nn::Linear> hidden_, classifier_;
  GraphStore graphs_;
};

}  // namespace

ZSTAR_MODEL(IgnnGraphs, "ignn_graphs", "implicit graph neural network for the classification of graphs")
