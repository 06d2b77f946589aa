#pragma once
/// \file Tally: the reports of a method that leaves the adjoint to autograd, and so makes none itself.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "zstar/abi/map.hpp"
#include "zstar/abi/report.hpp"

namespace zstar::gradient {

/// The report of a method that says nothing of its residual: its products were used up.
Report unmeasured(const std::string& method, std::int64_t batch, std::int64_t products);

/// One report for each backward pass through the states that a method made without a node of the layer's. The adjoint û that they amount
/// to is what reaches an offset of f, and the residual of
///
///   r = v + Jᵀû − û,  v = Σ cotangents of the states,  J at the state that the method was handed; of one that iterates from the start, at its end,
///
/// is measured where that is asked for. Without it the reason is `budget`, for a series ends where its steps end, or that of the iteration.
/// \par Cost  nothing; with the residual, one evaluation of f and one product backward
class Tally : public std::enable_shared_from_this<Tally> {
 public:
  /// \param reports  of the call \param tolerance  relative residual at which a sample counts as converged; unset: nothing is measured
  Tally(std::string method, FixedPointMap f, const State& z, std::shared_ptr<std::vector<Report>> reports, std::optional<double> tolerance);

  /// A state that the method made, with a node that sees its cotangent.
  State seen(const State& state);
  /// What has reached the offset of f: the end of a backward pass that was asked for all gradients.
  void arrived(const std::vector<Tensor>& adjoint);
  /// Tracked evaluations of the method, each one product backward.
  void spent(std::int64_t products) { products_ = products; }
  /// The method has iterated from the start to z. \param reasons  of the iteration where the gradient is that of all of it; else empty
  void ended(const State& z, std::vector<Reason> reasons) { z_ = z, reasons_ = std::move(reasons); }

 private:
  void came(std::size_t slot, const std::vector<Tensor>& cotangent);

  std::string method_;
  FixedPointMap f_;
  State z_;  // where J is taken, without graph
  std::int64_t batch_, products_ = 0;
  std::optional<double> tolerance_;
  std::shared_ptr<std::vector<Report>> reports_;
  std::vector<Reason> reasons_;
  std::vector<std::vector<Tensor>> cotangents_;
  std::vector<char> seen_;      // by state, in the pass under way
  std::size_t report_ = 0;      // of that pass
};

}  // namespace zstar::gradient
