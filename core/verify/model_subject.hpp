#pragma once
/// \file A model under test, on the first data set of the catalogue that it can be built on.

#include "core/verify/dataset_subject.hpp"
#include "zstar/abi/model.hpp"

namespace zstar::verify {

/// A layer that a model is handed: a few plain steps, and what it was asked, kept for the checks.
class RecordingLayer final : public EquilibriumLayer {
 public:
  Equilibrium solve(const FixedPointMap& f, const State& z0, const SolveOptions& options) override;

  struct Call {
    FixedPointMap f;
    State z0;
  };
  std::vector<Call> calls;
};

class ModelSubject : public Subject {
 public:
  using Subject::Subject;
  /// Looks for a data set that the model can be built on and asked about. Skips the model where there is none.
  void construct(Scope& scope);

  /// A model of that seed, in evaluation mode; its first batch; the layer that it was handed.
  struct Built {
    std::shared_ptr<RecordingLayer> layer;
    std::shared_ptr<Model> model;
    Batch batch;
  };
  Built build(std::uint64_t seed, torch::ScalarType dtype = torch::kFloat32);

 private:
  bool build_on(const std::string& dataset, std::string& why);
  std::unique_ptr<Dataset> data_;
};

const std::vector<Check<ModelSubject>>& model_checks();

}  // namespace zstar::verify
