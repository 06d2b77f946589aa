#pragma once
/// \file Tally: the reports of a method that leaves the adjoint to autograd, and so makes none itself.

#include <memory>
#include <string>
#include <vector>

#include "zstar/abi/report.hpp"
#include "zstar/abi/state.hpp"

namespace zstar::gradient {

/// One report for each backward pass through the states that a method made of z by evaluations on the graph. Its reason is `budget`: a
/// series ends where its steps end. The residual is known where it was asked for: what flows into z is
///
///   r = v + Jᵀu − u,  u the adjoint that the steps amount to,  v = Σ cotangents of the states,
///
/// exactly where J is the same at every step, for any steps that leave a fixed point where it is.
/// \par Cost  nothing; with the residual, one product backward
class Tally : public std::enable_shared_from_this<Tally> {
 public:
  /// \param reports  of the call \param measured  whether residuals are wanted
  Tally(std::string method, const State& z, std::shared_ptr<std::vector<Report>> reports, bool measured);

  /// z for the method: on the graph where it is measured.
  State begin();
  /// A state that the method made, with a node that sees its cotangent.
  State seen(const State& state);
  /// Tracked evaluations of the method, each one product backward.
  void spent(std::int64_t products) { products_ = products; }
  /// The gradient is that of a whole iteration: it has converged, or not, as the iteration has.
  void ended(const std::vector<Reason>& reasons) { reasons_ = reasons; }

 private:
  void came(std::size_t slot, const std::vector<Tensor>& cotangent);
  void arrived(const std::vector<Tensor>& gradient);

  std::string method_;
  State z_;  // without graph; empty where nothing is measured
  std::int64_t batch_, products_ = 0;
  std::shared_ptr<std::vector<Report>> reports_;
  std::vector<Reason> reasons_;
  std::vector<std::vector<Tensor>> cotangents_;
  std::vector<char> seen_;      // by state, in the pass under way
  std::size_t report_ = 0;      // of that pass
};

}  // namespace zstar::gradient
