/// \file Monotone operator equilibrium network, fully connected. Equations, symbols and sources: README.md.
#include <map>

#include <zstar/predict.hpp>
#include <zstar/sdk.hpp>
#include <zstar/splitting.hpp>

namespace {

using torch::Tensor;
using zstar::State;

/// The parameters of the map: m = softplus(m_raw) + 1e-4, W = (1 − m) I − AᵀA + S − Sᵀ, c = x Uᵀ + b.
class Core final : public torch::nn::Module {
 public:
  Core(std::int64_t in, std::int64_t width, std::int64_t rank) {
    const auto uniform = [](std::int64_t rows, std::int64_t columns) { return zstar::nn::default_weight({rows, columns}, columns); };
    a_ = register_parameter("A", uniform(rank, width));
    s_ = register_parameter("S", uniform(width, width));
    m_raw_ = register_parameter("m_raw", torch::zeros({}));
    u_ = register_parameter("U", uniform(width, in));
    b_ = register_parameter("b", torch::zeros({width}));
  }

  Tensor modulus() const { return torch::softplus(m_raw_) + 1e-4; }
  Tensor weight() const { return (1 - modulus()) * torch::eye(s_.size(0), s_.options()) - torch::mm(a_.t(), a_) + s_ - s_.t(); }
  Tensor injection(const Tensor& x) const { return torch::addmm(b_, x, u_.t()); }

 private:
  Tensor a_, s_, m_raw_, u_, b_;
};

/// The halves of z ↦ relu(z Wᵀ + c); the inverse of I + α (I − W) is made once for each α.
zstar::Splitting halves(const Tensor& w, const Tensor& c) {
  const auto inverses = std::make_shared<std::map<double, Tensor>>();
  const auto inverse = [w, inverses](double alpha) {
    Tensor& known = (*inverses)[alpha];
    if (!known.defined()) {
      const Tensor eye = torch::eye(w.size(0), w.options());
      known = at::linalg_inv(eye + alpha * (eye - w)).t().contiguous();
    }
    return known;
  };
  return {[w, c](const State& z) { return State(torch::addmm(c, z[0], w.t())); },
          [c, inverse](const State& v, double alpha) { return State(torch::mm(torch::add(v[0], c, alpha), inverse(alpha))); },
          [](const State& v, double) { return State(torch::relu(v[0])); }};
}

class MonDeq final : public zstar::Model, public zstar::Predicts {
 public:
  struct Options {
    std::int64_t width = 100, rank = 25;
  };
  static auto options() {
    return std::tuple{zstar::opt("width", &Options::width, "n, numbers of the state", zstar::at_least(1)),
                      zstar::opt("rank", &Options::rank, "rows of A", zstar::at_least(1))};
  }

  MonDeq(const Options& o, zstar::Host& host) : o_(o), layer_(host.layer()) {
    const zstar::Description& data = host.data();
    const auto mon = register_module("mon", std::make_shared<torch::nn::Module>());
    core_ = mon->register_module("core", std::make_shared<Core>(data.at("channels") * data.at("height") * data.at("width"), o.width, o.rank));
    classifier_ = register_module("classifier", std::make_shared<zstar::nn::Linear>(o.width, data.at("classes"), nullptr));
  }
  void* query(std::string_view id) override { return id == zstar::Predicts::id ? static_cast<zstar::Predicts*>(this) : nullptr; }

  std::vector<Tensor> forward(const zstar::Batch& batch) override {
    const Tensor x = batch.at("images").flatten(1), w = core_->weight(), c = core_->injection(x);
    const zstar::FixedPointMap f([](const State& z, const std::vector<Tensor>& t) { return State(torch::relu(torch::addmm(t[1], z[0], t[0].t()))); },
                                 {{w, std::nullopt}, {c, 0}}, /*samples_independent=*/true);
    const State start(torch::zeros({x.size(0), o_.width}, x.options()));
    const zstar::SolveOptions request{.training = is_training(), .sample_ids = batch.ids};
    auto* splitting = zstar::query<zstar::SplittingLayer>(*layer_);
    const zstar::Equilibrium e = splitting ? splitting->solve(f, halves(w.detach(), c.detach()), start, request) : layer_->solve(f, start, request);
    std::vector<Tensor> outputs;
    for (const State& z : e.states) outputs.push_back(classifier_->forward(z[0]));
    return outputs;
  }

  Tensor loss(const Tensor& output, const zstar::Batch& batch) override { return torch::cross_entropy_loss(output, batch.at("labels")); }

  zstar::Sums measure(const Tensor& output, const zstar::Batch& batch) override {
    const Tensor& labels = batch.at("labels");
    return {{"correct", output.argmax(1).eq(labels).sum().item<double>()}, {"samples", static_cast<double>(labels.numel())}};
  }

  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override {
    double correct = 0, samples = 0;
    for (const auto& [name, value] : sums) (name == "correct" ? correct : samples) = value;
    return {{"accuracy", samples > 0 ? correct / samples : 0.0, true}};
  }

  Tensor predict(const zstar::Batch& batch) override { return torch::softmax(forward(batch).back(), 1); }

 private:
  Options o_;
  std::shared_ptr<zstar::EquilibriumLayer> layer_;
  std::shared_ptr<Core> core_;
  std::shared_ptr<zstar::nn::Linear> classifier_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.mondeq", "0.1.0", "monotone operator equilibrium networks")
ZSTAR_MODEL(MonDeq, "mondeq", "monotone operator equilibrium network for image classification, fully connected")
