#pragma once
/// \file Calls into data sets and models, under the guard.

#include <utility>
#include <vector>

#include "zstar/abi/model.hpp"
#include "zstar/carried.hpp"
#include "zstar/guard.hpp"
#include "zstar/predict.hpp"

namespace zstar::training {

/// fn(), a call of that name into a data set.
template <class F>
decltype(auto) of_data(const Dataset& data, const char* call, F&& fn) {
  return guarded([&] { return call_text(data, "data set", call); }, std::forward<F>(fn));
}

inline std::int64_t size_of(const Dataset& data, Split split) {
  return of_data(data, "size", [&] { return data.size(split); });
}

/// The batches of a pass.
inline std::vector<std::vector<std::int64_t>> batches_of(const Dataset& data, Split split, std::int64_t batch_size, std::uint64_t seed) {
  return of_data(data, "batches", [&] { return data.batches(split, batch_size, seed); });
}

/// fn(), a call of that name into a model.
template <class F>
decltype(auto) of_model(const Model& model, const char* call, const Batch& batch, F&& fn) {
  const auto context = [&] {
    std::vector<Tensor> tensors;
    for (const auto& [name, tensor] : batch.tensors) tensors.push_back(tensor);
    return call_text(model, "model", call, tensors);
  };
  return guarded(context, std::forward<F>(fn));
}

inline void begin_pass(Model& model, Phase phase) {
  of_model(model, "begin_pass", {}, [&] { model.begin_pass(phase); });
}

inline std::vector<std::pair<std::string, Tensor>> carried_of(const Model& model, const Carries& carrying) {
  return of_model(model, "carried", {}, [&] { return carrying.carried(); });
}

/// What the model says of a batch without labels.
inline Tensor prediction_of(const Model& model, Predicts& predicts, const Batch& batch) {
  return of_model(model, "predict", batch, [&] { return predicts.predict(batch); });
}

/// The names of what the model predicts; empty: probabilities.
inline std::vector<std::string> values_of(const Model& model, const Predicts& predicts) {
  return of_model(model, "values", {}, [&] { return predicts.values(); });
}

/// What the model makes of a batch: at least one output, the final one last.
inline std::vector<Tensor> outputs_of(Model& model, const Batch& batch) {
  return of_model(model, "forward", batch, [&] {
    auto outputs = model.forward(batch);
    if (outputs.empty()) throw std::runtime_error("it returned no output; a model returns one for each state of its layer, the final one last");
    return outputs;
  });
}

}  // namespace zstar::training
