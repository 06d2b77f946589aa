/// \file Graphs: chains of 100 nodes, and one random graph with the sizes of PPI's five layers.
#include "bench/zoo/workload.hpp"
#include "core/training/adam.hpp"

namespace zstar::bench {
namespace {

/// 20 chains of 100 nodes for each of five classes; the first node of a chain knows its class. Edges run forward, every node has a loop.
Recipe chains(std::shared_ptr<gradient::Layer> layer) {
  constexpr std::int64_t classes = 5, length = 100, features = 100, n = classes * 20 * length;
  const Tensor i = torch::arange(n), from = i.masked_select(i.remainder(length) < length - 1), first = torch::arange(0, n, length);
  const Tensor indices = torch::cat({torch::stack({i, i}), torch::stack({from, from + 1})}, 1);
  const Tensor scale = torch::where(i.remainder(length) < length - 1, torch::full({n}, 2.0f), torch::ones({n})).rsqrt();
  const Tensor labels = torch::div(i, n / classes, "floor"), x = torch::zeros({n, features});
  x.index_put_({first, labels.index_select(0, first)}, torch::ones({first.numel()}));
  const Tensor mask = torch::zeros({n}, torch::kBool).index_fill(0, torch::randperm(n).narrow(0, 0, 100), true);
  return {std::move(layer), "weight_norm", {}, {{{"nodes", n}, {"features", features}, {"classes", classes}}}, "ignn", {{"hidden", std::int64_t{16}}, {"kappa", 0.9}, {"dropout", 0.5}},
          {{{"features", x}, {"adjacency_indices", indices}, {"adjacency_values", scale.index_select(0, indices[0]) * scale.index_select(0, indices[1])},
            {"adjacency_radius", torch::tensor(1.00001)}, {"labels", labels}, {"mask", mask}}, {}}};
}

Recipe ppi(std::shared_ptr<gradient::Layer> layer) {
  constexpr std::int64_t n = 2000, degree = 28, labels = 121;
  const Tensor ends = torch::randint(n, {2, n * degree / 2}, torch::kInt64), pairs = ends.index_select(1, ends[0].ne(ends[1]).nonzero().squeeze(1));
  const Tensor both = torch::cat({pairs, pairs.flip(0)}, 1), keys = std::get<0>(torch::_unique(both[0] * n + both[1], /*sorted=*/true));
  return {std::move(layer), "spectral_norm", {{"clip", true}, {"scale", std::string("per_row")}}, {{{"features", 50}, {"classes", labels}}}, "ignn_stacked", {{"kappa", 0.98}},
          {{{"features", torch::randn({n, 50})}, {"adjacency_indices", torch::stack({torch::div(keys, n, "floor"), keys.remainder(n)})},
            {"adjacency_values", torch::ones({keys.numel()})}, {"labels", torch::rand({n, labels}).lt(0.3).to(torch::kFloat32)}}, {}}};
}

}  // namespace

std::unique_ptr<ZooWorkload> ignn(const std::string& name, Variant variant) {
  const auto solved = layer("phantom", {{"steps", std::vector<std::int64_t>{5}}, {"beta", 0.5}}, "fixed_point", budget(40), budget(40), variant);
  const bool small = name == "ignn_chains";
  auto w = std::make_unique<ZooWorkload>(small ? chains(solved) : ppi(solved));
  w->optimizer = std::make_unique<training::Adam>(w->parameters, torch::optim::AdamOptions(small ? 0.01 : 0.005).weight_decay(small ? 5e-4 : 0.0));
  return w;
}

}  // namespace zstar::bench
