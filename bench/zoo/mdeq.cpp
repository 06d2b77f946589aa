/// \file Multiscale models on 32 × 32 pixels in ten classes.
#include <torch/optim/sgd.h>

#include "bench/zoo/workload.hpp"

namespace zstar::bench {

std::unique_ptr<ZooWorkload> mdeq(const std::string& name, Variant variant) {
  using Numbers = std::vector<std::int64_t>;
  const bool small = name == "mdeq_small";
  const std::int64_t batch = small ? 16 : 8;
  const solve::Options forward = budget(small ? 23 : 19);  // the start and 22 or 18 steps
  const Settings s{{"channels", small ? Numbers{24, 24} : Numbers{32, 64, 128, 256}}, {"head_channels", small ? Numbers{8, 16} : Numbers{14, 28, 56, 112}},
                   {"final_channels", std::int64_t{small ? 200 : 1680}}, {"groups", std::int64_t{8}}, {"expansion", std::int64_t{5}}};
  auto w = std::make_unique<ZooWorkload>(
      Recipe{layer("phantom", {{"steps", Numbers{5}}, {"beta", small ? 0.5 : 0.7}}, "broyden", forward, forward, variant),
             "weight_norm", {}, {{{"channels", 3}, {"height", 32}, {"width", 32}, {"classes", 10}}}, "mdeq", s,
             {{{"images", torch::randn({batch, 3, 32, 32})}, {"labels", torch::randint(10, {batch}, torch::kInt64)}}, {}}});
  w->optimizer = std::make_unique<torch::optim::SGD>(w->parameters, torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(1e-4));
  return w;
}

}  // namespace zstar::bench
