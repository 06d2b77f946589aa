#pragma once
/// \file Solvers by what they are held to, for tests that try all there are.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/parts.hpp"
#include "zstar/claims.hpp"

namespace zstar::test {

/// Solvers whose rules let them solve any contraction and do what the check of that name asks: those that ask for more say so.
inline std::vector<std::string> solvers_held_to(std::string_view check = "honest") {
  std::vector<std::string> names;
  for (const std::string& name : catalogue().names(Kind::solver)) {
    const auto solver = make_solver(name);
    const auto* exemptions = query<Exemptions>(*solver);
    const auto exempt = [check](const Exemptions::Exemption& e) { return e.check == "*" || e.check == "honest" || e.check == check; };
    if (!exemptions || std::none_of(exemptions->checks.begin(), exemptions->checks.end(), exempt)) names.push_back(name);
  }
  return names;
}

}  // namespace zstar::test
