#include "tests/reference/zoo/fill.hpp"

#include <torch/nn/module.h>

namespace zstar::reference::zoo {
namespace {

constexpr std::uint64_t golden = 0x9E3779B97F4A7C15;

/// The value of one element from u, decided by the last part of its name.
Tensor values(const std::string& name, const Tensor& like, const Tensor& u) {
  const std::string last = name.substr(name.rfind('.') + 1);
  if (last == "num_batches_tracked") return torch::zeros_like(u);
  if (last == "running_var") return 0.5 + u;
  if (last == "weight_g" || (last == "weight" && like.dim() == 1)) return 0.8 + 0.4 * u;
  if (last == "gamma") return 0.2 + 0.2 * u;
  if (last == "weight" || last == "weight_v") return std::sqrt(3.0 * static_cast<double>(like.size(0)) / static_cast<double>(like.numel())) * (2 * u - 1);
  return 0.1 * (2 * u - 1);
}

}  // namespace

Tensor splitmix(std::uint64_t state, std::int64_t n) {
  const Tensor u = torch::empty({n}, torch::kFloat64);
  double* out = u.data_ptr<double>();
  for (std::int64_t i = 0; i < n; ++i) {
    std::uint64_t z = state += golden;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    out[i] = static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }
  return u;
}

void fill(const std::map<std::string, Tensor>& tensors, std::uint64_t seed) {
  const torch::NoGradGuard no_grad;
  std::set<const void*> filled;
  std::uint64_t k = 0;
  for (const auto& [name, tensor] : tensors) {
    if (filled.insert(tensor.data_ptr()).second)
      Tensor(tensor).copy_(values(name, tensor, splitmix(seed * 1000003 + k * 65537, tensor.numel())).reshape(tensor.sizes()));
    ++k;
  }
}

void fill(torch::nn::Module& module, std::uint64_t seed) {
  std::map<std::string, Tensor> tensors;
  for (const auto& p : module.named_parameters()) tensors[p.key()] = p.value();
  for (const auto& b : module.named_buffers()) tensors[b.key()] = b.value();
  fill(tensors, seed);
}

void compare_grad_summary(Case& c, const std::map<std::string, Tensor>& gradients) {
  std::vector<Tensor> rows;
  for (const auto& name : c.settings.at("grad_summary_names")) {
    const auto found = gradients.find(name.get<std::string>());
    if (found == gradients.end()) return c.fail("no gradient of " + name.get<std::string>());
    const Tensor g = found->second.detach().to(torch::kFloat64).flatten();
    const Tensor probe = 2 * splitmix(7919 * (rows.size() + 1), g.numel()) - 1;
    rows.push_back(torch::stack({g.sum(), g.abs().sum(), g.norm(), g.dot(probe)}));
  }
  c.compare("output/grad_summary", torch::stack(rows));
}

}  // namespace zstar::reference::zoo
