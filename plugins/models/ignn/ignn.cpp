/// \file Implicit graph neural network for nodes. Equations, symbols and sources: README.md.
#include <zstar/sdk.hpp>

#include "projection.hpp"

namespace {

using torch::Tensor;
using zstar::State;

Tensor sparse(const Tensor& indices, const Tensor& values, std::int64_t n) {
  return torch::sparse_coo_tensor(indices, values, {n, n}).coalesce();
}

/// X ↦ relu(W X A + b), b = Ω₁ U A + Ω₂ U, in rows of nodes: Z = Xᵀ, Z ↦ relu(Aᵀ Z Wᵀ + bᵀ).
class Layer final : public torch::nn::Module, public zstar::nn::Weighted {
 public:
  Layer(std::int64_t in, std::int64_t out, bool second_term, const std::shared_ptr<zstar::Norm>& norm) : second_term_(second_term) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(out));
    const auto uniform = [&](std::int64_t rows, std::int64_t columns) { return torch::empty({rows, columns}).uniform_(-bound, bound); };
    if (norm) register_parameter("bias", uniform(out, 1));
    w_ = {*this, "W", uniform(out, out), {}, norm};
    omega_1_ = {*this, "Omega_1", uniform(out, in), {}, norm};
    omega_2_ = {*this, "Omega_2", uniform(out, in), {}, norm};
    if (!norm) register_parameter("bias", uniform(out, 1));
  }

  std::vector<zstar::nn::Weight*> weights() override { return {&w_, &omega_1_, &omega_2_}; }

  /// bᵀ, [n, m]. \param at  Aᵀ, sparse \param u  node features, [n, p]
  Tensor injection(const Tensor& at, const Tensor& u, bool training) {
    Tensor b = torch::mm(at, torch::mm(u, omega_1_.effective(training).t()));
    if (second_term_) b = b + torch::mm(u, omega_2_.effective(training).t());
    return b;
  }

  /// W with every row in the 1-norm ball: ‖W‖_∞ ≤ radius. The gradient passes straight through.
  Tensor projected(double radius, bool training) {
    const Tensor w = w_.effective(training);
    return w + (zstar_ignn::project_rows(w.detach(), radius) - w).detach();
  }

 private:
  bool second_term_;
  zstar::nn::Weight w_, omega_1_, omega_2_;
};

class Ignn final : public zstar::Model {
 public:
  struct Options {
    std::int64_t hidden = 16;
    double kappa = 0.9, dropout = 0.5;
    bool unit_rows = true, second_term = true;
    std::string axis = "graph";
  };
  static auto options() {
    return std::tuple{
        zstar::opt("hidden", &Options::hidden, "m, features of the state", zstar::at_least(1)),
        zstar::opt("kappa", &Options::kappa, "κ, bound of ‖W‖_∞ ρ(A); below 1 the map contracts", zstar::above(0.0)),
        zstar::opt("dropout", &Options::dropout, "before the classifier", zstar::from_below(0.0, 1.0)),
        zstar::opt("unit_rows", &Options::unit_rows, "scale the state of every node to length 1 before the classifier"),
        zstar::opt("second_term", &Options::second_term, "Ω₂ U in the injection"),
        zstar::choice("axis", &Options::axis, "what a sample of the solve is: the graph, or (as published) a feature of all nodes",
                      {"graph", "feature"})};
  }

  Ignn(const Options& o, zstar::Host& host) : o_(o), layer_(host.layer()) {
    const zstar::Description& data = host.data();
    x_0_ = register_parameter("X_0", torch::zeros({o.hidden, data.at("nodes")}), /*requires_grad=*/false);
    ig1_ = register_module("ig1", std::make_shared<Layer>(data.at("features"), o.hidden, o.second_term, host.norm()));
    classifier_ = register_module("V", std::make_shared<zstar::nn::Linear>(o.hidden, data.at("classes"), nullptr, /*bias=*/false));
  }

  std::vector<Tensor> forward(const zstar::Batch& batch) override {
    const Tensor& u = batch.at("features");
    prepare(batch, u.size(0));
    const bool training = is_training();
    const Tensor w = ig1_->projected(o_.kappa / radius_, training).t(), b = ig1_->injection(a_transposed_, u, training), at = a_transposed_;
    const zstar::FixedPointMap f(
        [at](const State& z, const std::vector<Tensor>& c) {
          return State({torch::relu(torch::mm(at, torch::mm(z[0], c[0])) + c[1])}, z.axes());
        },
        {{w, std::nullopt}, {b, std::nullopt}}, /*samples_independent=*/false);
    const Tensor z0 = x_0_.t().contiguous();
    const State start = o_.axis == "graph" ? State::one_sample({z0}) : State({z0}, {1});
    std::vector<Tensor> outputs;
    for (const State& z : layer_->solve(f, start, {.training = training}).states) outputs.push_back(classify(z[0]));
    return outputs;
  }

  Tensor loss(const Tensor& output, const zstar::Batch& batch) override {
    const auto [scores, labels] = selected(output, batch);
    return torch::nll_loss(torch::log_softmax(scores, 1), labels);
  }

  zstar::Sums measure(const Tensor& output, const zstar::Batch& batch) override {
    const auto [scores, labels] = selected(output, batch);
    return {{"correct", scores.argmax(1).eq(labels).sum().item<double>()}, {"nodes", static_cast<double>(labels.numel())}};
  }

  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override {
    double correct = 0, nodes = 0;
    for (const auto& [name, value] : sums) (name == "correct" ? correct : nodes) = value;
    return {{"accuracy", nodes > 0 ? correct / nodes : 0.0, true}};
  }

 private:
  /// Aᵀ and ρ(|A|) of a graph, kept while the same tensors come.
  void prepare(const zstar::Batch& batch, std::int64_t n) {
    const Tensor &indices = batch.at("adjacency_indices"), &values = batch.at("adjacency_values");
    const bool same = a_transposed_.defined() && indices.equal(indices_) && values.equal(values_);
    if (same) return;
    indices_ = indices, values_ = values;
    a_transposed_ = sparse(indices.flip(0), values, n);
    radius_ = zstar_ignn::spectral_radius(indices, values, n) + 1e-5;
  }

  Tensor classify(Tensor z) {
    if (o_.unit_rows) z = z / z.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
    return classifier_->forward(torch::dropout(z, o_.dropout, is_training()));
  }

  static std::pair<Tensor, Tensor> selected(const Tensor& output, const zstar::Batch& batch) {
    const Tensor nodes = batch.at("mask").nonzero().squeeze(1);
    return {output.index_select(0, nodes), batch.at("labels").index_select(0, nodes)};
  }

  Options o_;
  std::shared_ptr<zstar::EquilibriumLayer> layer_;
  std::shared_ptr<Layer> ig1_;
  std::shared_ptr<zstar::nn::Linear> classifier_;
  Tensor x_0_, indices_, values_, a_transposed_;
  double radius_ = 1.0;
};

}  // namespace

ZSTAR_PLUGIN("zstar.ignn", "0.1.0", "implicit graph neural networks")
ZSTAR_MODEL(Ignn, "ignn", "implicit graph neural network for node classification")
