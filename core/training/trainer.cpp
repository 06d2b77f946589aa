#include "core/training/trainer.hpp"

#include <chrono>
#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include "core/training/loader.hpp"

namespace zstar::training {
namespace {

class Stopwatch {
 public:
  explicit Stopwatch(double& sum) : sum_(sum) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() { sum_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  double& sum_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

std::int64_t count_batches(const Session&, Dataset& data, std::int64_t batch_size, std::uint64_t seed) {
  return static_cast<std::int64_t>(data.batches(Split::train, batch_size, seed).size());
}

}  // namespace

double correction_weight(const std::string& kind, double gamma, std::int64_t n, std::int64_t k) {
  if (kind == "exp") return std::pow(gamma, static_cast<double>(n - 1 - k));
  if (kind == "linear") return 1 - gamma * static_cast<double>(n - k - 1) / static_cast<double>(n);
  return gamma;
}

Trainer::Trainer(const experiment::Experiment& experiment, Session& session, std::filesystem::path run, Console& console)
    : experiment_(experiment), session_(session), run_(std::move(run)), console_(console),
      train_(experiment.at("train").as<TrainOptions>()), eval_(experiment.at("eval").as<EvalOptions>()),
      batches_per_epoch_(count_batches(session, session.dataset(), train_.batch_size, static_cast<std::uint64_t>(session.options.seed))),
      total_steps_(train_.steps.value_or(train_.epochs * ((batches_per_epoch_ + train_.accumulate - 1) / train_.accumulate))),
      optimiser_(experiment, session.model(), total_steps_), metrics_(run_, std::numeric_limits<std::int64_t>::max()),
      generator_(session.device.is_cuda() ? at::globalContext().defaultGenerator(session.device) : at::detail::getDefaultCPUGenerator()) {
  session_.layer().record_into(&solves_);
}

bool Trainer::finished() const { return step_ >= total_steps_ || (train_.patience > 0 && evaluations_without_gain_ >= train_.patience); }

RunEnd Trainer::run(std::int64_t most_steps) {
  if (most_steps >= 0) total_steps_ = std::min(total_steps_, most_steps);
  while (!finished() && batches_per_epoch_ > 0) {
    if (!epoch()) {
      checkpoint(/*best=*/false);
      console_.line(fmt::format("interrupted at step {}; go on with: zstar run --resume {}", step_, run_.string()));
      return signals_.caught() == 2 ? RunEnd::interrupted : RunEnd::terminated;
    }
    if (finished() || (train_.eval_every > 0 && epoch_ % train_.eval_every == 0)) evaluate();
  }
  return RunEnd::done;
}

/// \return false if a signal came
bool Trainer::epoch() {
  const auto seed = static_cast<std::uint64_t>(session_.options.seed) * 1000003 + static_cast<std::uint64_t>(epoch_);
  Loader loader(session_.dataset(), Split::train, session_.dataset().batches(Split::train, train_.batch_size, seed), seed, batch_, train_.prefetch);
  session_.model().train();
  if (batch_ == 0) session_.model().begin_pass(Phase::training);
  while (!finished()) {
    if (signals_.caught() && pending_ == 0) return false;
    std::optional<Batch> batch;
    {
      const Stopwatch watch(clock_.data);
      batch = loader.next();
      if (batch) batch = session_.to_device(std::move(*batch));
    }
    if (!batch) break;
    ++batch_;
    step(*batch);
  }
  if (finished() && batch_ < batches_per_epoch_) return true;
  ++epoch_;
  batch_ = 0;
  if (train_.log_every == 0) record_training();
  return true;
}

Tensor Trainer::total_loss(const Batch& batch, const std::vector<Tensor>& outputs) {
  const auto n = static_cast<std::int64_t>(outputs.size());
  Tensor total;
  for (std::int64_t k = 0; k < n; ++k) {
    const double weight = n == 1 ? 1.0 : correction_weight(train_.correction, train_.gamma, n, k);
    const Tensor term = session_.model().loss(outputs[static_cast<std::size_t>(k)], batch);
    total = total.defined() ? total + weight * term : (n == 1 ? term : weight * term);
  }
  last_loss_ = total.item<double>();
  for (WeightedRegularizer& r : session_.regularizers())
    if (r.options.weight > 0 && step_ % r.options.every == 0)
      for (const Solved& solved : std::vector<Solved>(solves_)) total = total + r.options.weight * r.part->penalty(solved, generator_);
  return total;
}

void Trainer::step(const Batch& batch) {
  if (pending_ == 0) optimiser_.zero_grad();
  solves_.clear();
  Tensor loss;
  {
    const Stopwatch watch(clock_.forward);
    loss = total_loss(batch, session_.model().forward(batch));
  }
  {
    const Stopwatch watch(clock_.backward);
    (loss / static_cast<double>(train_.accumulate)).backward();
  }
  statistics_.add(solves_);
  solves_.clear();
  samples_ += batch.ids.empty() ? 1 : static_cast<std::int64_t>(batch.ids.size());
  loss_sum_ += last_loss_;
  ++loss_count_;
  if (++pending_ < train_.accumulate && batch_ < batches_per_epoch_) return;
  pending_ = 0;
  if (!apply()) ++skipped_;
  ++step_;
  progress();
  if (train_.log_every > 0 && step_ % train_.log_every == 0) record_training();
  if (train_.checkpoint_every > 0 && step_ % train_.checkpoint_every == 0) checkpoint(/*best=*/false);
}

/// One optimiser step. \return false if loss or gradient were not finite and the step was left out
bool Trainer::apply() {
  const bool good = std::isfinite(last_loss_) && std::isfinite(optimiser_.step(step_));
  if (good) return true;
  const std::string text = fmt::format("step {}: loss {} or its gradient is not finite", step_, last_loss_);
  if (train_.on_divergence == "stop")
    throw std::runtime_error(text + "\n  remedy: lower the learning rate, clip gradients (train.clip_norm), or set train.on_divergence = \"skip\"");
  if (train_.on_divergence == "warn") console_.line("warning: " + text + "; the step was left out");
  return false;
}

void Trainer::progress() {
  console_.progress(static_cast<double>(step_) / static_cast<double>(std::max<std::int64_t>(1, total_steps_)),
                    fmt::format("step {} loss {:.4g}{}", step_, last_loss_, best_ ? fmt::format(" best {:.4g}", *best_) : ""));
}

void Trainer::record_training() {
  if (loss_count_ == 0) return;
  runs::Record record{{}, "train", step_};
  const double mean = loss_sum_ / static_cast<double>(loss_count_), seconds = clock_.data + clock_.forward + clock_.backward;
  record.numbers = {{"epoch", static_cast<double>(epoch_)}, {"lr", optimiser_.rate(std::max<std::int64_t>(0, step_ - 1))}, {"loss", mean},
                    {"seconds_data", clock_.data}, {"seconds_forward", clock_.forward}, {"seconds_backward", clock_.backward},
                    {"samples_per_second", static_cast<double>(samples_) / std::max(seconds, 1e-9)}, {"skipped_steps", static_cast<double>(skipped_)}};
  statistics_.flush(record);
  metrics_.add(record);
  const auto number = [&](const char* name) {
    for (const auto& [key, value] : record.numbers)
      if (key == name) return value;
    return std::nan("");
  };
  console_.line(fmt::format("step {:6d}  loss {:<9.4g} evaluations {:5.1f} + {:<5.1f} residual {:.1e}  {:.1f} samples/s", step_, mean,
                            number("forward_evaluations"), number("backward_evaluations"), number("forward_residual_median"), number("samples_per_second")));
  loss_sum_ = 0, loss_count_ = 0, samples_ = 0, clock_ = Clock();
}

std::vector<Metric> evaluate_split(Session& session, Split split, std::int64_t batch_size) {
  const torch::NoGradGuard no_grad;
  Model& model = session.model();
  const bool training = model.is_training();
  model.eval();
  model.begin_pass(Phase::evaluation);
  Sums sums;
  const auto add = [&sums](const std::string& name, double value) {
    for (auto& [key, sum] : sums)
      if (key == name) return void(sum += value);
    sums.emplace_back(name, value);
  };
  double loss = 0;
  std::int64_t batches = 0;
  Loader loader(session.dataset(), split, session.dataset().batches(split, batch_size, 0), 0, 0, 2);
  while (auto raw = loader.next()) {
    const Batch batch = session.to_device(std::move(*raw));
    const Tensor output = model.forward(batch).back();
    loss += model.loss(output, batch).item<double>();
    ++batches;
    for (const auto& [name, value] : model.measure(output, batch)) add(name, value);
  }
  model.train(training);
  std::vector<Metric> metrics = model.summarise(sums);
  metrics.push_back({"loss", loss / static_cast<double>(std::max<std::int64_t>(1, batches)), false});
  return metrics;
}

void Trainer::evaluate() {
  const Optimiser::Averaged averaged(optimiser_);
  const std::int64_t batch_size = eval_.batch_size > 0 ? eval_.batch_size : train_.batch_size;
  std::optional<Metric> selecting;
  for (const auto& [split, name] : {std::pair(Split::validation, "validation"), std::pair(Split::test, "test")}) {
    if (session_.dataset().size(split) == 0) continue;
    solves_.clear();
    runs::Record record{{}, name, step_};
    std::string text = fmt::format("step {:6d}  {:<10}", step_, name);
    for (const Metric& m : evaluate_split(session_, split, batch_size)) {
      if (!selecting) selecting = m;
      record.numbers.emplace_back(m.name, m.value);
      text += fmt::format(" {} {:.4f}", m.name, m.value);
    }
    SolveStatistics statistics;
    statistics.add(solves_);
    statistics.flush(record);
    metrics_.add(record);
    console_.line(text);
  }
  solves_.clear();
  if (!selecting) return checkpoint(/*best=*/false);
  const double sign = selecting->higher_is_better ? 1 : -1;
  const bool better = !best_ || sign * selecting->value > sign * *best_;
  if (better) best_ = selecting->value;
  evaluations_without_gain_ = better ? 0 : evaluations_without_gain_ + 1;
  checkpoint(better);
}

}  // namespace zstar::training
