#pragma once
/// \file The one fixed-point loop: evaluate, measure, stop, keep the best, sample, trace.

#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "zstar/abi/map.hpp"
#include "zstar/abi/report.hpp"
#include "zstar/abi/solver.hpp"
#include "zstar/options.hpp"
#include "zstar/splitting.hpp"

namespace zstar::solve {

/// The keys of the framework in a solver's table: the same for every solver.
struct Options {
  double tolerance = 1e-3;
  std::int64_t max_evaluations = 40;
  std::int64_t random_shortening = 0;
  std::optional<std::int64_t> eval_max_evaluations;
  double eval_factor = 1.0;
  std::string stop = "relative";
  std::optional<double> absolute_tolerance;
  std::string measure = "l2";
  std::string finished = "mask";
  std::string select = "best";
  std::optional<std::int64_t> check_every;
  std::int64_t stall_window = 30;
  double divergence = 1e4;
  bool floor = true;
  bool trace = true;

  static auto options() {
    using O = Options;
    return std::tuple{
        opt("tolerance", &O::tolerance, "ε; a sample has converged when its residual is at most this", at_least(0.0)),
        opt("max_evaluations", &O::max_evaluations, "evaluations of f allowed in training", at_least(0)),
        opt("random_shortening", &O::random_shortening, "evaluations by which the budget of a forward solve in training falls short at most, drawn evenly anew each time",
            at_least(0)),
        opt("eval_max_evaluations", &O::eval_max_evaluations, "evaluations allowed in evaluation; unset: as in training",
            at_least(0)),
        opt("eval_factor", &O::eval_factor, "evaluations allowed in evaluation, times those in training; eval_max_evaluations wins", above(0.0)),
        choice("stop", &O::stop,
               "residual that the tolerance is for: ‖f(z) − z‖/‖f(z)‖, ‖f(z) − z‖, either of them, or both",
               {"relative", "absolute", "any", "all"}),
        opt("absolute_tolerance", &O::absolute_tolerance, "ε of the absolute residual for stop = any, all; unset: tolerance",
            at_least(0.0)),
        choice("measure", &O::measure, "absolute residuals as sums (l2) or, independent of the width, as means (rms)",
               {"l2", "rms"}),
        choice("finished", &O::finished,
               "samples that have stopped: are frozen (mask), leave the batch (compact, if f allows), or wait for the "
               "last one while they go on (whole)",
               {"mask", "compact", "whole"}),
        choice("select", &O::select, "the iterate returned: that of least residual, or the last evaluated", {"best", "last"}),
        opt("check_every", &O::check_every, "evaluations between stop tests; unset: 1 on a CPU, 5 on a GPU", at_least(1)),
        opt("stall_window", &O::stall_window, "evaluations without 5 % progress after which a sample has stalled; 0: never",
            at_least(0)),
        opt("divergence", &O::divergence, "a sample has diverged when its residual exceeds this many times its first",
            above(1.0)),
        opt("floor", &O::floor, "stop a sample whose residual has reached the precision of the dtype; false: spend the budget"),
        opt("trace", &O::trace, "keep the residual of every evaluation")};
  }
};

/// f over packed states: [B, D] → [B, D].
using PackedMap = std::function<Tensor(const Tensor&)>;

struct PackedOutcome {
  Tensor z;                      ///< [B, D]
  Report report;
  std::vector<Tensor> samples;
};

struct Outcome {
  State z;                       ///< without graph, in the shapes and dtypes of z0
  Report report;
  std::vector<State> samples;    ///< one per entry of `sample_at`
};

/// Solves z = f(z) from z0. Opens no graph; z0 is not modified.
/// \param sample_at  counts of evaluations after which the state is handed out, rising
/// \param halves  of f, for solvers that split; null: none are known
/// \param epsilon  of f, where that is coarser than the state's
Outcome solve(Solver& solver, const std::string& name, const FixedPointMap& f, const State& z0, const Options& options,
              const std::vector<std::int64_t>& sample_at = {}, const Splitting* halves = nullptr, double epsilon = 0);

/// The same for a linear or packed problem: z0 is [B, D].
PackedOutcome solve_packed(Solver& solver, const std::string& name, const PackedMap& f, const Tensor& z0,
                           const Options& options, const std::vector<std::int64_t>& sample_at = {});

/// Sentence and remedy of a reason, for people.
struct ReasonText {
  const char *name, *formula, *sentence, *remedy;
};
const ReasonText& text_of(Reason reason);

/// The inner products of one process: fused on a CPU, plain ATen elsewhere.
Products& local_products();

}  // namespace zstar::solve
