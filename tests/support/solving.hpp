#pragma once
/// \file One solve by a solver that is named.

#include <string>

#include "tests/support/parts.hpp"

namespace zstar::test {

inline solve::Outcome run(const std::string& name, const FixedPointMap& f, const Tensor& z0, const solve::Options& o, const Settings& settings = {}) {
  const auto solver = make_solver(name, settings);
  return solve::solve(*solver, name, f, State(z0), o);
}

}  // namespace zstar::test
