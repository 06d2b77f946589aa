/// \file Optical flow of the base size on 368 × 496 pixels.
#include "bench/zoo/workload.hpp"
#include "core/training/adam.hpp"

namespace zstar::bench {

std::unique_ptr<ZooWorkload> flow(const std::string&, Variant variant) {
  const solve::Options forward = budget(12);
  const auto image = [] { return torch::rand({1, 3, 368, 496}) * 255; };
  auto w = std::make_unique<ZooWorkload>(
      Recipe{layer("phantom", {{"steps", std::vector<std::int64_t>{1}}}, "fixed_point", forward, forward, variant == Variant::low ? variant : Variant::plain), "weight_norm", {}, {{{"channels", 3}}}, "deq_flow", {{"checkpoint", variant == Variant::lean}},
             {{{"image1", image()}, {"image2", image()}, {"flow", torch::randn({1, 2, 368, 496})}, {"valid", torch::ones({1, 368, 496})}}, {}}});
  w->optimizer = std::make_unique<training::AdamW>(w->parameters, torch::optim::AdamWOptions(4e-4).weight_decay(1e-4));
  w->clip_norm = 1;
  return w;
}

}  // namespace zstar::bench
