/// \file Regularizers, models and data sets with one fault each.
#include <clocale>

#include <zstar/sdk.hpp>

#include <zstar/abi/model.hpp>
#include <zstar/abi/regularizer.hpp>
#include <zstar/testing/maps.hpp>

namespace {

using torch::Tensor;
using zstar::State;
using zstar::testing::randn;

enum class PenaltyFault { none, global_generator, no_graph, per_sample, overwrites, leaks, locale };

/// The mean square of f(z⋆) + noise / 100, z⋆ without graph.
template <PenaltyFault fault>
class SickPenalty final : public zstar::Regularizer {
 public:
  explicit SickPenalty(zstar::Host&) {}
  Tensor penalty(const zstar::Solved& solved, const at::Generator& generator) override {
    if (fault == PenaltyFault::leaks) last_ = solved.map;
    if (fault == PenaltyFault::locale) std::setlocale(LC_ALL, "C.UTF-8");
    const torch::AutoGradMode grad(fault != PenaltyFault::no_graph && torch::GradMode::is_enabled());
    const State& z = solved.equilibrium.fixed_point;
    if (fault == PenaltyFault::overwrites) Tensor(z[0]).mul_(1.5);
    const State image = solved.map(z);
    Tensor sum;
    for (const Tensor& y : image) {
      const auto options = y.options().requires_grad(false);
      const Tensor noise = fault == PenaltyFault::global_generator ? torch::randn(y.sizes(), options) : torch::randn(y.sizes(), generator, options);
      const Tensor square = (y + noise / 100).square();
      const Tensor term = fault == PenaltyFault::per_sample ? square.flatten(1).mean(1) : square.mean();
      sum = sum.defined() ? sum + term : term;
    }
    return sum;
  }

 private:
  zstar::FixedPointMap last_;
};

/// The mean square of the equilibrium that the host's layer finds: right only with a layer that keeps nothing of the parts before.
class LayerPenalty final : public zstar::Regularizer {
 public:
  explicit LayerPenalty(zstar::Host& host) : layer_(host.layer()) {}
  Tensor penalty(const zstar::Solved& solved, const at::Generator&) override {
    const torch::AutoGradMode grad(true);
    const State z = layer_->solve(solved.map, solved.equilibrium.fixed_point, {.training = false, .gradient = true}).z();
    Tensor sum = z[0].square().mean();
    for (std::size_t i = 1; i < z.size(); ++i) sum = sum + z[i].square().mean();
    return sum;
  }

 private:
  std::shared_ptr<zstar::EquilibriumLayer> layer_;
};

enum class DataFault { none, twice, order, augments, buffer, not_finite, locale };

/// Twelve samples x [B, 4] of fixed numbers, y [B, 1]; shuffled by the seed.
template <DataFault fault>
class SickData final : public zstar::Dataset {
 public:
  explicit SickData(zstar::Host&) {}
  zstar::Description describe() const override { return {{{fault == DataFault::none ? "features" : "columns", 4}}}; }  // models are tried on the healthy one
  std::int64_t size(zstar::Split split) const override { return split == zstar::Split::test ? 0 : 12; }

  std::vector<std::vector<std::int64_t>> batches(zstar::Split split, std::int64_t batch_size, std::uint64_t seed) const override {
    if (fault == DataFault::locale) std::setlocale(LC_ALL, "C.UTF-8");
    auto generator = at::detail::createCPUGenerator(seed);
    const Tensor order = fault == DataFault::order ? torch::randperm(size(split)) : torch::randperm(size(split), generator);
    std::vector<std::vector<std::int64_t>> all;
    for (std::int64_t i = 0; i < order.numel(); ++i) {
      if (i % batch_size == 0) all.emplace_back();
      const std::int64_t index = order[i].item<std::int64_t>();
      all.back().push_back(fault == DataFault::twice && index == 1 ? 0 : index);
    }
    return all;
  }

  zstar::Batch load(zstar::Split split, const std::vector<std::int64_t>& indices, std::uint64_t seed) const override {
    Tensor x = randn({12, 4}, 90 + static_cast<std::uint64_t>(split)).index_select(0, torch::tensor(indices, torch::kInt64));
    x = x + (fault == DataFault::augments ? torch::randn(x.sizes(), x.options()) : randn(x.sizes(), seed)) / 10;
    if (fault == DataFault::not_finite) x = x.log();
    if (fault == DataFault::buffer) {
      if (!buffer_.defined() || buffer_.sizes() != x.sizes()) buffer_ = torch::empty_like(x);
      x = buffer_.copy_(x);
    }
    return {{{"x", x}, {"y", x.sum(1, /*keepdim=*/true)}}, indices};
  }

 private:
  mutable Tensor buffer_;
};

enum class ModelFault { none, mates, hidden_state, not_fixed, no_gradient, mute, locale };

/// z⋆ = tanh(z⋆ Wᵀ + x Uᵀ), output z⋆ Vᵀ.
template <ModelFault fault>
class SickModel final : public zstar::Model {
 public:
  explicit SickModel(zstar::Host& host) : equilibrium_(host.layer()) {
    const std::int64_t features = host.data().at("features");
    w_ = register_parameter("w", torch::randn({width, width}) / 4);
    u_ = register_parameter("u", torch::randn({width, features}));
    Tensor v = torch::randn({1, width});
    v_ = fault == ModelFault::hidden_state ? v : register_parameter("v", v);
  }

  std::vector<Tensor> forward(const zstar::Batch& batch) override {
    const Tensor injection = batch.at("x").mm(u_.t());
    const zstar::FixedPointMap f(
        [](const State& z, const std::vector<Tensor>& t) {
          Tensor y = torch::tanh(z[0].mm(t[0].t()) + t[1]);
          if (fault == ModelFault::mates) y = y + z[0].mean(0, /*keepdim=*/true) / 4;
          if (fault == ModelFault::not_fixed) y = y * torch::rand_like(y);
          return State(y);
        },
        {{w_, std::nullopt}, {injection, 0}}, /*samples_independent=*/true);
    zstar::SolveOptions options;
    options.training = is_training();
    const Tensor z = equilibrium_->solve(f, State(torch::zeros_like(injection)), options).z()[0];
    if (fault == ModelFault::mute) return {};
    const Tensor output = z.mm(v_.to(z.scalar_type()).t());
    return {fault == ModelFault::no_gradient ? output.detach().requires_grad_() : output};
  }
  Tensor loss(const Tensor& output, const zstar::Batch& batch) override { return (output - batch.at("y")).square().mean(); }
  zstar::Sums measure(const Tensor& output, const zstar::Batch& batch) override {
    if (fault == ModelFault::locale) std::setlocale(LC_ALL, "C.UTF-8");
    const Tensor error = loss(output, batch);
    return {{"error", error.item<double>()}};
  }
  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override { return {{"error", sums.empty() ? 0.0 : sums[0].second, /*higher_is_better=*/false}}; }

 private:
  static constexpr std::int64_t width = 5;
  std::shared_ptr<zstar::EquilibriumLayer> equilibrium_;
  Tensor w_, u_, v_;
};

}  // namespace

ZSTAR_REGULARIZER(LayerPenalty, "healthy_layer_penalty", "no fault")
ZSTAR_REGULARIZER(SickPenalty<PenaltyFault::none>, "healthy_penalty", "no fault")
ZSTAR_REGULARIZER(SickPenalty<PenaltyFault::global_generator>, "global_noise", "draws from the global generator")
ZSTAR_REGULARIZER(SickPenalty<PenaltyFault::no_graph>, "no_graph_penalty", "a penalty without a graph")
ZSTAR_REGULARIZER(SickPenalty<PenaltyFault::per_sample>, "per_sample", "one number a sample, not a scalar")
ZSTAR_REGULARIZER(SickPenalty<PenaltyFault::overwrites>, "overwrites_state", "writes over the equilibrium")
ZSTAR_REGULARIZER(SickPenalty<PenaltyFault::leaks>, "leaks_map", "holds the map of its last penalty")
ZSTAR_REGULARIZER(SickPenalty<PenaltyFault::locale>, "locale_penalty", "changes the locale of the process")
ZSTAR_DATASET(SickData<DataFault::locale>, "locale_data", "changes the locale of the process when a pass begins")
ZSTAR_DATASET(SickData<DataFault::none>, "healthy_data", "no fault")
ZSTAR_DATASET(SickData<DataFault::twice>, "twice", "one sample twice in a pass, another never")
ZSTAR_DATASET(SickData<DataFault::order>, "global_order", "the order of a pass from the global generator")
ZSTAR_DATASET(SickData<DataFault::augments>, "global_augmentation", "augmentation from the global generator")
ZSTAR_DATASET(SickData<DataFault::buffer>, "one_buffer", "every batch is loaded into one buffer")
ZSTAR_DATASET(SickData<DataFault::not_finite>, "nan_data", "a batch has NaN in it")
ZSTAR_MODEL(SickModel<ModelFault::locale>, "locale_model", "changes the locale of the process when it measures")
ZSTAR_MODEL(SickModel<ModelFault::none>, "healthy_model", "no fault")
ZSTAR_MODEL(SickModel<ModelFault::mates>, "false_independence", "says that samples are independent, and they are not")
ZSTAR_MODEL(SickModel<ModelFault::hidden_state>, "hidden_state", "a weight that is no parameter")
ZSTAR_MODEL(SickModel<ModelFault::not_fixed>, "not_fixed", "draws noise inside the map")
ZSTAR_MODEL(SickModel<ModelFault::no_gradient>, "cut_off", "no gradient reaches a parameter")
ZSTAR_MODEL(SickModel<ModelFault::mute>, "mute", "returns no output")
