/// \file Implicit representation of a signal by an equilibrium. Equations, names and sources: README.md.
#include <zstar/carried.hpp>

#include "injection.hpp"
#include "signal.hpp"

namespace {

using namespace zstar_inr;
using zstar::OptionError;
using zstar::State;

/// The layers of the map: `layers.i.z_map` under the norm, and the constant that the first injection meets.
class Cell final : public torch::nn::Module {
 public:
  Cell(std::int64_t width, std::int64_t layers, bool ones, const std::shared_ptr<zstar::Norm>& norm) {
    z_init = register_buffer("z_init", ones ? torch::ones({1, width}) : torch::zeros({1, width}));
    const auto list = register_module("layers", std::make_shared<torch::nn::Module>());
    for (std::int64_t i = 0; i < layers; ++i) {
      const auto layer = list->register_module(std::to_string(i), std::make_shared<torch::nn::Module>());
      maps.push_back(layer->register_module("z_map", std::make_shared<zstar::nn::Linear>(width, width, norm)));
    }
  }
  Tensor z_init;
  std::vector<std::shared_ptr<zstar::nn::Linear>> maps;
};

class DeqInr final : public SignalModel, public zstar::Carries {
 public:
  struct Options {
    std::string form = "siren_like", training = "cached", supervise = "all", window = "positive";
    std::int64_t width = 256, layers = 1, cached_evaluations = 0;
    double scale = 256, alpha = 3;
  };
  static auto options() {
    using O = Options;
    return std::tuple{
        zstar::choice("form", &O::form, "how coordinates are injected: siren_like adds them inside of a sine, fourier multiplies by sines, gabor by sines under windows",
                      {"siren_like", "fourier", "gabor"}),
        zstar::opt("width", &O::width, "D, channels of the state", zstar::at_least(1)),
        zstar::opt("layers", &O::layers, "L, linear maps in one application of f", zstar::at_least(1)),
        zstar::opt("scale", &O::scale, "of the initial weights of the injection: the highest frequencies represented", zstar::above(0.0)),
        zstar::opt("alpha", &O::alpha, "α of the Gamma(α, 1) that the windows' γ are drawn from (gabor)", zstar::above(0.0)),
        zstar::choice("window", &O::window, "γ of the windows (gabor): positive uses max(γ, 0); free uses γ as it stands, so that a window may grow without bound",
                      {"positive", "free"}),
        zstar::choice("training", &O::training,
                      "cached: a point's first solve starts from zero, later steps go on from the state it had, with cached_evaluations; solve: from zero at every step; "
                      "one_pass: no equilibrium, f once from zero (the explicit baseline)",
                      {"cached", "solve", "one_pass"}),
        zstar::opt("cached_evaluations", &O::cached_evaluations,
                   "evaluations of the solver in a step that goes on from cached states; 0 leaves them to the gradient method's own steps; 1 also shows their residual", zstar::at_least(0)),
        zstar::choice("supervise", &O::supervise, "which of the sampled states enter the loss: all, or the last alone as published", {"all", "last"})};
  }

  DeqInr(const Options& o, zstar::Host& host) : SignalModel(host), o_(o), form_(form_of(o.form)), layer_(o.training == "one_pass" ? nullptr : host.layer()) {
    const zstar::Description& data = host.data();
    injection_ = register_module("injection", std::make_shared<Injection>(InjectionOptions{form_, data.at("coordinates"), o.width, o.layers, o.scale, o.alpha, o.window == "free"}));
    cell_ = register_module("f", std::make_shared<Cell>(o.width, o.layers, multiplies(form_), host.norm()));
    output_ = register_module("output_map", std::make_shared<zstar::nn::Linear>(o.width, numbers(), nullptr));
    if (o.training == "cached") points_ = data.at("points");
  }

  void* query(std::string_view id) override { return id == zstar::Carries::id ? static_cast<zstar::Carries*>(this) : SignalModel::query(id); }

  std::vector<Tensor> forward(const Batch& batch) override {
    const Tensor& x = batch.at("coordinates");
    const zstar::FixedPointMap f = map(x);
    const Tensor zero = torch::zeros({x.size(0), o_.width}, x.options());
    if (o_.training == "one_pass") return {output_->forward(f(State(zero))[0])};
    std::vector<Tensor> outputs;
    const zstar::Equilibrium e = solve(f, zero, batch);
    for (const State& z : e.states) outputs.push_back(output_->forward(z[0]));
    if (o_.supervise == "last") outputs.erase(outputs.begin(), outputs.end() - 1);
    return outputs;
  }

  std::vector<std::pair<std::string, Tensor>> carried() const override {
    if (!states_.defined()) return {};
    return {{"states", states_}, {"known", known_}};
  }
  void carry(const std::vector<std::pair<std::string, Tensor>>& tensors) override {
    Tensor states, known;
    for (const auto& [name, tensor] : tensors) {
      if (tensor.size(0) != points_) throw std::runtime_error("the states carried are those of " + std::to_string(tensor.size(0)) + " points, the data have " + std::to_string(points_));
      (name == "known" ? known : states) = tensor.clone();
    }
    states_ = std::move(states), known_ = std::move(known);
  }

 private:
  /// z ↦ a_L with a_0 = z + φ(z_init, u_0), a_i = φ(W_i a_{i−1} + b_i, u_i). Captured: φ(z_init, u_0), the injections (with b_i
  /// where both are added), then the weights (and b_i where it stands alone).
  zstar::FixedPointMap map(const Tensor& x) {
    const bool product = multiplies(form_);
    auto u = injection_->forward(x);
    std::vector<zstar::Captured> captured{{product ? u[0] * cell_->z_init : torch::sin(u[0] + cell_->z_init), 0}};
    for (std::size_t i = 0; i < cell_->maps.size(); ++i) captured.push_back({product ? u[i + 1] : u[i + 1] + cell_->maps[i]->bias(), 0});
    for (const auto& map : cell_->maps) {
      captured.push_back({map->prepare(is_training()), std::nullopt});
      if (product) captured.push_back({map->bias(), std::nullopt});
    }
    return {[product, layers = cell_->maps.size()](const State& z, const std::vector<Tensor>& c) {
              Tensor a = z[0] + c[0];
              for (std::size_t i = 0; i < layers; ++i) {
                if (product) a = torch::linear(a, c[layers + 1 + 2 * i], c[layers + 2 + 2 * i]).mul(c[i + 1]);
                else a = sine(torch::addmm(c[i + 1], a, c[layers + 1 + i].t()));
              }
              return State(a);
            },
            std::move(captured), /*samples_independent=*/true};
  }

  /// sin(a) in the place of a, where no graph needs a.
  static Tensor sine(Tensor a) { return a.requires_grad() ? torch::sin(a) : a.sin_(); }

  zstar::Equilibrium solve(const zstar::FixedPointMap& f, const Tensor& zero, const Batch& batch) {
    zstar::SolveOptions options{.training = is_training(), .sample_ids = batch.ids};
    if (!is_training() || o_.training == "solve") return layer_->solve(f, State(zero), options);
    if (batch.ids.empty() && zero.size(0) != points_) throw std::invalid_argument("training = \"cached\" needs a data set that says which points a batch holds, or one batch with all of them");
    const Tensor rows = batch.ids.empty() ? Tensor() : torch::tensor(batch.ids, torch::kInt64).to(zero.device());
    const bool known = states_.defined() && (rows.defined() ? known_.index_select(0, rows) : known_).all().item<bool>();
    Tensor start = zero;
    if (states_.defined()) start = rows.defined() ? states_.index_select(0, rows) : states_;
    if (known) options.max_evaluations = o_.cached_evaluations;
    const zstar::Equilibrium e = layer_->solve(f, State(start), options);
    remember(rows, e.z()[0].detach());
    return e;
  }

  /// States of points, by id. One batch with all of them is kept as it is.
  void remember(const Tensor& rows, const Tensor& states) {
    if (!rows.defined()) {
      states_ = states, known_ = torch::ones({points_}, torch::kBool).to(states.device());
      return;
    }
    if (!states_.defined()) states_ = torch::zeros({points_, o_.width}, states.options()), known_ = torch::zeros({points_}, torch::kBool).to(states.device());
    states_.index_copy_(0, rows, states);
    known_.index_fill_(0, rows, true);
  }

  Options o_;
  Form form_;
  std::shared_ptr<zstar::EquilibriumLayer> layer_;
  std::shared_ptr<Injection> injection_;
  std::shared_ptr<Cell> cell_;
  std::shared_ptr<zstar::nn::Linear> output_;
  std::int64_t points_ = 0;
  Tensor states_, known_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.deq-inr", "0.1.0", "signals as functions of their coordinates: equilibria and explicit networks")
ZSTAR_MODEL(DeqInr, "deq_inr", "implicit representation of an image, a sound or a video by an equilibrium at every point")
