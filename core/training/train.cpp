/// \file Runs: a folder, its record, training, and the summary at the end; evaluation of a checkpoint.
#include <algorithm>
#include <cmath>
#include <set>

#include <ATen/Parallel.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <boost/version.hpp>

#include "core/runs/folder.hpp"
#include "core/solve/solve.hpp"
#include "core/training/calls.hpp"
#include "core/training/kept.hpp"
#include "core/training/plugin_files.hpp"
#include "core/training/splits.hpp"
#include "core/training/trainer.hpp"
#include "core/training/weights.hpp"
#include "zstar/abi/tag.hpp"
#include "zstar/guard.hpp"

namespace zstar::training {
namespace fs = std::filesystem;
namespace {

nlohmann::ordered_json record_of(const Session& session, const plugins::Catalogue& catalogue, const RunRequest& request) {
  nlohmann::ordered_json record{{"command", request.identity}, {"seed", session.options.seed}, {"device", session.device.str()},
                                {"torch", tag::torch_version()}, {"abi", tag::to_text(abi_major) + "." + tag::to_text(abi_minor)},
                                {"sdk", ZSTAR_SDK_HASH}, {"compiler", tag::compiler()}, {"boost", fmt::format("{}.{}", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000)}, {"threads", at::get_num_threads()}};
  for (const auto& p : catalogue.used())
    record["plugins"].push_back({{"id", p.id}, {"version", p.version}, {"file", p.file}, {"size", p.size}, {"sha256", p.sha256}, {"parts", p.parts}});
  if (const auto& chosen = session.normed(); !chosen.normed.empty()) {
    std::vector<std::string> missed = session.out_of_reach().of_torch;
    missed.insert(missed.end(), session.out_of_reach().own.begin(), session.out_of_reach().own.end());
    record["norm"] = {{"normed", chosen.normed}, {"plain", chosen.plain}, {"out_of_reach", missed}};
  }
  return record;
}

/// experiment.toml, run.json and the lock, of a run that begins or goes on at `step`: this build and these plugins from now on, the first command,
/// and each later one with its step. An experiment that is no longer the same is kept beside the new one.
void write_record(const fs::path& run, const std::string& now, nlohmann::ordered_json record, const plugins::Catalogue& catalogue, std::int64_t step) {
  const auto before = [&](const fs::path& file) { return fs::exists(run / file) ? runs::read_whole(run / file) : ""; };  // a run may have been killed before it wrote one
  if (const auto old = nlohmann::ordered_json::parse(before("run.json"), nullptr, /*allow_exceptions=*/false); old.is_object()) {
    if (old.contains("continued")) record["continued"] = old["continued"];
    nlohmann::ordered_json command = record["command"];
    record["command"] = old.value("command", "");
    record["continued"].push_back({{"step", step}, {"command", std::move(command)}});
  }
  const std::string then = before("experiment.toml");
  if (!then.empty() && then != now) runs::write_whole(run / fmt::format("experiment-until-{:09d}.toml", step), then);
  if (then != now) runs::write_whole(run / "experiment.toml", now);
  runs::write_whole(run / "run.json", record.dump(2) + "\n");
  runs::write_whole(run / plugins::lock_name, plugins::to_toml(lock_of(catalogue)));
}

/// Evaluations, residuals and reasons of the solves so far, which are forgotten then.
void add_solves(std::vector<Metric>& metrics, std::vector<Solved>& solves) {
  SolveStatistics statistics;
  statistics.add(solves);
  solves.clear();
  runs::Record record;
  statistics.flush(record);
  for (const auto& [name, value] : record.numbers)
    if (value != 0) metrics.push_back({name, value, false});
}

/// Metrics of all splits. \param solves  of the layer, where what they took shall stand among the metrics; else null
/// \param signals  given up when one came; null: never
SplitMetrics evaluate_all(Session& session, const experiment::Experiment& experiment, std::vector<Solved>* solves, const SignalWatch* signals) {
  const auto eval = experiment.at("eval").as<EvalOptions>();
  const std::int64_t batch_size = evaluation_batch_size(eval, experiment.at("train").as<TrainOptions>());
  SplitMetrics result;
  for (const Split split : splits)
    if (size_of(session.dataset(), split) > 0 && (split != Split::train || eval.training_split)) {
      result.emplace_back(name_of(split), evaluate_split(session, split, batch_size, signals));
      if (signals && signals->caught()) return {};
      if (solves) add_solves(result.back().second, *solves);
    }
  return result;
}

nlohmann::ordered_json json_of(const ReasonCounts& counts) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (int r = 0; r < reason_count; ++r) json[solve::text_of(static_cast<Reason>(r)).name] = counts[static_cast<std::size_t>(r)];
  return json;
}

/// Takes the best weights of a run, where there are such. \return "best", or "last": the model keeps those that it has
std::string take_best(const fs::path& run, Session& session) {
  const fs::path file = run / "checkpoints/best.ckpt";
  try {
    if (!fs::exists(file)) return "last";
    load_weights(session.model(), runs::load(file));
    return "best";
  } catch (const runs::RunError& error) {
    session.host().warn(runs::without_remedy(error.what()) + "\n  remedy: the table has the last weights; 'zstar eval' gives the metrics of other checkpoints");
    return "last";
  }
}

/// The table at the end, of the best weights where there are such, and summary.json. \return whether there was time: a signal ends it
bool summary(const fs::path& run, Session& session, const experiment::Experiment& experiment, const Trainer& trainer, std::ostream& out) {
  const std::string weights = take_best(run, session);
  session.layer().record_into(nullptr);
  const SplitMetrics splits = evaluate_all(session, experiment, nullptr, &trainer.signals());
  if (trainer.signals().caught()) {
    out << "training is done; interrupted before its table, which this makes: zstar eval --checkpoint " << run.string() << "\n";
    return false;
  }
  out << table_of(splits, weights);
  nlohmann::ordered_json record{{"checkpoint", weights}, {"splits", nlohmann::ordered_json::object()}};
  if (weights == "best") {
    record["selected_on"] = selecting_split(session.dataset());
    out << "best: selected on the " << selecting_split(session.dataset()) << " split\n";
  }
  for (const auto& [name, metrics] : splits)
    for (const Metric& m : metrics) record["splits"][name][m.name] = m.value;
  for (const auto& [side, counts] : {std::pair("forward", &trainer.solves().forward()), std::pair("backward", &trainer.solves().backward())}) {
    record["solves"][side] = json_of(*counts);
    std::string text = shares(*counts);
    if (text.empty() && counts == &trainer.solves().forward() && session.has_equilibrium()) text = "none, the solver evaluated nothing";
    if (!text.empty()) out << fmt::format("{:<9} solves: {}\n", side, text);
  }
  runs::write_whole(run / "summary.json", record.dump(2) + "\n");
  out << "run folder: " << run.string() << "\n";
  return true;
}

void draw(const fs::path& run, std::ostream& out) {
  const std::string sentence = runs::draw_curves(run);
  if (!sentence.empty()) out << "zstar: warning: " << sentence << "\n";
}

/// The backtrace of a part's failure goes to the run folder; the sentence goes on.
template <class F>
RunEnd logged(const fs::path& run, const F& body) {
  try {
    return body();
  } catch (const PartError& error) {
    if (!error.log().empty()) runs::write_whole(run / "failure.log", std::string(error.what()) + "\n\n" + error.log() + "\n");
    throw;
  }
}

void load_start(Session& session, const fs::path& from) {
  if (fs::is_directory(from) || from.extension() == ".ckpt") load_weights(session.model(), newest_weights(from, session.host()));
  else try {
      load_weights(session.model(), from, "");
    } catch (const std::runtime_error& error) {
      const std::string said = error.what();
      if (said.find("--key ") == std::string::npos) throw;
      throw std::runtime_error(said + ", with which 'zstar export FILE --weights " + from.string() + " --output w.safetensors' makes a file for train.weights");
    }
}

/// "quickstart: model ignn (2000 parameters) on cpu, solver broyden, gradient implicit"
std::string heading(const experiment::Experiment& experiment, Session& session) {
  std::int64_t numbers = 0;
  std::set<const void*> counted;  // a tied parameter is one
  for (const Tensor& p : session.model().parameters())
    if (p.requires_grad() && counted.insert(p.unsafeGetTensorImpl()).second) numbers += p.numel();
  const std::string means = session.has_equilibrium() ? fmt::format("solver {}, gradient {}", experiment.at("solver").part, experiment.at("gradient").part) : "explicit";
  return fmt::format("{}: model {} ({} parameters) on {}, {}", session.options.name, experiment.at("model").part, numbers, session.device.str(), means);
}

/// A run without a batch to train on would end at once, with the weights that it began with.
void refuse_empty(const experiment::Experiment& experiment, const Dataset& data) {
  const auto train = experiment.at("train").as<TrainOptions>();
  const experiment::Section& section = experiment.at("dataset");
  const auto batches = batches_of(data, Split::train, train.batch_size, 0);
  if (train.steps.value_or(train.epochs) == 0 || std::any_of(batches.begin(), batches.end(), [](const auto& batch) { return !batch.empty(); })) return;
  throw experiment::Refused({section.place.text() + ": error: the training split of data set '" + section.part + "' is empty\n  expected: a sample to train on" +
                             "\n  remedy: give the split some; 'zstar plugins show " + section.part + "' explains the options; 'zstar eval' evaluates weights without training"});
}

/// What a person must know of a data set that holds nothing back to select by.
void note_selection(const experiment::Experiment& experiment, const Dataset& data, Console& console) {
  if (selecting_split(data) != "test") return;
  console.line(std::string("zstar: note: the data set has no validation split: best.ckpt is selected on the test split") +
               (experiment.at("train").as<TrainOptions>().patience > 0 ? ", and train.patience goes by it" : "") + "; its metrics there flatter the model");
}

}  // namespace

RunEnd train(const experiment::Experiment& experiment, plugins::Catalogue& catalogue, const RunRequest& request, std::ostream& out) {
  Session session(experiment, catalogue, out);
  for (const std::string& warning : catalogue.warnings()) out << warning << "\n";
  refuse_empty(experiment, session.dataset());
  const bool fresh = request.resume.empty(), begins = fresh || runs::checkpoints(request.resume).empty();
  if (const std::string& weights = experiment.at("train").as<TrainOptions>().weights; begins && !weights.empty()) load_start(session, weights);
  const fs::path run = fresh ? runs::make_run_folder(session.options.runs, session.options.name, request.identity + experiment.to_toml())
                             : fs::canonical(request.resume);
  const runs::FolderLock alone(run);
  const std::string asked = request.record.empty() ? experiment.to_toml() : request.record;
  if (fresh) write_record(run, asked, record_of(session, catalogue, request), catalogue, 0);
  keep(session.dataset(), experiment.at("dataset").part, run);
  Console console(out, request.terminal);
  console.line(heading(experiment, session) + "; run folder " + run.string());
  if (fresh && !fs::is_symlink(run.parent_path() / "latest")) console.line("zstar: note: " + (run.parent_path() / "latest").string() + " is no link, and is left as it is");
  note_selection(experiment, session.dataset(), console);
  Trainer trainer(experiment, session, run, console);
  if (!fresh) {
    if (!trainer.resume()) console.line("no checkpoint to go on from: the run starts from its first step");
    write_record(run, asked, record_of(session, catalogue, request), catalogue, trainer.steps());
    if (fs::exists(run / "summary.json")) runs::move(run / "summary.json", run / fmt::format("summary-until-{:09d}.json", trainer.steps()));
  }
  auto end = [&] {
    try {
      return logged(run, [&] { return trainer.run(request.most_steps); });
    } catch (...) {  // the curves until then often show why
      try {
        draw(run, out);
      } catch (const runs::RunError&) {  // the failure of the run is what a person must see
      }
      throw;
    }
  }();
  draw(run, out);
  if (!std::isfinite(trainer.last_loss()))
    out << "zstar: warning: the run ended with a loss that is not finite\n  remedy: a smaller optimizer.lr, or train.clip_norm; train.on_divergence = \"stop\" ends such a run where it begins\n";
  if (end == RunEnd::done && !summary(run, session, experiment, trainer, out)) end = trainer.ended_by_signal();
  session.layer().record_into(nullptr);
  return end;
}

void load_weights(Session& session, const WeightsFrom& from) {
  if (!from.file.empty()) return load_weights(session.model(), from.file, from.key);
  const runs::Checkpoint checkpoint = newest_weights(from.checkpoint, session.host());  // says itself what is wrong with the file
  try {
    load_weights(session.model(), checkpoint);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(from.checkpoint.string() + ": error: " + error.what() + "\n  remedy: name the experiment that it was trained with; a run folder alone, without FILE, brings its own");
  }
}

std::vector<std::pair<std::string, std::vector<Metric>>> evaluate(const experiment::Experiment& experiment, plugins::Catalogue& catalogue,
                                                                  const WeightsFrom& from, std::ostream& warnings) {
  Session session(experiment, catalogue, warnings);
  load_weights(session, from);
  nn::fold_norms(session.model());
  std::vector<Solved> solves;
  session.layer().record_into(&solves);
  auto metrics = evaluate_all(session, experiment, &solves, nullptr);
  session.layer().record_into(nullptr);
  return metrics;
}

}  // namespace zstar::training
