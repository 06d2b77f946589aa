/// \file What a run must be able to go on with: saving it, and taking it up again.
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/runs/folder.hpp"
#include "core/training/calls.hpp"
#include "core/training/trainer.hpp"
#include "core/training/weights.hpp"
#include "zstar/carried.hpp"
#include "zstar/guard.hpp"

namespace zstar::training {
namespace fs = std::filesystem;

/// Writes the whole state of the run. \param best  weights that became the best, if they did
void Trainer::checkpoint(const runs::Checkpoint* best) {
  runs::Checkpoint c;
  save_weights(session_.model(), c);
  optimiser_.save(c);
  statistics_.save(c);
  watch_.save(c);
  penalties_.save(c);
  session_.layer().starts().save(c.tensors);
  if (const auto* carrying = query<Carries>(session_.model()))
    for (const auto& [name, tensor] : carried_of(session_.model(), *carrying)) c.tensors["carried/" + name] = tensor;
  c.tensors["random/cpu"] = at::detail::getDefaultCPUGenerator().get_state();
  if (session_.device.is_cuda()) c.tensors["random/cuda"] = generator_.get_state();
  nlohmann::json state{{"step", step_}, {"epoch", epoch_}, {"batch", batch_}, {"without_gain", evaluations_without_gain_}, {"skipped", skipped_},
                       {"evaluation_due", evaluation_due_}, {"records", metrics_.records()}, {"losses", loss_count_}, {"samples", samples_},
                       {"optimizer.name", experiment_.at("optimizer").part}, {"experiment.dtype", session_.options.dtype}};
  c.tensors["loss_sum"] = torch::tensor({loss_sum_}, torch::kFloat64);  // not in the JSON: it may be infinite
  if (best_) c.tensors["best"] = torch::tensor({best_->metric, best_->loss}, torch::kFloat64);
  c.state = state.dump();
  const fs::path folder = run_ / "checkpoints";
  runs::make_folders(folder);
  if (best) runs::save({best->tensors, c.state}, folder / "best.ckpt");  // before the one that says it is there: a run that goes on writes it again
  runs::save(c, folder / fmt::format("step-{:09d}.ckpt", step_));
  const auto files = runs::checkpoints(run_);
  for (std::size_t i = static_cast<std::size_t>(train_.keep_last); i < files.size(); ++i) {
    std::error_code error;
    fs::remove(files[i], error);
    if (error) console_.line(fmt::format("warning: {}: an old checkpoint cannot be removed: {}\n  remedy: remove it by hand", files[i].string(), error.message()));
  }
}

bool Trainer::resume() {
  const auto files = runs::checkpoints(run_);
  for (const fs::path& file : files) {
    try {
      restore(runs::load(file));
    } catch (const std::exception& error) {
      std::string said = runs::without_remedy(current_exception_text());
      if (!dynamic_cast<const runs::RunError*>(&error)) said = fmt::format("{}: error: {}\n  expected: a checkpoint of this experiment", file.string(), said);
      console_.line(said + (file == files.back() ? "" : "\n  remedy: the one before it is tried"));
      continue;
    }
    metrics_.cut(records_);
    console_.line(fmt::format("resumed from {} (step {})", file.string(), step_));
    return resumed_ = true;
  }
  if (files.empty() && metrics_.records() > 0)
    throw runs::RunError((run_ / "checkpoints").string() + ": error: the run has " + std::to_string(metrics_.records()) +
                         " records and no checkpoint to go on from\n  expected: step-NUMBER.ckpt, as every run has from its first record on\n  remedy: bring them back, or begin anew with 'zstar run " +
                         (run_ / "experiment.toml").string() + "'");
  if (files.empty()) {
    metrics_.cut(0);  // a first line that was torn
    return false;
  }
  throw runs::RunError((run_ / "checkpoints").string() + ": error: none of the " + std::to_string(files.size()) +
                       " checkpoints can be gone on from\n  remedy: begin anew with 'zstar run " + (run_ / "experiment.toml").string() + "'; --set train.weights=" + run_.string() + " starts it from the weights of this run");
}

void Trainer::restore(const runs::Checkpoint& c) {
  const auto state = nlohmann::json::parse(c.state);
  for (const auto& [key, now] : {std::pair("optimizer.name", experiment_.at("optimizer").part), std::pair("experiment.dtype", session_.options.dtype)})
    if (const std::string saved = state.value(key, now); saved != now)
      throw std::runtime_error(fmt::format("the checkpoint is of a run with {} = \"{}\", and this one has \"{}\"", key, saved, now));
  statistics_.load(c);
  watch_.load(c);
  penalties_.load(c);
  session_.layer().starts().load(c.tensors);
  loss_sum_ = c.tensors.at("loss_sum").item<double>();
  step_ = state.at("step"), epoch_ = state.at("epoch"), batch_ = state.at("batch");
  evaluations_without_gain_ = state.at("without_gain"), skipped_ = state.at("skipped");
  evaluation_due_ = state.at("evaluation_due"), records_ = state.at("records");
  loss_count_ = state.at("losses"), samples_ = state.at("samples");
  best_.reset();
  if (const auto best = c.tensors.find("best"); best != c.tensors.end()) best_ = {best->second[0].item<double>(), best->second[1].item<double>()};
  load_weights(session_.model(), c);
  optimiser_.load(c);
  if (auto* carrying = query<Carries>(session_.model())) {
    std::vector<std::pair<std::string, Tensor>> tensors;
    for (const auto& [name, tensor] : c.tensors)
      if (name.compare(0, 8, "carried/") == 0) tensors.emplace_back(name.substr(8), tensor);
    of_model(session_.model(), "carry", {}, [&] { carrying->carry(tensors); });
  }
  at::Generator cpu = at::detail::getDefaultCPUGenerator();
  cpu.set_state(c.tensors.at("random/cpu"));
  if (session_.device.is_cuda() && c.tensors.count("random/cuda")) generator_.set_state(c.tensors.at("random/cuda"));
}

}  // namespace zstar::training
