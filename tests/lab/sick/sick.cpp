/// \file A regression model with one equilibrium, which may have one of several faults; and numbers to learn from.
#include <zstar/sdk.hpp>

#include <zstar/abi/model.hpp>
#include <zstar/testing/maps.hpp>

namespace {

using torch::Tensor;
using zstar::State;
using zstar::testing::matrix_of_norm;
using zstar::testing::randn;
using zstar::testing::symmetric;

/// x [B, 6] and y [B, 1] = mean of x, normal numbers of fixed seeds.
class Numbers final : public zstar::Dataset {
 public:
  explicit Numbers(zstar::Host&) {}

  zstar::Description describe() const override { return {{{"features", 6}}}; }
  std::int64_t size(zstar::Split) const override { return 16; }
  std::vector<std::vector<std::int64_t>> batches(zstar::Split, std::int64_t, std::uint64_t) const override {
    std::vector<std::int64_t> all;
    for (std::int64_t i = 0; i < 16; ++i) all.push_back(i);
    return {all};
  }
  zstar::Batch load(zstar::Split split, const std::vector<std::int64_t>& indices, std::uint64_t) const override {
    const Tensor x = randn({16, 6}, 50 + static_cast<std::uint64_t>(split)).index_select(0, torch::tensor(indices, torch::kInt64));
    return {{{"x", x}, {"y", x.mean(1, /*keepdim=*/true)}}, indices};
  }
};

constexpr std::int64_t width = 8;

/// z⋆ = f(z⋆), scores V z⋆. Healthy kinds: tanh(W z + U x), with and without its Lipschitz constant declared; stiff, expansive and growing affine maps, the last of spectral radius 0.2 and norm 1.7.
class Sick final : public zstar::Model {
 public:
  struct Options {
    std::string kind = "tanh";
  };
  static auto options() {
    return std::tuple{zstar::choice("kind", &Options::kind, "what f is, and what is wrong with it",
                                    {"tanh", "stiff", "expansive", "random", "nonfinite", "batch_mates", "identity", "drifting", "marginal", "lazy", "fold", "several", "deaf",
                                     "unreached", "mute", "growing", "declared"})};
  }

  Sick(const Options& o, zstar::Host& host) : kind_(o.kind), equilibrium_(host.layer()) {
    w_ = register_parameter("w", weights());
    u_ = register_parameter("u", randn({width, 6}, 2) / 2);
    v_ = register_parameter("v", randn({1, width}, 3));
  }

  std::vector<Tensor> forward(const zstar::Batch& batch) override {
    const Tensor injection = batch.at("x").mm(u_.t());
    zstar::FixedPointMap f([this](const State& z, const std::vector<Tensor>& t) { return State(map(z[0], t[0], t[1])); }, {{w_, std::nullopt}, {injection, 0}},
                           /*samples_independent=*/true);
    if (kind_ == "declared") f.declare({.lipschitz = 0.7});
    zstar::SolveOptions options;
    options.training = is_training();
    const auto solved = equilibrium_->solve(f, State(start(f, injection)), options);
    if (kind_ == "mute") return {};
    const Tensor z = solved.z()[0];
    return {(kind_ == "unreached" ? z.detach() : z).mm(v_.t())};
  }

  Tensor loss(const Tensor& output, const zstar::Batch& batch) override { return (output - batch.at("y")).square().mean(); }
  zstar::Sums measure(const Tensor& output, const zstar::Batch& batch) override { return {{"error", loss(output, batch).item<double>()}}; }
  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override { return {{"error", sums[0].second, /*higher_is_better=*/false}}; }

 private:
  Tensor weights() const {
    if (kind_ == "stiff") return symmetric(width, 0, 0.97, 1);
    if (kind_ == "expansive") return symmetric(width, -3, -1.5, 1);
    if (kind_ == "drifting") return torch::eye(width, torch::kFloat64);
    if (kind_ == "marginal") return zstar::testing::rotation(1, width / 2, 1.0, 1.0).a;
    if (kind_ == "growing") return torch::diag(torch::full({width}, 0.2, torch::kFloat64)) + torch::diag(torch::full({width - 1}, 1.5, torch::kFloat64), 1);
    if (kind_ == "fold") return torch::diag(torch::cat({torch::full({1}, 1 - 1e-5, torch::kFloat64), torch::full({width - 1}, 0.3, torch::kFloat64)}));
    return matrix_of_norm(width, 0.7, 1);
  }

  Tensor map(const Tensor& z, const Tensor& w, const Tensor& injection) const {
    const Tensor y = z.mm(w.t()) + injection;
    if (kind_ == "stiff" || kind_ == "expansive" || kind_ == "drifting" || kind_ == "marginal" || kind_ == "growing") return y;
    if (kind_ == "fold") return z.mm(w.t()) + injection * (torch::arange(width, injection.options()) > 0);  // nothing drives the slow direction
    if (kind_ == "random") return torch::tanh(y) * (torch::rand_like(y) > 0.1);
    if (kind_ == "nonfinite") return torch::tanh(y) + 0 * torch::log(0.9 - torch::tanh(y).abs());  // not for states of some size
    if (kind_ == "batch_mates") return torch::tanh(y + z.mean(0, /*keepdim=*/true) / 2);
    if (kind_ == "identity") return z + 0 * y;
    if (kind_ == "several") return torch::tanh(3 * z + injection / 10);
    if (kind_ == "deaf") return torch::tanh(z.mm(w.t()) + 0.5);
    return torch::tanh(y);
  }

  Tensor start(const zstar::FixedPointMap& f, const Tensor& injection) const {
    if (kind_ == "several") return torch::full_like(injection, 0.01);
    if (kind_ == "identity") return injection.detach();
    State z(torch::zeros_like(injection));
    const torch::NoGradGuard no_grad;
    for (int k = 0; kind_ == "lazy" && k < 200; ++k) z = f(z);
    return z[0];
  }

  std::string kind_;
  std::shared_ptr<zstar::EquilibriumLayer> equilibrium_;
  Tensor w_, u_, v_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.test-sick", "0.1.0", "models with known faults")
ZSTAR_DATASET(Numbers, "numbers", "sixteen samples of six numbers")
ZSTAR_MODEL(Sick, "sick", "one equilibrium, with one fault")
