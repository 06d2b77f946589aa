/// \file What a run must be able to go on with: saving it, and taking it up again.
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/runs/folder.hpp"
#include "core/training/trainer.hpp"
#include "core/training/weights.hpp"

namespace zstar::training {
namespace fs = std::filesystem;

void Trainer::checkpoint(bool best) {
  runs::Checkpoint c;
  save_weights(session_.model(), c);
  optimiser_.save(c);
  c.tensors["random/cpu"] = at::detail::getDefaultCPUGenerator().get_state();
  if (session_.device.is_cuda()) c.tensors["random/cuda"] = generator_.get_state();
  nlohmann::json state{{"step", step_}, {"epoch", epoch_}, {"batch", batch_}, {"without_gain", evaluations_without_gain_}, {"skipped", skipped_}};
  if (best_) state["best"] = *best_;
  c.state = state.dump();
  fs::create_directories(run_ / "checkpoints");
  runs::save(c, run_ / "checkpoints" / fmt::format("step-{:09d}.ckpt", step_));
  if (best) {
    runs::Checkpoint weights;
    save_weights(session_.model(), weights);
    weights.state = c.state;
    runs::save(weights, run_ / "checkpoints" / "best.ckpt");
  }
  const auto files = runs::checkpoints(run_);
  for (std::size_t i = static_cast<std::size_t>(train_.keep_last); i < files.size(); ++i) fs::remove(files[i]);
}

bool Trainer::resume() {
  for (const fs::path& file : runs::checkpoints(run_)) {
    try {
      restore(runs::load(file));
      metrics_ = runs::MetricsFile(run_, step_);
      console_.line(fmt::format("resumed from {} (step {})", file.string(), step_));
      return true;
    } catch (const runs::RunError& error) {
      console_.line(error.what());
    }
  }
  return false;
}

void Trainer::restore(const runs::Checkpoint& c) {
  load_weights(session_.model(), c);
  optimiser_.load(c);
  at::Generator cpu = at::detail::getDefaultCPUGenerator();
  cpu.set_state(c.tensors.at("random/cpu"));
  if (session_.device.is_cuda() && c.tensors.count("random/cuda")) generator_.set_state(c.tensors.at("random/cuda"));
  const auto state = nlohmann::json::parse(c.state);
  step_ = state.at("step"), epoch_ = state.at("epoch"), batch_ = state.at("batch");
  evaluations_without_gain_ = state.at("without_gain"), skipped_ = state.at("skipped");
  if (state.contains("best")) best_ = state.at("best").get<double>();
}

}  // namespace zstar::training
