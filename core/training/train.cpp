/// \file Runs: a folder, its record, training, and the summary at the end; evaluation of a checkpoint.
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <boost/version.hpp>

#include "core/runs/folder.hpp"
#include "core/training/trainer.hpp"
#include "core/training/weights.hpp"
#include "zstar/abi/tag.hpp"

namespace zstar::training {
namespace fs = std::filesystem;
namespace {

std::string record_of(const Session& session, const plugins::Catalogue& catalogue, const RunRequest& request) {
  nlohmann::ordered_json record{{"command", request.identity}, {"seed", session.options.seed}, {"device", session.device.str()},
                                {"torch", tag::torch_version()}, {"abi", tag::to_text(abi_major) + "." + tag::to_text(abi_minor)},
                                {"sdk", ZSTAR_SDK_HASH}, {"compiler", tag::compiler()}, {"boost", BOOST_LIB_VERSION}, {"threads", at::get_num_threads()}};
  for (const auto& p : catalogue.used())
    record["plugins"].push_back({{"id", p.id}, {"version", p.version}, {"file", p.file}, {"size", p.size}, {"sha256", p.sha256}, {"parts", p.parts}});
  if (const auto& chosen = session.normed(); !chosen.normed.empty()) record["norm"] = {{"normed", chosen.normed}, {"plain", chosen.plain}};
  return record.dump(2) + "\n";
}

void summary(const fs::path& run, Session& session, const TrainOptions& train, std::ostream& out) {
  const fs::path best = run / "checkpoints/best.ckpt";
  if (fs::exists(best)) load_weights(session.model(), runs::load(best));
  session.layer().record_into(nullptr);
  out << "\n" << fmt::format("{:<12}", fs::exists(best) ? "best" : "last");
  bool header = false;
  nlohmann::ordered_json record{{"checkpoint", fs::exists(best) ? "best" : "last"}, {"splits", nlohmann::ordered_json::object()}};
  for (const auto& [split, name] : {std::pair(Split::train, "train"), std::pair(Split::validation, "validation"), std::pair(Split::test, "test")}) {
    if (session.dataset().size(split) == 0) continue;
    const auto metrics = evaluate_split(session, split, train.batch_size);
    if (!header)
      for (const Metric& m : metrics) out << fmt::format("{:>12}", m.name);
    header = true;
    out << "\n" << fmt::format("{:<12}", name);
    for (const Metric& m : metrics) {
      out << fmt::format("{:>12.4f}", m.value);
      record["splits"][name][m.name] = m.value;
    }
  }
  runs::write_whole(run / "summary.json", record.dump(2) + "\n");
  out << "\n\nrun folder: " << run.string() << "\n";
}

}  // namespace

RunEnd train(const experiment::Experiment& experiment, plugins::Catalogue& catalogue, const RunRequest& request, std::ostream& out) {
  Session session(experiment, catalogue, out);
  for (const std::string& warning : catalogue.warnings()) out << warning << "\n";
  const bool fresh = request.resume.empty();
  const fs::path run = fresh ? runs::make_run_folder(session.options.runs, session.options.name, request.identity + experiment.to_toml())
                             : fs::canonical(request.resume);
  if (fresh) {
    runs::write_whole(run / "experiment.toml", experiment.to_toml());
    runs::write_whole(run / "run.json", record_of(session, catalogue, request));
  }
  Console console(out, request.terminal);
  std::int64_t numbers = 0;
  for (const Tensor& p : session.model().parameters()) numbers += p.requires_grad() ? p.numel() : 0;
  console.line(fmt::format("{}: model {} ({} parameters) on {}, solver {}, gradient {}; run folder {}", session.options.name,
                           experiment.at("model").part, numbers, session.device.str(), experiment.at("solver").part,
                           experiment.at("gradient").part, run.string()));
  Trainer trainer(experiment, session, run, console);
  if (!fresh && !trainer.resume()) console.line("no checkpoint to go on from: the run starts from its first step");
  const RunEnd end = trainer.run(request.most_steps);
  const std::string sentence = runs::draw_curves(run);
  if (!sentence.empty()) out << "zstar: warning: " << sentence << "\n";
  if (end == RunEnd::done) summary(run, session, experiment.at("train").as<TrainOptions>(), out);
  session.layer().record_into(nullptr);
  return end;
}

std::vector<std::pair<std::string, std::vector<Metric>>> evaluate(const experiment::Experiment& experiment, plugins::Catalogue& catalogue,
                                                                  const fs::path& from, std::ostream& warnings) {
  Session session(experiment, catalogue, warnings);
  fs::path file = from;
  if (fs::is_directory(from)) {
    const auto newest = runs::checkpoints(from);
    file = fs::exists(from / "checkpoints/best.ckpt") ? from / "checkpoints/best.ckpt" : newest.empty() ? from / "checkpoints" : newest.front();
  }
  load_weights(session.model(), runs::load(file));
  nn::fold_norms(session.model());
  const auto train = experiment.at("train").as<TrainOptions>();
  const auto eval = experiment.at("eval").as<EvalOptions>();
  std::vector<std::pair<std::string, std::vector<Metric>>> result;
  for (const auto& [split, name] : {std::pair(Split::train, "train"), std::pair(Split::validation, "validation"), std::pair(Split::test, "test")})
    if (session.dataset().size(split) > 0)
      result.emplace_back(name, evaluate_split(session, split, eval.batch_size > 0 ? eval.batch_size : train.batch_size));
  return result;
}

}  // namespace zstar::training
