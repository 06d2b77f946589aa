#include "core/training/trainer.hpp"

#include <chrono>
#include <cmath>
#include <numeric>

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include "core/training/calls.hpp"
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

/// A record of training as a line for people.
std::string line_of(const runs::Record& record) {
  const auto number = [&](const std::string& name) {
    for (const auto& [key, value] : record.numbers)
      if (key == name) return value;
    return std::nan("");
  };
  std::string text = fmt::format("step {:6d}  loss {:<9.4g}", record.step, number("loss"));
  if (!std::isnan(number("forward_evaluations")))
    text += fmt::format(" evaluations {:5.1f}{}{} ", number("forward_evaluations"),
                        std::isnan(number("backward_evaluations")) ? "" : fmt::format(" + {:<5.1f}", number("backward_evaluations")),
                        std::isnan(number("forward_residual_median")) ? "" : fmt::format(" residual {:.1e}", number("forward_residual_median")));
  return text + fmt::format(" {:.1f} samples/s", number("samples_per_second"));
}

std::int64_t count_batches(const Session&, Dataset& data, std::int64_t batch_size, std::uint64_t seed) {
  return static_cast<std::int64_t>(batches_of(data, Split::train, batch_size, seed).size());
}

}  // namespace

double correction_weight(const std::string& kind, double gamma, double bias, std::int64_t n, std::int64_t k) {
  if (kind == "exp") return std::pow(gamma, static_cast<double>(n - 1 - k));
  if (kind == "linear") return 1 - gamma * static_cast<double>(n - k - 1) / static_cast<double>(n) + bias;
  return gamma;
}

Trainer::Trainer(const experiment::Experiment& experiment, Session& session, std::filesystem::path run, Console& console)
    : experiment_(experiment), session_(session), run_(std::move(run)), console_(console),
      train_(experiment.at("train").as<TrainOptions>()), eval_(experiment.at("eval").as<EvalOptions>()),
      batches_per_epoch_(count_batches(session, session.dataset(), train_.batch_size, static_cast<std::uint64_t>(session.options.seed))),
      total_steps_(train_.steps.value_or(train_.epochs * steps_per_epoch())),
      optimiser_(experiment, session.model(), total_steps_, steps_per_epoch()), metrics_(run_),
      watch_(session.layer()), penalties_(session.regularizers()), generator_(session.device.is_cuda() ? at::globalContext().defaultGenerator(session.device) : at::detail::getDefaultCPUGenerator()) {
  const bool negative = train_.correction == "linear" ? std::min(1.0, 1 - train_.gamma) + train_.correction_bias < 0 : train_.gamma < 0;
  if (negative && !train_.negative_weights)
    throw experiment::Refused({experiment.at("train").place.text() + ": error: " + fmt::format("train.gamma = {:g}, correction_bias = {:g}", train_.gamma, train_.correction_bias) +
                               " can give a state a negative weight\n  expected: weights of at least 0 for any number of states" +
                               "\n  remedy: lower gamma (linear: at most 1 + correction_bias), or set train.negative_weights = true"});
  session_.layer().record_into(&solves_);
}

bool Trainer::finished() const { return step_ >= total_steps_ || (train_.patience > 0 && evaluations_without_gain_ >= train_.patience); }

RunEnd Trainer::run(std::int64_t most_steps) {
  if (most_steps >= 0) total_steps_ = std::min(total_steps_, most_steps);
  if (!resumed_) checkpoint();  // from here on a run without a checkpoint has lost it
  while (true) {
    if (!evaluation_due_ && (finished() || batches_per_epoch_ == 0)) return RunEnd::done;
    if (evaluation_due_ ? evaluate() : train_until_evaluation()) continue;
    checkpoint();
    console_.line(fmt::format("interrupted at step {}; go on with: zstar run --resume {}", step_, run_.string()));
    return ended_by_signal();
  }
}

/// The rest of this pass, or less if an evaluation comes before. \return false if a signal came
bool Trainer::train_until_evaluation() {
  const auto seed = static_cast<std::uint64_t>(session_.options.seed) * 1000003 + static_cast<std::uint64_t>(epoch_);
  auto batches = batches_of(session_.dataset(), Split::train, train_.batch_size, seed);
  pass_.clear();
  for (const auto& indices : batches) pass_.push_back(std::max<std::int64_t>(1, static_cast<std::int64_t>(indices.size())));
  if (batch_ >= static_cast<std::int64_t>(pass_.size())) {  // resumed with larger batches, fewer in a pass
    ++epoch_, batch_ = 0;
    return true;
  }
  Loader loader(session_.dataset(), Split::train, std::move(batches), seed, batch_, train_.prefetch, train_.loader_threads);
  session_.model().train();
  if (batch_ == 0) begin_pass(session_.model(), Phase::training);
  const std::int64_t epoch = epoch_;
  while (epoch_ == epoch && !evaluation_due_) {
    if (signals_.caught() && pending_ == 0) return false;
    std::optional<Batch> batch;
    {
      const Stopwatch watch(clock_.data);
      batch = loader.next();
      if (batch) batch = session_.to_device(std::move(*batch));
    }
    if (!batch) break;
    step(*batch);
  }
  return true;
}

/// The share of the batch at hand in the samples of its optimiser step: mean losses weighted so add up to that of one large batch.
double Trainer::share_of_step() const {
  const auto all = static_cast<std::int64_t>(pass_.size()), first = batch_ - pending_, end = std::min(all, first + train_.accumulate);
  const std::int64_t samples = std::accumulate(pass_.begin() + first, pass_.begin() + end, std::int64_t{0});
  return static_cast<double>(pass_[static_cast<std::size_t>(batch_)]) / static_cast<double>(samples);
}

Tensor Trainer::total_loss(const Batch& batch, const std::vector<Tensor>& outputs) {
  const auto n = static_cast<std::int64_t>(outputs.size());
  if (n == 1 && train_.correction != "const" && train_.gamma != TrainOptions().gamma)
    session_.host().warn("train.gamma has no effect: the loss sees one state, whose weight is not that of an earlier one");
  Tensor total;
  for (std::int64_t k = 0; k < n; ++k) {
    const double weight = correction_weight(train_.correction, train_.gamma, train_.correction_bias, n, k);
    const Tensor& output = outputs[static_cast<std::size_t>(k)];
    const Tensor term = of_model(session_.model(), "loss", batch, [&] { return session_.model().loss(output, batch); });
    const Tensor weighted = weight == 1 ? term : weight * term;
    total = total.defined() ? total + weighted : weighted;
  }
  last_loss_ = total.item<double>();
  return penalties_.added_to(total, solves_, step_, generator_);
}

void Trainer::step(const Batch& batch) {
  if (pending_ == 0) optimiser_.zero_grad();
  solves_.clear();
  watch_.begin(step_);
  session_.layer().starts().pass();
  Tensor loss;
  {
    const Stopwatch watch(clock_.forward);
    loss = total_loss(batch, outputs_of(session_.model(), batch));
  }
  {
    const Stopwatch watch(clock_.backward);
    of_model(session_.model(), "backward", batch, [&] {
      (train_.accumulate == 1 ? loss : loss * share_of_step()).backward({}, /*retain_graph=*/watch_.keeps_graph());
    });
    watch_.judge(step_, console_);
  }
  statistics_.add(solves_);
  solves_.clear();
  samples_ += batch.ids.empty() ? 1 : static_cast<std::int64_t>(batch.ids.size());
  loss_sum_ += last_loss_;
  ++loss_count_;
  ++batch_;
  const bool last = batch_ == static_cast<std::int64_t>(pass_.size());
  if (++pending_ < train_.accumulate && !last) return;
  pending_ = 0;
  if (!apply()) ++skipped_;
  ++step_;
  if (last) ++epoch_, batch_ = 0;
  const auto reached = [](std::int64_t every, std::int64_t n) { return every > 0 && n % every == 0; };
  evaluation_due_ = finished() || (last && reached(train_.eval_every, epoch_)) || reached(train_.eval_every_steps, step_);
  progress();
  if (finished() || (train_.log_every == 0 ? last : reached(train_.log_every, step_))) record_training();
  if (reached(train_.checkpoint_every, step_)) checkpoint();
}

/// One optimiser step. \return false if the step was left out: loss or gradient were not finite, or a certificate called the gradient bad
bool Trainer::apply() {
  if (watch_.spoilt()) return false;
  const bool good = std::isfinite(last_loss_) && std::isfinite(optimiser_.step(step_));
  if (good) return true;
  const std::string text = fmt::format("step {}: loss {} or its gradient is not finite", step_, last_loss_);
  if (train_.on_divergence == "stop")
    throw std::runtime_error(text + "\n  remedy: lower the learning rate, clip gradients (train.clip_norm), or set train.on_divergence = \"skip\"");
  if (train_.on_divergence == "warn") console_.line("warning: " + text + "; the step was left out");
  return false;
}

void Trainer::progress() {
  const double seconds = clock_.data + clock_.forward + clock_.backward;
  std::string text = fmt::format("step {} loss {:.4g}", step_, last_loss_);
  for (const std::string& more : {latest_metric_, statistics_.glance()}) text += (more.empty() ? "" : "  ") + more;
  if (seconds > 0) text += fmt::format("  {:.1f} samples/s", static_cast<double>(samples_) / seconds);
  console_.progress(step_, total_steps_, text);
}

void Trainer::record_training() {
  if (loss_count_ == 0) return;
  runs::Record record{{}, "train", step_};
  const double mean = loss_sum_ / static_cast<double>(loss_count_), seconds = clock_.data + clock_.forward + clock_.backward;
  record.numbers = {{"epoch", static_cast<double>(epoch_)}, {"lr", optimiser_.rate(std::max<std::int64_t>(0, step_ - 1))}, {"loss", mean},
                    {"seconds_data", clock_.data}, {"seconds_forward", clock_.forward}, {"seconds_backward", clock_.backward},
                    {"samples_per_second", static_cast<double>(samples_) / std::max(seconds, 1e-9)}, {"skipped_steps", static_cast<double>(skipped_)}};
  statistics_.flush(record);
  watch_.flush(record);
  penalties_.flush(record);
  for (const auto& [name, value] : session_.layer().statistics()) record.numbers.emplace_back(name, value);
  metrics_.add(record);
  console_.line(line_of(record));
  loss_sum_ = 0, loss_count_ = 0, samples_ = 0, clock_ = Clock();
}

}  // namespace zstar::training
