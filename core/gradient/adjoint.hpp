#pragma once
/// \file The adjoint side of a call: services for gradient methods while backward runs, and what failed samples get.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/gradient/layer.hpp"

namespace zstar::gradient {

/// Runs adjoint methods for one layer and records their reports.
class AdjointRunner final : public AdjointServices {
 public:
  /// \param method  its name, for reports \param keys  of the samples in the store of starts; empty: none
  AdjointRunner(std::string method, const SolverChoice& solver, const Options& options, Starts& starts, const StartKeys& keys, std::vector<Report>& reports)
      : method_(std::move(method)), solver_(solver), options_(options), starts_(starts), keys_(keys), reports_(reports) {}

  /// u of a problem by a method; cotangents of samples whose solve failed as `failed_samples` says. A method that records nothing gets a
  /// report of its products, and of its residual where that is asked for or must be known.
  Tensor run(const Adjoint& method, const AdjointProblem& problem);

  Tensor solve(const AdjointProblem& problem, const Tensor& start) override;
  /// A method with a fixed number of products ends by its budget on purpose: such a sample has not failed. Where the method has no tolerance
  /// of its own, that of `[gradient] solver` says which samples have converged.
  void record(Report report) override;
  Products& products() override { return solve::local_products(); }

 private:
  bool failed(Reason reason) const;
  std::string remedy(Reason reason) const;
  Report report_of(const AdjointProblem& problem, const Tensor& u, std::int64_t products) const;
  Tensor instead(const AdjointProblem& problem, const Tensor& u, const Tensor& lost);
  Tensor by_gmres(const AdjointProblem& problem, const Tensor& u, const Tensor& lost);

  const std::string method_;
  const SolverChoice& solver_;
  const Options& options_;
  Starts& starts_;
  const StartKeys& keys_;
  std::vector<Report>& reports_;
  bool by_solver_ = true;  // the last report is of the solver, whose budget is no purpose
};

}  // namespace zstar::gradient
