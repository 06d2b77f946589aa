#include "core/training/prediction.hpp"

#include <algorithm>

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include "core/training/calls.hpp"
#include "zstar/predict.hpp"
#include "zstar/render.hpp"

namespace zstar::training {
namespace {

Predicts& predicting(Session& session) {
  if (query<RendersSamples>(session.dataset())) throw std::runtime_error("what a model predicts for this data set are files, not rows of numbers\n  remedy: 'zstar render' writes them");
  if (auto* p = query<Predicts>(session.model())) return *p;
  throw std::runtime_error("this model says nothing of inputs without labels: it does not offer predictions\n  remedy: 'zstar eval' measures it on labelled data");
}

/// The test split in order, its samples by number.
std::vector<Inputs> test_split(const Dataset& data) {
  std::vector<Inputs> inputs;
  for (const auto& indices : batches_of(data, Split::test, 128, 0)) inputs.push_back({of_data(data, "load", [&] { return data.load(Split::test, indices, 0); }), {}});
  return inputs;
}

std::vector<Inputs> inputs_of(Dataset& data, const std::vector<std::string>& sources) {
  if (const auto* reader = query<ReadsInputs>(data)) return reader->read(sources);
  if (sources.empty()) return test_split(data);
  throw std::runtime_error("this data set reads no inputs from elsewhere\n  remedy: leave --input out to predict its test split");
}

class Evaluating {
 public:
  explicit Evaluating(Model& model) : model_(model), training_(model.is_training()) {
    model.eval();
    begin_pass(model, Phase::evaluation);
  }
  Evaluating(const Evaluating&) = delete;
  Evaluating& operator=(const Evaluating&) = delete;
  ~Evaluating() { model_.train(training_); }

 private:
  const torch::NoGradGuard no_grad_;
  Model& model_;
  bool training_;
};

}  // namespace

Predictions predict(Session& session, const std::vector<std::string>& sources) {
  Predicts& model = predicting(session);
  const Evaluating evaluating(session.model());
  Predictions out;
  if (const auto* reader = query<ReadsInputs>(session.dataset())) out.classes = reader->classes();
  for (Inputs& inputs : inputs_of(session.dataset(), sources)) {
    const Tensor p = prediction_of(session.model(), model, session.to_device(std::move(inputs.batch))).to(torch::kFloat64).cpu().flatten(1).contiguous();
    for (std::int64_t i = 0; i < p.size(0); ++i) {
      const auto* row = p.data_ptr<double>() + i * p.size(1);
      const bool named = i < static_cast<std::int64_t>(inputs.names.size());
      out.rows.push_back({named ? inputs.names[static_cast<std::size_t>(i)] : std::to_string(out.rows.size()), {row, row + p.size(1)}});
    }
  }
  return out;
}

std::string continued(Session& session, const Continuation& request) {
  const auto* tokens = query<Tokens>(session.dataset());
  if (!tokens) throw std::runtime_error("the data of this experiment are no sequences of tokens; a prompt cannot be continued");
  Predicts& model = predicting(session);
  const Evaluating evaluating(session.model());
  auto draw = at::make_generator<at::CPUGeneratorImpl>(request.seed);
  Tensor next = tokens->encode(request.prompt);
  std::vector<Tensor> all{next};
  for (std::int64_t k = 0; k < request.tokens; ++k) {
    const Tensor p = prediction_of(session.model(), model, session.to_device(tokens->sequence(next)))[0].to(torch::kFloat64).cpu();
    next = request.temperature == 0 ? p.argmax().reshape({1}) : torch::multinomial(p.pow(1 / request.temperature), 1, /*replacement=*/false, draw);
    all.push_back(next);
  }
  return tokens->decode(torch::cat(all));
}

std::string csv_of(const Predictions& predictions) {
  std::string text = "name,likeliest";
  const std::size_t columns = predictions.rows.empty() ? 0 : predictions.rows.front().values.size();
  const auto class_name = [&](std::size_t c) { return c < predictions.classes.size() ? predictions.classes[c] : std::to_string(c); };
  for (std::size_t c = 0; c < columns; ++c) text += "," + class_name(c);
  text += "\n";
  for (const Prediction& row : predictions.rows) {
    const auto best = static_cast<std::size_t>(std::max_element(row.values.begin(), row.values.end()) - row.values.begin());
    text += row.name + "," + class_name(best);
    for (const double v : row.values) text += fmt::format(",{:.6g}", v);
    text += "\n";
  }
  return text;
}

}  // namespace zstar::training
