/// \file A classifier of pictures with one dense equilibrium, to start from: replace the equation, the options and the names.
#include <zstar/sdk.hpp>

#include <torch/nn/functional/loss.h>

#include <zstar/abi/model.hpp>

namespace {

using torch::Tensor;
using zstar::State;

/// z⋆ = tanh(W z⋆ + U x + b), scores V z⋆ + c; W is under the norm of the experiment.
class MyModel final : public zstar::Model {
 public:
  struct Options {
    std::int64_t hidden = 32;
  };
  static auto options() { return std::tuple{zstar::opt("hidden", &Options::hidden, "numbers of the state", zstar::at_least(1))}; }

  MyModel(const Options& o, zstar::Host& host) : equilibrium_(host.layer()) {
    const zstar::Description& data = host.data();
    const std::int64_t pixels = data.at("channels") * data.at("height") * data.at("width");
    inner_ = register_module("inner", std::make_shared<zstar::nn::Linear>(o.hidden, o.hidden, host.norm(), /*bias=*/false));
    input_ = register_module("input", std::make_shared<zstar::nn::Linear>(pixels, o.hidden, nullptr));
    output_ = register_module("output", std::make_shared<zstar::nn::Linear>(o.hidden, data.at("classes"), nullptr));
  }

  std::vector<Tensor> forward(const zstar::Batch& batch) override {
    const Tensor injection = input_->forward(batch.at("images").flatten(1));  // [B, hidden]
    const auto frozen = zstar::nn::freeze(*this, is_training());              // the normed weight, once per solve
    const auto bound = frozen.bind();
    const zstar::FixedPointMap f([](const State& z, const std::vector<Tensor>& t) { return State(torch::tanh(z[0].mm(t[0].t()) + t[1])); },
                                 {{inner_->weight(), std::nullopt}, {injection, 0}}, /*samples_independent=*/true);
    zstar::SolveOptions options;
    options.training = is_training();
    options.sample_ids = batch.ids;
    std::vector<Tensor> outputs;
    for (const State& z : equilibrium_->solve(f, State(torch::zeros_like(injection)), options).states) outputs.push_back(output_->forward(z[0]));
    return outputs;
  }

  Tensor loss(const Tensor& output, const zstar::Batch& batch) override { return torch::nn::functional::cross_entropy(output, batch.at("labels")); }

  zstar::Sums measure(const Tensor& output, const zstar::Batch& batch) override {
    const Tensor& labels = batch.at("labels");
    return {{"right", (output.argmax(1) == labels).sum().item<double>()}, {"all", static_cast<double>(labels.numel())}};
  }
  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override { return {{"accuracy", sums[0].second / sums[1].second}}; }

 private:
  std::shared_ptr<zstar::EquilibriumLayer> equilibrium_;
  std::shared_ptr<zstar::nn::Linear> inner_, input_, output_;
};

}  // namespace

ZSTAR_PLUGIN("me.my-model", "0.1.0", "my models")
ZSTAR_MODEL(MyModel, "my_model", "one dense equilibrium that classifies pictures")
