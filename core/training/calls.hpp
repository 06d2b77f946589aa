#pragma once
/// \file Calls into data sets and models, under the guard.

#include <utility>
#include <vector>

#include "zstar/abi/model.hpp"
#include "zstar/guard.hpp"

namespace zstar::training {

/// The batches of a pass.
inline std::vector<std::vector<std::int64_t>> batches_of(const Dataset& data, Split split, std::int64_t batch_size, std::uint64_t seed) {
  return guarded([&] { return call_text(data, "data set", "batches"); }, [&] { return data.batches(split, batch_size, seed); });
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

/// What the model makes of a batch: at least one output, the final one last.
inline std::vector<Tensor> outputs_of(Model& model, const Batch& batch) {
  return of_model(model, "forward", batch, [&] {
    auto outputs = model.forward(batch);
    if (outputs.empty()) throw std::runtime_error("it returned no output; a model returns one for each state of its layer, the final one last");
    return outputs;
  });
}

}  // namespace zstar::training
