#pragma once
/// \file Report: how a solve went, sample by sample; one type for forward and adjoint solves.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

namespace zstar {

/// Why a sample stopped. The formulas are those of docs/stopping.md.
enum class Reason : std::uint8_t {
  converged,  ///< the residual is within the tolerance
  floor,      ///< relative residual ≤ 4 ε(dtype) without progress: the precision of the dtype is reached
  stalled,    ///< best residual of the last `stall_window` evaluations not below 0.95 of the best before them
  diverged,   ///< residual > `divergence` × first residual
  nonfinite,  ///< f(z) had an infinity or a NaN
  budget,     ///< the evaluations allowed were used up
  refused,    ///< the method could not treat this sample
};
inline constexpr int reason_count = 7;

/// Residuals of the evaluations made. Row k holds evaluation k of all B samples; a sample that has stopped repeats
/// its last value, and its first Report::evaluations entries are the valid ones.
struct Trace {
  std::int64_t batch = 0;
  std::vector<double> absolute, relative;  ///< [steps · B], row-major
  std::int64_t steps() const { return batch == 0 ? 0 : static_cast<std::int64_t>(absolute.size()) / batch; }
};

/// Per-sample outcome of one solve. Residuals are ‖f(z) − z‖₂ of the *returned* z, in the state's own units.
struct Report {
  std::string method;                          ///< name of the solver
  std::vector<double> residual, relative;      ///< [B]; relative = residual / ‖f(z)‖₂, 0/0 = 0
  std::vector<std::int64_t> evaluations;       ///< [B] evaluations until the sample stopped
  std::vector<std::int64_t> best;              ///< [B] evaluation that the returned z belongs to, from 1; 0: none
  std::vector<std::int64_t> first_converged;   ///< [B] first evaluation within tolerance, from 1; 0: never
  std::vector<Reason> reasons;                 ///< [B]
  std::int64_t calls = 0;                      ///< calls of f (or of the vector–Jacobian product) for the whole batch
  std::int64_t line_search_calls = 0;          ///< those of them that were line-search trials
  double tolerance = 0;
  Trace trace;
  /// What the method itself says of the solve (Anderson's gain θ_k, step lengths), by name.
  std::vector<std::pair<std::string, torch::Tensor>> statistics;

  std::int64_t batch() const { return static_cast<std::int64_t>(residual.size()); }
};

}  // namespace zstar
