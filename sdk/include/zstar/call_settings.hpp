#pragma once
/// \file CallSettings: options of both solvers that are others in one call of the layer.

#include <string_view>

#include "zstar/abi/layer.hpp"

namespace zstar {

/// Keys of the tables `[solver]` and `[gradient] solver` of an experiment, the framework's and those of the solver alike:
/// {.solver = {{"stop", std::string("absolute")}, {"memory", std::int64_t{3}}}}. What is not named stays as it is.
struct CallSettings {
  Settings solver, adjoint;
};

/// By query of an EquilibriumLayer: a solve whose settings hold for it alone, its backward passes included.
class SettableLayer {
 public:
  static constexpr std::string_view id = "zstar.layer.settings/1";
  /// As EquilibriumLayer::solve. \throws OptionError  for a setting that the solver's table does not have, or does not allow
  virtual Equilibrium solve(const FixedPointMap& f, const State& z0, const SolveOptions& options, const CallSettings& settings) = 0;
 protected:
  ~SettableLayer() = default;
};

}  // namespace zstar
