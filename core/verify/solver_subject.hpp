#pragma once
/// \file A solver under test: whole solves under watch, and solves step by step.

#include <string>
#include <vector>

#include "core/solve/solve.hpp"
#include "core/verify/subject.hpp"
#include "zstar/testing/maps.hpp"

namespace zstar::verify {

/// What must hold in every solve, whatever the problem.
enum class Law { honest, untouched, no_graph, budget, finite };

class SolverSubject : public Subject {
 public:
  using Subject::Subject;

  std::unique_ptr<Solver> solver(const Settings& settings = {}) const { return make<Solver>(settings); }
  bool drives() const { return query<Driver>(*solver()) != nullptr; }

  /// A solve by a fresh solver (or by `with`) that is watched for breaches of every law.
  solve::Outcome solve(const FixedPointMap& f, const State& z0, const solve::Options& options, Solver* with = nullptr,
                       const std::vector<std::int64_t>& sample_at = {});
  /// The first breach of a law so far; empty: none.
  const std::string& breach(Law law) { return breaches_[law]; }

  /// The iterate after `steps` evaluations, [B, D], whatever its residual.
  Tensor iterate(const FixedPointMap& f, const Tensor& z0, std::int64_t steps, Solver* with = nullptr) const;

 private:
  void note(Law law, const std::string& sentence) {
    if (breaches_[law].empty()) breaches_[law] = sentence;
  }
  void judge(const FixedPointMap& f, const State& z0, const solve::Options& options, const solve::Outcome& out);
  std::map<Law, std::string> breaches_;
};

/// ‖f(z) − z‖ and ‖f(z)‖ of every sample, computed afresh, [2, B], float64.
Tensor residuals_of(const FixedPointMap& f, const State& z);

/// ‖a_b − b_b‖ / (‖b_b‖ + tiny), the largest over the rows.
double row_difference(const Tensor& a, const Tensor& b);

/// Evaluations of the sample that needed most.
double most_evaluations(const Report& report);

/// Fails unless every sample converged; names the first that did not, and why.
void expect_converged(Scope& scope, const Report& report, const std::string& where);

const std::vector<Check<SolverSubject>>& solver_checks();
std::vector<Check<SolverSubject>> solver_problem_checks();
std::vector<Check<SolverSubject>> solver_contract_checks();
std::vector<Check<SolverSubject>> solver_claim_checks();

}  // namespace zstar::verify
