/// \file A picture of 128 × 128 points, every one an equilibrium: siren-like, one layer of 256.
#include "bench/zoo/workload.hpp"
#include "core/training/adam.hpp"

namespace zstar::bench {

std::unique_ptr<ZooWorkload> inr(const std::string&, Variant variant) {
  constexpr std::int64_t points = 128 * 128;
  const solve::Options forward = budget(10);
  const bool lean = variant == Variant::lean;
  auto w = std::make_unique<ZooWorkload>(
      Recipe{layer("phantom", {{"steps", std::vector<std::int64_t>{3}}}, "fixed_point", forward, forward, lean ? Variant::plain : variant), "weight_norm", {}, {{{"coordinates", 2}, {"values", 1}, {"points", points}}},
             "deq_inr", {{"width", std::int64_t{256}}, {"layers", std::int64_t{1}}, {"training", std::string("solve")}},
             {{{"coordinates", torch::rand({points, 2}) * 2 - 1}, {"values", torch::rand({points, 1}) * 2 - 1}}, {}}});
  if (lean) w->parts = 8;  // the equilibria of the points know nothing of one another
  w->optimizer = std::make_unique<training::Adam>(w->parameters, torch::optim::AdamOptions(1e-3));
  return w;
}

}  // namespace zstar::bench
