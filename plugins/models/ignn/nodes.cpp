/// \file Implicit graph neural network of one layer, for nodes. Equations, symbols and sources: README.md.
#include "node_task.hpp"

namespace {

using namespace zstar_ignn;

class Ignn final : public zstar::Model, public zstar::Predicts {
 public:
  struct Options : LayerOptions {
    std::int64_t hidden = 16;
    double dropout = 0.5;
    bool unit_rows = true, second_term = true, as_many = false;
  };
  static auto options() {
    return std::tuple_cat(std::tuple{zstar::opt("hidden", &Options::hidden, "m, features of the state", zstar::at_least(1)),
                                     zstar::opt("dropout", &Options::dropout, "before the classifier", zstar::from_below(0.0, 1.0)),
                                     zstar::opt("unit_rows", &Options::unit_rows, "scale the state of every node to length 1 before the classifier"),
                                     zstar::opt("second_term", &Options::second_term, "Ω₂ U in the injection"),
                                     zstar::opt("as_many", &Options::as_many, "F1 of nodes with several labels: a node gets as many classes as it has, those of the highest scores")},
                          layer_options<Options>());
  }

  Ignn(const Options& o, zstar::Host& host) : o_(o), equilibrium_(host.layer()) {
    const zstar::Description& data = host.data();
    if (data.has("nodes")) x_0_ = register_parameter("X_0", torch::zeros({o.hidden, data.at("nodes")}), /*requires_grad=*/false);
    ig1_ = register_module("ig1", std::make_shared<Layer>(data.at("features"), o.hidden, o.second_term, host.norm()));
    classifier_ = register_module("V", std::make_shared<zstar::nn::Linear>(o.hidden, data.at("classes"), nullptr, /*bias=*/false));
  }

  void* query(std::string_view id) override { return id == zstar::Predicts::id ? static_cast<zstar::Predicts*>(this) : nullptr; }

  std::vector<Tensor> forward(const zstar::Batch& batch) override {
    const Tensor u = batch.has("features") ? batch.at("features") : Tensor();
    const std::int64_t n = u.defined() ? u.size(0) : batch.at("labels").size(0);
    const Graph& graph = graphs_.of(batch, n, o_.graph());
    std::vector<Tensor> outputs;
    for (const Tensor& z : ig1_->forward(graph, u, start(n, batch.at("adjacency_values")), o_, *equilibrium_)) outputs.push_back(classify(z));
    return outputs;
  }

  Tensor loss(const Tensor& output, const zstar::Batch& batch) override { return NodeTask(output, batch).loss(); }
  zstar::Sums measure(const Tensor& output, const zstar::Batch& batch) override { return NodeTask(output, batch).measure(o_.as_many); }
  Tensor predict(const zstar::Batch& batch) override { return probabilities(forward(batch).back(), batch); }
  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override { return NodeTask::summarise(sums); }

 private:
  /// X_0ᵀ; zeros for graphs whose number of nodes is not fixed.
  Tensor start(std::int64_t n, const Tensor& like) const {
    return x_0_.defined() ? x_0_.t().contiguous() : torch::zeros({n, o_.hidden}, like.options());
  }

  Tensor classify(Tensor z) {
    if (o_.unit_rows) z = z / z.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
    return classifier_->forward(torch::dropout(z, o_.dropout, is_training()));
  }

  Options o_;
  std::shared_ptr<zstar::EquilibriumLayer> equilibrium_;
  std::shared_ptr<Layer> ig1_;
  std::shared_ptr<zstar::nn::Linear> classifier_;
  Tensor x_0_;
  GraphStore graphs_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.ignn", "0.2.0", "implicit graph neural networks")
ZSTAR_MODEL(Ignn, "ignn", "implicit graph neural network for node classification")
