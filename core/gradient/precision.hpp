#pragma once
/// \file Precision ladder: a solve that begins with f in low precision and ends with f itself.
/// \par Source  in the manner of iterative refinement: Higham & Mary, Acta Numerica 31 (2022), doi:10.1017/S0962492922000022

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/solve/solve.hpp"
#include "zstar/abi/map.hpp"
#include "zstar/options.hpp"

namespace zstar::gradient {

/// The table `[solver.precision]` of an experiment.
struct PrecisionOptions {
  std::string low = "none";
  double until = 0.05, share = 0.75;

  static auto options() {
    using O = PrecisionOptions;
    return std::tuple{
        choice("low", &O::low, "dtype of f while residuals are large; auto: bfloat16, if f is a fifth faster in it when timed at the first solve",
               {"none", "bfloat16", "float16", "auto"}),
        opt("until", &O::until, "relative residual at which f takes over in its own dtype, which alone decides whether a sample has converged", above(0.0)),
        opt("share", &O::share, "of the evaluations allowed, those that may be in low precision", within(0.0, 1.0))};
  }
};

/// Decides which solves begin in low precision, and how.
class Ladder {
 public:
  explicit Ladder(PrecisionOptions options) : o_(std::move(options)) {}

  /// f with its state and every captured tensor in low precision, results in the dtypes of z; empty: the solve is to be in its own.
  /// \throws OptionError  for a map that hides its tensors, where a dtype was asked for
  std::optional<FixedPointMap> low(const FixedPointMap& f, const State& z);
  /// ε of the low precision: the first part of a solve ends there, and finds its floor at four of them.
  double epsilon() const { return o_.low == "float16" ? 0x1p-10 : 0x1p-7; }
  /// What the first part of a solve may do. \param first_mark  evaluation after which a state is handed out
  solve::Options first_part(solve::Options options, std::int64_t first_mark) const;
  /// Counts a solve.
  void note(std::int64_t low, std::int64_t all);
  /// Numbers since the last call of this function: share of evaluations in low precision, and once what the timing said.
  std::vector<std::pair<std::string, double>> flush();

 private:
  /// Whether f is at least a fifth faster in bfloat16; where it cannot be evaluated in it, it is not.
  bool faster(const FixedPointMap& f, const State& z);

  PrecisionOptions o_;
  std::optional<double> gain_;
  bool gain_told_ = false;
  std::int64_t low_ = 0, all_ = 0;
};

/// The report of two parts of one solve, the first of which no sample left early.
Report joined(const Report& first, Report second);

}  // namespace zstar::gradient
