/// \file Explicit networks of coordinates to compare with. Equations and sources: README.md.
#include <zstar/claims.hpp>

#include "signal.hpp"

namespace {

using namespace zstar_inr;
using zstar::nn::Linear;

/// Linear maps `linear_maps.0 … linear_maps.n`.
class Stack : public SignalModel {
 public:
  void* query(std::string_view id) override { return id == zstar::Exemptions::id ? &exemptions_ : SignalModel::query(id); }

 protected:
  using SignalModel::SignalModel;
  void build(std::int64_t in, std::int64_t width, std::int64_t layers) {
    const auto list = register_module("linear_maps", std::make_shared<torch::nn::Module>());
    for (std::int64_t i = 0; i <= layers; ++i)
      maps_.push_back(list->register_module(std::to_string(i), std::make_shared<Linear>(i == 0 ? in : width, i == layers ? numbers() : width, nullptr)));
  }
  std::vector<std::shared_ptr<Linear>> maps_;

 private:
  zstar::Exemptions exemptions_{{{"forwards", "an explicit network has no equilibrium"}}};
};

/// sin(s (W₀x + b₀)), then sin(ω (Wx + b)), then a linear map.
class Siren final : public Stack {
 public:
  struct Options {
    std::int64_t width = 256, layers = 3;
    double scale = 30, omega = 30;
  };
  static auto options() {
    using O = Options;
    return std::tuple{zstar::opt("width", &O::width, "channels of every layer", zstar::at_least(1)),
                      zstar::opt("layers", &O::layers, "layers with a sine", zstar::at_least(1)),
                      zstar::opt("scale", &O::scale, "s, frequency of the first layer", zstar::above(0.0)),
                      zstar::opt("omega", &O::omega, "ω, frequency of the others", zstar::above(0.0))};
  }

  Siren(const Options& o, zstar::Host& host) : Stack(host), o_(o) {
    build(host.data().at("coordinates"), o.width, o.layers);
    for (std::size_t i = 0; i < maps_.size(); ++i) {
      const double fan = static_cast<double>(maps_[i]->weight().size(1)), bound = i == 0 ? 1 / fan : std::sqrt(6 / fan) / o.omega;
      maps_[i]->assign(torch::empty_like(maps_[i]->weight()).uniform_(-bound, bound));
    }
  }

  std::vector<Tensor> forward(const Batch& batch) override {
    Tensor a = batch.at("coordinates");
    for (std::size_t i = 0; i + 1 < maps_.size(); ++i) a = torch::sin((i == 0 ? o_.scale : o_.omega) * maps_[i]->forward(a));
    return {maps_.back()->forward(a)};
  }

 private:
  Options o_;
};

/// Random Fourier features, layers with ReLU, and a last one; published with a sine at its end.
class FourierNetwork final : public Stack {
 public:
  struct Options {
    std::int64_t width = 256, layers = 3, features = 256;
    double scale = 10;
    std::string end = "sine";
  };
  static auto options() {
    using O = Options;
    return std::tuple{zstar::opt("width", &O::width, "channels of every layer", zstar::at_least(1)),
                      zstar::opt("layers", &O::layers, "layers with a ReLU", zstar::at_least(1)),
                      zstar::opt("features", &O::features, "frequencies of the embedding", zstar::at_least(1)),
                      zstar::opt("scale", &O::scale, "standard deviation of the frequencies", zstar::above(0.0)),
                      zstar::choice("end", &O::end, "what the last layer goes through", {"sine", "linear"})};
  }

  FourierNetwork(const Options& o, zstar::Host& host) : Stack(host), o_(o) {
    const std::int64_t d = host.data().at("coordinates");
    const auto embedder = register_module("embedder", std::make_shared<torch::nn::Module>());
    frequencies_ = embedder->register_buffer("bval", torch::randn({d, o.features}) * o.scale);
    amplitudes_ = embedder->register_buffer("aval", torch::ones({o.features}));
    build(2 * o.features, o.width, o.layers);
  }

  std::vector<Tensor> forward(const Batch& batch) override {
    const Tensor phase = 2 * M_PI * batch.at("coordinates").mm(frequencies_);
    Tensor a = torch::cat({amplitudes_ * torch::sin(phase), amplitudes_ * torch::cos(phase)}, 1);
    for (std::size_t i = 0; i + 1 < maps_.size(); ++i) a = torch::relu(maps_[i]->forward(a));
    a = maps_.back()->forward(a);
    return {o_.end == "sine" ? torch::sin(a) : a};
  }

 private:
  Options o_;
  Tensor frequencies_, amplitudes_;
};

}  // namespace

ZSTAR_MODEL(Siren, "siren", "explicit network of sines, to compare with deq_inr")
ZSTAR_MODEL(FourierNetwork, "fourier_network", "explicit network on random Fourier features, to compare with deq_inr")
