/// \file Language models: batch 8, segments and memory of 64, width 256, vocabulary 10,000 in three clusters.
#include "bench/zoo/workload.hpp"
#include "core/training/adam.hpp"

namespace zstar::bench {

std::unique_ptr<ZooWorkload> transformer(const std::string& name, Variant variant) {
  const bool implicit = name != "deq_lm", lm = name != "deq_seq_ift";
  solve::Options plain = budget(0), products = budget(12);
  plain.eval_max_evaluations = 13, plain.select = "last";
  Settings s{{"width", std::int64_t{256}}, {"heads", std::int64_t{8}}, {"inner", std::int64_t{1024}}, {"cutoffs", std::vector<std::int64_t>{2000, 5000}},
             {"divisor", std::int64_t{2}}, {"memory", std::int64_t{64}}, {"dropout", 0.05}, {"projections", std::string("one_storage")}};
  if (lm) s.push_back({"blocks", std::int64_t{2}});
  const auto tokens = [] { return torch::randint(10000, {8, 64}, torch::kInt64); };
  auto w = std::make_unique<ZooWorkload>(
      Recipe{implicit ? layer("implicit", {}, "broyden", budget(13), products, variant) : layer("phantom", {{"steps", std::vector<std::int64_t>{12}}}, "fixed_point", plain, plain, variant),
             "weight_norm", {}, {{{"tokens", 10000}}}, lm ? "deq_lm" : "deq_seq", s, {{{"tokens", tokens()}, {"targets", tokens()}}, {}}});
  w->optimizer = std::make_unique<training::Adam>(w->parameters, torch::optim::AdamOptions(2.5e-4));
  w->clip_norm = 0.25;
  w->calls_in_backward = implicit ? 1 : 0;
  return w;
}

}  // namespace zstar::bench
