#pragma once
/// \file The adjoint side of a call: services for gradient methods while backward runs, and what failed samples get.

#include <memory>
#include <vector>

#include "core/gradient/layer.hpp"

namespace zstar::gradient {

/// Runs adjoint methods for one layer and records their reports.
class AdjointRunner final : public AdjointServices {
 public:
  AdjointRunner(const SolverChoice& solver, const Options& options, std::vector<Report>& reports)
      : solver_(solver), options_(options), reports_(reports) {}

  /// u of a problem by a method; cotangents of samples whose solve failed as `failed_samples` says.
  Tensor run(const Adjoint& method, const AdjointProblem& problem);

  Tensor solve(const AdjointProblem& problem, const Tensor& start) override;
  void record(Report report) override { reports_.push_back(std::move(report)); }
  Products& products() override { return solve::local_products(); }

 private:
  const SolverChoice& solver_;
  const Options& options_;
  std::vector<Report>& reports_;
};

}  // namespace zstar::gradient
