#pragma once
/// \file The adjoint side of a call: services for gradient methods while backward runs, and what failed samples get.

#include <memory>
#include <vector>

#include "core/gradient/layer.hpp"

namespace zstar::gradient {

/// Runs adjoint methods for one layer and records their reports.
class AdjointRunner final : public AdjointServices {
 public:
  /// \param keys  of the samples in the store of starts; empty: none
  AdjointRunner(const SolverChoice& solver, const Options& options, Starts& starts, const StartKeys& keys, std::vector<Report>& reports)
      : solver_(solver), options_(options), starts_(starts), keys_(keys), reports_(reports) {}

  /// u of a problem by a method; cotangents of samples whose solve failed as `failed_samples` says.
  Tensor run(const Adjoint& method, const AdjointProblem& problem);

  Tensor solve(const AdjointProblem& problem, const Tensor& start) override;
  /// A method with a fixed number of products ends by its budget on purpose: such a sample has not failed.
  void record(Report report) override {
    budget_fails_ = false;
    reports_.push_back(std::move(report));
  }
  Products& products() override { return solve::local_products(); }

 private:
  bool failed(Reason reason) const;
  Tensor instead(const AdjointProblem& problem, const Tensor& u, const Tensor& lost);
  Tensor by_gmres(const AdjointProblem& problem, const Tensor& u, const Tensor& lost);

  const SolverChoice& solver_;
  const Options& options_;
  Starts& starts_;
  const StartKeys& keys_;
  std::vector<Report>& reports_;
  bool budget_fails_ = true;
};

}  // namespace zstar::gradient
