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

/// What to call the rows of a prediction: samples by their number in the data set; nodes by theirs in the graph, those of other splits by nothing.
std::vector<std::string> names_of(const Batch& batch, std::int64_t rows, std::size_t before) {
  std::vector<std::string> names(static_cast<std::size_t>(rows));
  const Tensor mask = batch.has("mask") ? batch.at("mask").cpu() : Tensor(), graphs = batch.has("graphs") ? batch.at("graphs").cpu() : Tensor();
  const bool of_samples = static_cast<std::int64_t>(batch.ids.size()) == rows, of_nodes = !of_samples && graphs.defined() && graphs.numel() == rows;
  std::int64_t graph = -1, first = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    std::string& name = names[static_cast<std::size_t>(i)];
    if (of_samples) name = std::to_string(batch.ids[static_cast<std::size_t>(i)]);
    else if (of_nodes) {
      if (const auto now = graphs[i].item<std::int64_t>(); now != graph) graph = now, first = i;
      name = (graph < static_cast<std::int64_t>(batch.ids.size()) ? std::to_string(batch.ids[static_cast<std::size_t>(graph)]) : std::to_string(graph)) + "/" + std::to_string(i - first);
    } else if (!mask.defined() || mask.numel() != rows) name = std::to_string(static_cast<std::int64_t>(before) + i);
    else if (mask[i].item<bool>()) name = std::to_string(i);
  }
  return names;
}

/// The test split in order.
std::vector<Inputs> test_split(const Dataset& data, std::int64_t batch_size) {
  std::vector<Inputs> inputs;
  for (const auto& indices : batches_of(data, Split::test, batch_size, 0)) inputs.push_back({of_data(data, "load", [&] { return data.load(Split::test, indices, 0); }), {}});
  if (inputs.empty()) throw std::runtime_error("the data set has no test split to predict\n  remedy: name inputs with --input, or give the data set a test split");
  return inputs;
}

std::vector<Inputs> inputs_of(Dataset& data, const std::vector<std::string>& sources, std::int64_t batch_size) {
  if (const auto* reader = query<ReadsInputs>(data)) {
    std::vector<Inputs> inputs = of_data(data, "read", [&] { return reader->read(sources); });
    return sources.empty() ? rebatched(inputs, batch_size) : inputs;
  }
  if (sources.empty()) return test_split(data, batch_size);
  if (query<Tokens>(data)) throw std::runtime_error("the data of this experiment are text: files of inputs are not read, a text is gone on with\n  remedy: give the text itself: --prompt \"$(cat " + sources.front() + ")\"");
  throw std::runtime_error("this data set reads no inputs beside its own files, in which a sample stands with all that belongs to it\n  remedy: leave --input out to predict its test split; other data of its form are named with --set dataset.path=FOLDER");
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

std::vector<Inputs> rebatched(const std::vector<Inputs>& inputs, std::int64_t batch_size) {
  std::vector<Inputs> batches;
  if (inputs.empty()) return batches;
  for (const auto& [name, first] : inputs.front().batch.tensors) {
    std::vector<Tensor> parts;
    for (const Inputs& part : inputs) parts.push_back(part.batch.at(name));
    std::size_t at = 0;
    for (const Tensor& t : torch::cat(parts).split(batch_size)) {
      if (at == batches.size()) batches.emplace_back();
      batches[at++].batch.tensors.emplace_back(name, t);
    }
  }
  const auto dealt = [&](auto of) {
    std::size_t seen = 0;
    for (const Inputs& part : inputs)
      for (const auto& value : of(part)) of(batches.at(seen++ / static_cast<std::size_t>(batch_size))).push_back(value);
  };
  dealt([](auto& part) -> auto& { return part.batch.ids; });
  dealt([](auto& part) -> auto& { return part.names; });
  return batches;
}

Predictions predict(Session& session, const std::vector<std::string>& sources, std::int64_t batch_size) {
  Predicts& model = predicting(session);
  const Evaluating evaluating(session.model());
  Predictions out;
  out.values = values_of(session.model(), model);
  if (const auto* reader = query<ReadsInputs>(session.dataset())) out.classes = of_data(session.dataset(), "classes", [&] { return reader->classes(); });
  std::size_t seen = 0;
  for (Inputs& inputs : inputs_of(session.dataset(), sources, batch_size)) {
    const Batch batch = session.to_device(std::move(inputs.batch));
    const Tensor p = prediction_of(session.model(), model, batch).to(torch::kFloat64).cpu().flatten(1).contiguous();
    if (inputs.names.empty()) inputs.names = names_of(batch, p.size(0), seen);
    for (std::int64_t i = 0; i < p.size(0); ++i, ++seen) {
      const auto* row = p.data_ptr<double>() + i * p.size(1);
      const bool named = i < static_cast<std::int64_t>(inputs.names.size());
      std::string name = named ? std::move(inputs.names[static_cast<std::size_t>(i)]) : std::to_string(seen);
      if (!name.empty()) out.rows.push_back({std::move(name), {row, row + p.size(1)}});
    }
  }
  return out;
}

Tensor tempered(const Tensor& p, double temperature) {
  const Tensor logarithms = p.log();
  return torch::softmax((logarithms - logarithms.max()) / temperature, 0);
}

std::string continued(Session& session, const Continuation& request) {
  Predicts& model = predicting(session);
  const auto* tokens = query<Tokens>(session.dataset());
  if (!tokens)
    throw std::runtime_error(std::string("the data of this experiment are no sequences of tokens; a prompt cannot be continued\n  remedy: leave --prompt out: the test split is predicted then") +
                             (query<ReadsInputs>(session.dataset()) ? ", or other files with --input FILE" : ""));
  const Evaluating evaluating(session.model());
  auto draw = at::make_generator<at::CPUGeneratorImpl>(request.seed);
  Tensor next = tokens->encode(request.prompt);
  if (next.numel() == 0) throw std::invalid_argument("the prompt holds no token of this model\n  remedy: give a text to go on with: --prompt TEXT");
  std::vector<Tensor> all{next};
  for (std::int64_t k = 0; k < request.tokens; ++k) {
    const Tensor p = prediction_of(session.model(), model, session.to_device(tokens->sequence(next)))[0].to(torch::kFloat64).cpu();
    next = request.temperature == 0 ? p.argmax().reshape({1}) : torch::multinomial(tempered(p, request.temperature), 1, /*replacement=*/false, draw);
    all.push_back(next);
  }
  return tokens->decode(torch::cat(all));
}

namespace {

/// A field of CSV. \par Source  RFC 4180, section 2
std::string field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

/// What to call the columns of the values: by their name, and where it stands for several of them by its place in these, "u.3".
std::vector<std::string> columns_of(const std::vector<std::string>& values, std::size_t columns) {
  if (columns % values.size() != 0)
    throw std::runtime_error(fmt::format("the model predicts {} numbers and names {} values, among which they cannot be shared equally\n"
                                         "  remedy: values() of the model names what stands on axis 1 of its prediction", columns, values.size()));
  const std::size_t each = columns / values.size();
  std::vector<std::string> names;
  for (const std::string& value : values)
    for (std::size_t k = 0; k < each; ++k) names.push_back(each == 1 ? value : fmt::format("{}.{}", value, k));
  return names;
}

/// The names of the classes, by number where they have none.
std::vector<std::string> classes_of(std::vector<std::string> classes, std::size_t columns) {
  for (std::size_t c = classes.size(); c < columns; ++c) classes.push_back(std::to_string(c));
  classes.resize(columns);
  return classes;
}

}  // namespace

std::string csv_of(const Predictions& predictions) {
  const bool probabilities = predictions.values.empty();
  const std::size_t columns = predictions.rows.empty() ? predictions.values.size() : predictions.rows.front().values.size();
  const auto names = probabilities ? classes_of(predictions.classes, columns) : columns_of(predictions.values, columns);
  std::string text = probabilities ? "name,likeliest" : "name";
  for (const std::string& name : names) text += "," + field(name);
  text += "\n";
  for (const Prediction& row : predictions.rows) {
    if (row.values.empty() || row.values.size() != columns)
      throw std::runtime_error(fmt::format("the model predicts {} numbers of '{}' and {} of '{}', no rows of one table\n  remedy: inputs of one size at a time",
                                           columns, predictions.rows.front().name, row.values.size(), row.name));
    text += field(row.name);
    if (probabilities) text += "," + field(names[static_cast<std::size_t>(std::max_element(row.values.begin(), row.values.end()) - row.values.begin())]);
    for (const double v : row.values) text += fmt::format(",{:.6g}", v);
    text += "\n";
  }
  return text;
}

}  // namespace zstar::training
