#pragma once
/// \file Verification of plugins: every part of a file, asked everything that its kind must answer.

#include <functional>
#include <string>
#include <vector>

#include "core/plugins/catalogue.hpp"
#include "core/verify/check.hpp"

namespace zstar::verify {

struct Request {
  std::vector<std::string> only;  ///< "solver.anderson.keep" with '*' for any characters; empty: everything
  std::uint64_t seed = 1;         ///< of all random problems
};

/// Verifies the parts of the files of a catalogue, in order. Nothing of what a part does ends it but a crash.
/// \param files  indices into catalogue.files()
/// \param seen   called with each result as it comes; may be empty
/// \throws plugins::PluginError  for a file that cannot be used
std::vector<Result> verify(plugins::Catalogue& catalogue, const std::vector<std::size_t>& files, const Request& request,
                           const std::function<void(const Result&)>& seen = {});

/// Whether "kind.part.check" is matched by a pattern, or there is none. A pattern of fewer words means everything below.
bool wanted(const std::string& full, const std::vector<std::string>& patterns);

/// "kind", "check" and "doc" of every check there is.
struct CheckName {
  Kind kind;
  std::string name, doc;
};
std::vector<CheckName> all_checks();

/// The results in TAP, version 13. \see https://testanything.org
std::string tap(const std::vector<Result>& results);
/// The results as a JUnit file: a suite a part.
std::string junit(const std::vector<Result>& results);

}  // namespace zstar::verify
