/// \file Cases of kind model: a few training steps of a small network, all parts together.
#include <torch/csrc/autograd/autograd.h>

#include "tests/reference/case.hpp"

namespace zstar::reference {
namespace {

/// The parameters by their names, and what the norm keeps in the place of the core's weight.
struct Network {
  std::map<std::string, Tensor> parameters;
  std::vector<Tensor> stored;

  /// \param norm  null: the weight as it is
  Network(const Case& c, Norm* norm) {
    for (const char* name : {"core.g", "core.v", "core.weight", "head.bias", "head.weight", "inj.bias", "inj.weight"})
      if (c.has(std::string("param/") + name)) parameters[name] = c.leaf(std::string("param/") + name);
    const Tensor raw = parameters.count("core.v") ? parameters["core.v"] : parameters["core.weight"];
    if (!norm) {
      stored = {raw};
      return;
    }
    for (auto& s : norm->store(raw.detach().clone(), {})) {
      if (s.suffix == "_g") stored.push_back(parameters["core.g"]);
      else if (s.trainable) stored.push_back(raw);
      else stored.push_back(c.at(s.suffix == "_u" ? "input/u" : "input/v").clone());
    }
  }
};

}  // namespace

void run_model(Case& c) {
  const auto norm = c.get<std::string>("norm_type", "weight_norm") == "none" ? nullptr : make_norm(c);
  AdjointRecord record;
  const Setup setup = set_up(c, record);
  Network net(c, norm.get());
  auto& p = net.parameters;
  const Tensor &x = c.at("input/x"), &y = c.at("input/y");
  std::vector<Tensor> losses;
  for (std::int64_t step = 0; step < c.get("steps", std::int64_t{1}); ++step) {
    const Tensor w = norm ? norm->effective(net.stored, {}, /*training=*/true) : net.stored[0], injection = torch::linear(x, p["inj.weight"], p["inj.bias"]);
    const FixedPointMap f([w, injection](const State& z) { return State(torch::tanh(z[0].mm(w.t()) + injection)); });
    const Joined e = join(setup, f, State(c.at("input/z0")));
    const auto n = static_cast<std::int64_t>(e.states.size());
    Tensor loss = torch::zeros({}, x.options());
    for (std::int64_t k = 0; k < n; ++k) {
      const Tensor prediction = torch::linear(e.states[static_cast<std::size_t>(k)][0], p["head.weight"], p["head.bias"]);
      loss = loss + weight_of(c, n, k) * (prediction - y).square().mean();
    }
    losses.push_back(loss.detach());
    std::vector<Tensor> leaves;
    for (const auto& [name, leaf] : p) leaves.push_back(leaf);
    const auto grads = torch::autograd::grad({loss}, leaves);
    const torch::NoGradGuard no_grad;
    std::size_t i = 0;
    for (auto& [name, leaf] : p) {
      if (step == 0) c.compare("grad/" + name, grads[i]);
      leaf.sub_(c.get("lr", 0.1) * grads[i++]);
    }
    if (step == 0)
      for (const auto& [key, tensor] : e.forward.statistics) c.compare("output/" + key, tensor);
  }
  c.compare("output/losses", torch::stack(losses));
  for (const auto& [name, leaf] : p) c.compare("output/" + name, leaf);
}

}  // namespace zstar::reference
