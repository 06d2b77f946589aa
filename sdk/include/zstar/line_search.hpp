#pragma once
/// \file How a solver that shortens its proposals says how often it did. Compiled into the plugin; nothing here crosses the boundary.

#include <string>
#include <utility>

#include <torch/types.h>

#include "zstar/abi/solver.hpp"

namespace zstar {

/// Calls of f at which a sample stood at a shortened step. As a statistic of the solver it becomes Report::line_search_calls.
///
/// \par Cost  no read-back: the number stays where the samples are until it is asked for
class LineSearchCalls {
 public:
  static constexpr const char* name = "line_search_calls";

  void clear() { calls_ = Tensor(); }
  /// Notes one call. \param shortened  bool [B]
  void count(const Tensor& shortened) {
    const Tensor any = shortened.any().to(torch::kInt64);
    calls_ = calls_.defined() ? calls_ + any : any;
  }
  std::pair<std::string, Tensor> statistic() const { return {name, calls_.defined() ? calls_ : torch::zeros({}, torch::kInt64)}; }

 private:
  Tensor calls_;  // int64, scalar
};

}  // namespace zstar
