#pragma once
/// \file Solvers over a set of problems of known difficulty: what each needs to reach the tolerance, and their performance profiles.

#include <functional>
#include <string>
#include <vector>

#include "core/solve/solve.hpp"

namespace zstar::app {

/// A problem z = f(z) from z0 = 0: of one sample and float64, if it is synthetic.
struct BenchProblem {
  std::string family, name;
  FixedPointMap f;
  State z0;
};

/// Families: contractions near and far from normal, stiff and negative spectra, rotations, expansive maps, tanh layers, scales, and
/// kinks, each in several sizes. \param seeds  draws of each
std::vector<BenchProblem> bench_problems(std::uint64_t seeds);

struct BenchResult {
  std::int64_t evaluations = 0;  ///< up to the first residual within the tolerance, of the last sample; 0: some sample never was
  double microseconds = 0;       ///< of the solve
  std::int64_t bytes = 0;        ///< most held at an evaluation, beyond what was held before the solve
  Reason reason = Reason::budget;
};

/// One solver on one problem. A solver that refuses the problem has the reason refused.
BenchResult bench_solve(const std::function<std::unique_ptr<Solver>()>& make, const std::string& name, const BenchProblem& problem,
                        const solve::Options& options);

/// Dolan & Moré 2002: share of all problems that each solver finishes within τ times the evaluations of the best one; [solver][τ].
/// \param evaluations  [solver][problem], 0: not solved
std::vector<std::vector<double>> performance_profile(const std::vector<std::vector<std::int64_t>>& evaluations, const std::vector<double>& taus);

}  // namespace zstar::app
