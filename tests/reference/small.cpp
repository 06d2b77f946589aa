/// \file Cases of kind norm, regularizer, dropout and correction.
#include <torch/csrc/autograd/autograd.h>

#include "core/gradient/spectrum.hpp"
#include "core/training/trainer.hpp"
#include "tests/reference/case.hpp"
#include "zstar/abi/regularizer.hpp"
#include "zstar/nn.hpp"

namespace zstar::reference {
namespace {

Tensor apply(const std::string& family, const Tensor& x, const Tensor& w, const Tensor& bias) {
  if (family == "linear") return torch::linear(x, w, bias);
  if (family == "conv1d") return torch::conv1d(x, w, bias, 1, 1);
  if (family == "conv2d") return torch::conv2d(x, w, bias, 1, 1);
  if (family == "conv_transpose2d") return torch::conv_transpose2d(x, w, bias, 1, 1);
  throw std::runtime_error("no such module here: '" + family + "'");
}

}  // namespace

std::shared_ptr<Norm> make_norm(const Case& c) {
  const std::string type = c.settings.at("norm_type");
  Settings s{{"learn_scale", c.get("learn_scale", true)}, {"clip", c.get("clip", false)}, {"clip_below", false}, {"clip_value", c.get("clip_value", 1.0)}};
  if (type == "spectral_norm" || !c.get("learn_scale", true)) s.push_back({"target", c.get("target_norm", 1.0)});  // there, a learned scale ignores it
  if (type == "spectral_norm") s.push_back({"scale", std::string("per_row")}), s.push_back({"power_iterations", c.get("n_power_iterations", std::int64_t{1})}), s.push_back({"settle", false});
  return test::make<Norm>(Kind::norm, type, s);
}

void run_norm(Case& c) {
  const auto norm = make_norm(c);
  Geometry geometry;
  if (c.family.find("transpose") != std::string::npos) geometry = {Geometry::Map::transposed_convolution, 1};
  const Tensor weight = c.leaf("param/weight"), bias = c.leaf("param/bias"), x = c.leaf("input/x");
  std::vector<Tensor> stored;
  Tensor g, u, v;
  for (auto& s : norm->store(c.at("param/weight"), geometry)) {
    Tensor t = s.trainable ? weight : s.value.clone();
    if (s.suffix == "_g") t = g = (c.has("param/g") ? c.at("param/g") : s.value).clone().reshape(s.value.sizes()).requires_grad_();
    if (s.suffix == "_u") t = u = c.at("input/u").clone();
    if (s.suffix == "_v" && !s.trainable) t = v = c.at("input/v").clone();
    stored.push_back(t);
  }
  Tensor effective;
  for (std::int64_t k = 0; k < c.get("resets", std::int64_t{1}); ++k)
    effective = norm->effective(stored, geometry, c.get<std::string>("mode", "train") == "train");
  const Tensor y = apply(c.family, x, effective, bias);
  c.compare("output/weight", effective);
  c.compare("output/y", y);
  c.compare("output/removed_weight", norm->effective(stored, geometry, /*training=*/false));
  if (u.defined()) {
    c.compare("output/u", u);
    c.compare("output/v", v);
    c.compare("output/sigma", torch::linalg_matrix_norm(c.at("param/weight").movedim(geometry.output_axis, 0).flatten(1), 2));
  }
  std::vector<Tensor> leaves{weight, bias, x};
  std::vector<std::string> names{"weight", "bias", "x"};
  if (g.defined()) leaves.push_back(g), names.push_back("g");
  const auto grads = torch::autograd::grad({(y * c.at("input/cotangent")).sum()}, leaves);
  for (std::size_t i = 0; i < names.size(); ++i) c.compare("grad/" + names[i], grads[i]);
}

void run_regularizer(Case& c) {
  const Family family = make_family(c);
  const Tensor z = c.leaf("input/z");
  const auto regularizer = test::make<Regularizer>(Kind::regularizer, "jacobian", {{"through_solution", true}});
  std::vector<State> probes;
  for (int i = 0; c.has("input/probe_" + std::to_string(i)); ++i) probes.push_back(State(c.at("input/probe_" + std::to_string(i))));
  Equilibrium e;
  e.states = {State(z)};
  const Tensor value = query<Probed>(*regularizer)->penalty({family.f, e}, probes);
  c.compare("output/value", value);
  std::vector<Tensor> leaves{z};
  std::vector<std::string> names{"z"};
  for (const auto& [name, leaf] : family.leaves) leaves.push_back(leaf), names.push_back(name);
  const auto grads = torch::autograd::grad({value}, leaves, {}, /*retain_graph=*/false, /*create_graph=*/false, /*allow_unused=*/true);
  for (std::size_t i = 0; i < names.size(); ++i) c.compare("grad/" + names[i], grads[i].defined() ? grads[i] : torch::zeros_like(leaves[i]));
  // What the estimate estimates: one probe for each direction of a sample, all samples at once.
  const std::int64_t width = z.numel() / z.size(0);
  Tensor exact = torch::zeros({}, z.options());
  for (std::int64_t i = 0; i < width; ++i) {
    const Tensor probe = torch::zeros({z.size(0), width}, z.options());
    probe.select(1, i).fill_(1);
    exact += query<Probed>(*regularizer)->penalty({family.f, e}, {State(probe.reshape(z.sizes()))}).detach();
  }
  c.compare("output/exact", exact);
}

void run_dropout(Case& c) {
  const std::string name = c.settings.at("class");
  const nn::DropWhat what = name.find("Token") != std::string::npos ? nn::DropWhat::token : name == "VariationalDropout" ? nn::DropWhat::element : nn::DropWhat::feature;
  struct Holder : torch::nn::Module {
    std::shared_ptr<nn::VariationalDropout> dropout;
  } holder;
  holder.dropout = holder.register_module("dropout", std::make_shared<nn::VariationalDropout>(c.get("dropout", 0.5), what, c.get("token_first", true)));
  const Tensor& mask = c.at("input/mask");
  if (holder.dropout->mask_sizes(c.at("input/x_0").sizes()) != mask.sizes().vec()) return c.fail("the mask has another shape");
  std::vector<nn::Freezable*> layers{holder.dropout.get()};
  std::vector<Tensor> tensors{mask};
  const nn::Bound bound(layers, tensors);
  for (int k = 0; k < 2; ++k) {
    const std::string index = std::to_string(k);
    const Tensor x = c.leaf("input/x_" + index), y = holder.dropout->forward(x);
    c.compare("output/y_" + index, y);
    c.compare("grad/x_" + index, torch::autograd::grad({(y * c.at("input/v_" + index)).sum()}, {x})[0]);
  }
  holder.eval();
  c.compare("output/y_eval", holder.dropout->forward(c.at("input/x_0")));
}

double weight_of(const Case& c, std::int64_t n, std::int64_t k) {
  const std::string kind = c.get<std::string>("weight_func", "exp");
  const double gamma = kind == "const" ? c.get("c", 1.0) : c.get("gamma", kind == "linear" ? 0.9 : 0.8);
  return training::correction_weight(kind, gamma, c.get("bias", 0.0), n, k);
}

void run_correction(Case& c) {
  std::vector<Tensor> states, values, weights;
  for (int k = 0; c.has("input/z_" + std::to_string(k)); ++k) states.push_back(c.leaf("input/z_" + std::to_string(k)));
  Tensor loss = torch::zeros({}, states[0].options());
  const auto n = static_cast<std::int64_t>(states.size());
  for (std::int64_t k = 0; k < n; ++k) {
    const double w = weight_of(c, n, k);
    values.push_back((states[static_cast<std::size_t>(k)] - c.at("input/target")).square().mean());
    weights.push_back(torch::full({}, w, states[0].options()));
    loss = loss + w * values.back();
  }
  c.compare("output/loss", loss);
  c.compare("output/values", torch::stack(values));
  c.compare("output/weights", torch::stack(weights));
  const auto grads = torch::autograd::grad({loss}, states);
  for (std::int64_t k = 0; k < n; ++k) c.compare("grad/z_" + std::to_string(k), grads[static_cast<std::size_t>(k)]);
}

void run_spectral_radius(Case& c) {
  const Family family = make_family(c);
  const auto n = c.get("n_iters", std::int64_t{100});
  const State z(c.at("input/z"));
  const auto power = gradient::power_iteration(family.f, z, c.at("input/power_start"), n);
  c.compare("output/vector", power.vector);
  c.compare("output/value", power.values.back());
  for (std::int64_t k = 1; k <= n; ++k) c.compare("trace/value_" + std::to_string(k), power.values[static_cast<std::size_t>(k - 1)]);
  const auto exact = gradient::spectral_radius(family.f, z, c.at("input/power_start"), c.at("input/z").numel(), /*tolerance=*/0);
  c.compare("output/exact_radius", torch::tensor(exact.radius, torch::kFloat64));
}

}  // namespace zstar::reference
