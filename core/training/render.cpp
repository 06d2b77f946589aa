#include "core/training/render.hpp"

#include "core/training/calls.hpp"
#include "core/training/loader.hpp"
#include "core/training/options.hpp"
#include "core/training/splits.hpp"
#include "core/training/weights.hpp"
#include "zstar/predict.hpp"
#include "zstar/render.hpp"
#include "zstar/unaugmented.hpp"

namespace zstar::training {
namespace {

/// The first of these splits that has samples: training samples may be augmented.
Split rendered(const Dataset& data) {
  for (const Split split : {Split::test, Split::validation})
    if (size_of(data, split) > 0) return split;
  return Split::train;
}

/// The samples of a split in order: batches of a training split may be shuffled.
std::vector<std::vector<std::int64_t>> in_order(std::int64_t size, std::int64_t batch_size) {
  std::vector<std::vector<std::int64_t>> batches;
  for (std::int64_t i = 0; i < size; ++i) {
    if (i % batch_size == 0) batches.emplace_back();
    batches.back().push_back(i);
  }
  return batches;
}

/// Samples as they are, where the data set can give them so.
Batch load_plain(Dataset& data, Split split, const std::vector<std::int64_t>& indices, std::uint64_t seed) {
  const auto* plain = query<Unaugmented>(data);
  return of_data(data, "load", [&] { return plain ? plain->load_unaugmented(split, indices) : data.load(split, indices, seed); });
}

/// Calls use(indices, prediction) for every batch of a split, in order.
template <class F>
void predict_all(Session& session, Predicts& model, Split split, std::int64_t batch_size, const F& use) {
  begin_pass(session.model(), Phase::evaluation);
  const auto batches = in_order(size_of(session.dataset(), split), batch_size);
  Loader loader(session.dataset(), split, batches, 0, 0, 2);
  for (const auto& indices : batches) {
    const Batch batch = session.to_device(std::move(*loader.next()));
    use(indices, prediction_of(session.model(), model, batch).cpu());
  }
}

std::vector<std::string> render_whole(Session& session, const Renders& data, Predicts& model, Split split, std::int64_t batch_size, const std::string& folder) {
  std::vector<Tensor> parts;
  predict_all(session, model, split, batch_size, [&](const auto&, const Tensor& prediction) { parts.push_back(prediction); });
  return of_data(session.dataset(), "render", [&] { return data.render(split, torch::cat(parts), folder); });
}

std::vector<std::string> render_samples(Session& session, const RendersSamples& data, Predicts& model, Split split, std::int64_t batch_size, const std::string& folder) {
  std::vector<std::string> files;
  predict_all(session, model, split, batch_size, [&](const auto& indices, const Tensor& prediction) {
    for (std::size_t i = 0; i < indices.size(); ++i)
      of_data(session.dataset(), "render", [&] {
        for (std::string& file : data.render(split, indices[i], prediction[static_cast<std::int64_t>(i)], folder)) files.push_back(std::move(file));
      });
  });
  return files;
}

/// The samples that the model asks for, or the first ones.
std::vector<std::int64_t> rows_of(Session& session, const Produces& model, Split split, std::int64_t batch_size) {
  auto rows = of_model(session.model(), "samples", {}, [&] { return model.samples(); });
  const std::int64_t size = size_of(session.dataset(), split);
  for (const std::int64_t row : rows)
    if (row < 0 || row >= size)
      throw std::runtime_error("the model starts from sample " + std::to_string(row) + " of the " + name_of(split) + " split, which has " + std::to_string(size) + ", numbered from 0" +
                               "\n  remedy: another number in [model]");
  if (rows.empty() && size > 0) rows = in_order(std::min(batch_size, size), batch_size)[0];
  return rows;
}

}  // namespace

std::vector<std::string> render(const experiment::Experiment& experiment, plugins::Catalogue& catalogue, const std::filesystem::path& from,
                                const std::filesystem::path& folder, std::uint64_t seed, std::ostream& warnings) {
  const torch::NoGradGuard no_grad;
  Session session(experiment, catalogue, warnings);
  auto* renders = query<Renders>(session.dataset());
  auto* samples = query<RendersSamples>(session.dataset());
  auto* predicts = query<Predicts>(session.model());
  auto* produces = query<Produces>(session.model());
  if (!((renders || samples) && predicts) && !produces)
    throw std::runtime_error("model '" + experiment.at("model").part + "' and data set '" + experiment.at("dataset").part +
                             "' make no files\n  remedy: 'zstar eval' gives the metrics of a checkpoint");
  load_weights(session.model(), newest_weights(from, session.host()));
  session.model().eval();
  std::filesystem::create_directories(folder);
  const auto train = experiment.at("train").as<TrainOptions>();
  const auto eval = experiment.at("eval").as<EvalOptions>();
  const Split split = rendered(session.dataset());
  const std::int64_t batch_size = evaluation_batch_size(eval, train);
  std::vector<std::string> files;
  if (renders && predicts) files = render_whole(session, *renders, *predicts, split, batch_size, folder.string());
  else if (samples && predicts) files = render_samples(session, *samples, *predicts, split, batch_size, folder.string());
  if (!produces) return files;
  torch::manual_seed(seed);
  const auto rows = rows_of(session, *produces, split, train.batch_size);
  const Batch batch = rows.empty() ? Batch() : session.to_device(load_plain(session.dataset(), split, rows, seed));
  of_model(session.model(), "produce", batch, [&] {
    for (std::string& file : produces->produce(batch, seed, folder.string())) files.push_back(std::move(file));
  });
  return files;
}

}  // namespace zstar::training
