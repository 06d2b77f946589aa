#pragma once
/// \file The loop's view of a problem: f over packed rows, restricted to the rows that are left.

#include <optional>

#include "core/solve/monitor.hpp"
#include "core/solve/solve.hpp"

namespace zstar::solve {

/// f over [B, D] that may be restricted to samples.
struct RowMap {
  PackedMap f;
  /// f for these samples alone; empty: the samples cannot be separated.
  std::function<PackedMap(const Tensor& rows)> at_rows;
};

/// Runs a solver to the end. \param epsilon  of the coarsest dtype in the state
PackedOutcome run(Solver& solver, const std::string& name, const RowMap& map, const Tensor& z0, double epsilon,
                  const Options& options, const std::vector<std::int64_t>& sample_at);

/// The best iterate of every sample, by selection.
class Best {
 public:
  explicit Best(const Tensor& z0) : z_(z0) {}
  /// Takes the rows of z that improved. \param rows  the samples of z's rows, all if null
  void update(const Tensor& z, const Monitor& monitor, const std::vector<std::int64_t>* rows);
  const Tensor& z() const { return z_; }

 private:
  Tensor z_, buffer_;
  bool own_ = false;  // z_ is the buffer, not an iterate
};

}  // namespace zstar::solve
