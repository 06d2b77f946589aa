/// \file Evaluation: metrics of a split, and what an evaluation means for a run.
#include <fmt/format.h>

#include "core/training/calls.hpp"
#include "core/training/loader.hpp"
#include "core/training/spectra.hpp"
#include "core/training/splits.hpp"
#include "core/training/trainer.hpp"
#include "core/training/weights.hpp"

namespace zstar::training {

std::vector<Metric> evaluate_split(Session& session, Split split, std::int64_t batch_size, const SignalWatch* signals) {
  const torch::NoGradGuard no_grad;
  Model& model = session.model();
  const bool training = model.is_training();
  model.eval();
  begin_pass(model, Phase::evaluation);
  Sums sums;
  const auto add = [&sums](const std::string& name, double value) {
    for (auto& [key, sum] : sums)
      if (key == name) return void(sum += value);
    sums.emplace_back(name, value);
  };
  double loss = 0, samples = 0;  // the loss of a batch is a mean over its samples
  const auto batches = batches_of(session.dataset(), split, batch_size, 0);
  Loader loader(session.dataset(), split, batches, 0, 0, 2);
  for (const auto& indices : batches) {
    if (signals && signals->caught()) break;
    const Batch batch = session.to_device(std::move(*loader.next()));
    const Tensor output = outputs_of(model, batch).back();
    loss += of_model(model, "loss", batch, [&] { return model.loss(output, batch); }).item<double>() * static_cast<double>(indices.size());
    samples += static_cast<double>(indices.size());
    for (const auto& [name, value] : of_model(model, "measure", batch, [&] { return model.measure(output, batch); })) add(name, value);
  }
  model.train(training);
  if (signals && signals->caught()) return {};
  std::vector<Metric> metrics = of_model(model, "summarise", {}, [&] { return model.summarise(sums); });
  metrics.push_back({"loss", loss / std::max(1.0, samples), false});
  return metrics;
}

std::string selecting_split(const Dataset& data) {
  return size_of(data, Split::validation) > 0 ? "validation" : size_of(data, Split::test) > 0 ? "test" : "";
}

/// A record for each split. \param selecting  the metric that selects the best checkpoint. \return nothing if a signal came
std::vector<runs::Record> Trainer::evaluate_splits(std::optional<Metric>& selecting) {
  const std::int64_t batch_size = evaluation_batch_size(eval_, train_);
  std::vector<runs::Record> records;
  for (const Split split : {Split::validation, Split::test}) {
    if (size_of(session_.dataset(), split) == 0) continue;
    solves_.clear();
    runs::Record record{{}, name_of(split), step_};
    for (const Metric& m : evaluate_split(session_, split, batch_size, &signals_)) {
      if (!selecting) selecting = m;
      record.numbers.emplace_back(m.name, m.value);
    }
    if (signals_.caught()) return {};
    SolveStatistics statistics;
    statistics.add(solves_);
    statistics.flush(record);
    add_spectra(record, solves_, eval_);
    records.push_back(std::move(record));
  }
  solves_.clear();
  return records;
}

/// Better by the metric, or as good with a smaller loss: few samples to validate by leave many evaluations with the same accuracy.
bool Trainer::is_best(const Metric& metric, double loss) const {
  if (!best_) return true;
  if (metric.value == best_->metric) return loss < best_->loss;
  return metric.higher_is_better ? metric.value > best_->metric : metric.value < best_->metric;
}

/// Evaluates the averaged weights where they are kept. \return false if a signal came; the evaluation is then still due
bool Trainer::evaluate() {
  std::optional<Metric> selecting;
  std::optional<runs::Checkpoint> best;
  std::vector<runs::Record> records;
  double loss = 0;
  {
    const Optimiser::Averaged averaged(optimiser_);
    records = evaluate_splits(selecting);
    if (signals_.caught()) return false;
    if (selecting) {
      for (const auto& [name, value] : records.front().numbers)
        if (name == "loss") loss = value;
      if (is_best(*selecting, loss)) save_weights(session_.model(), best.emplace());
    }
  }
  for (const runs::Record& record : records) {
    metrics_.add(record);
    std::string text = fmt::format("step {:6d}  {:<10}", step_, record.kind);
    for (const auto& [name, value] : record.numbers)
      if (name.compare(0, 8, "forward_") != 0 && name.compare(0, 9, "backward_") != 0) text += fmt::format(" {} {:.4f}", name, value);
    console_.line(text);
  }
  if (selecting) latest_metric_ = fmt::format("{} {:.4g}", selecting->name, selecting->value);
  if (best) best_ = {selecting->value, loss};
  evaluations_without_gain_ = best || !selecting ? 0 : evaluations_without_gain_ + 1;
  evaluation_due_ = false;
  checkpoint(best ? &*best : nullptr);
  return true;
}

}  // namespace zstar::training
