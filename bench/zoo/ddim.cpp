/// \file Diffusion on 32 × 32 pixels, the published size: a training step, and three sweeps over a trajectory of 20 steps.

#include <filesystem>

#include <unistd.h>

#include "bench/zoo/workload.hpp"
#include "core/training/adam.hpp"
#include "zstar/render.hpp"

namespace zstar::bench {

std::unique_ptr<ZooWorkload> ddim(const std::string& name, Variant variant) {
  const std::int64_t images = name == "deq_ddim_1" ? 1 : 8;
  const solve::Options forward = budget(3);
  auto w = std::make_unique<ZooWorkload>(
      Recipe{layer("phantom", {{"beta", 0.1}}, "anderson", forward, forward, variant), "weight_norm", {}, {{{"channels", 3}, {"height", 32}, {"width", 32}, {"classes", 10}}}, "deq_ddim",
             {{"steps", std::int64_t{20}}, {"samples", images}, {"compare", false}, {"checkpoint", variant == Variant::lean}}, {{{"images", torch::rand({images, 3, 32, 32}) * 2 - 1}}, {}}});
  w->optimizer = std::make_unique<training::Adam>(w->parameters, torch::optim::AdamOptions(2e-4));
  w->clip_norm = 1;
  w->evaluation = [](Model& model) {
    const auto folder = std::filesystem::temp_directory_path() / ("zstar-bench-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    query<Produces>(model)->produce({}, 1, folder.string());
    std::filesystem::remove_all(folder);
  };
  return w;
}

}  // namespace zstar::bench
