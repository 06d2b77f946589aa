/// \file Which seeded faults the conformance suite catches, and by which checks: the table of docs/verify.md.
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include <gtest/gtest.h>

#include "core/verify/verify.hpp"

namespace {

using namespace zstar;
using verify::Outcome;
using verify::Result;

/// The results of every part, in the order of their names.
const std::map<std::string, std::vector<Result>>& results() {
  static const auto all = [] {
    plugins::Discovery d;
    d.files = {ZSTAR_FAULTS};
    d.user_folders = false;
    plugins::Catalogue catalogue(d);
    std::map<std::string, std::vector<Result>> by_part;
    for (Result& r : verify::verify(catalogue, {0}, {})) by_part[r.part].push_back(std::move(r));
    return by_part;
  }();
  return all;
}

const plugins::Catalogue& faults() {
  static const plugins::Catalogue catalogue([] {
    plugins::Discovery d;
    d.files = {ZSTAR_FAULTS};
    d.user_folders = false;
    return d;
  }());
  return catalogue;
}

bool healthy(const std::string& name) { return name.find("healthy") == 0; }

std::vector<std::string> caught_by(const std::string& part) {
  std::vector<std::string> checks;
  for (const Result& r : results().at(part))
    if (r.outcome == Outcome::failed) checks.push_back(r.check);
  return checks;
}

std::string table() {
  std::ostringstream out;
  out << "| kind | fault | caught by |\n|---|---|---|\n";
  std::size_t faulty = 0, caught = 0;
  for (const auto& part : faults().parts()) {
    if (healthy(part.name)) continue;
    ++faulty;
    std::string by;
    for (const std::string& check : caught_by(part.name)) by += (by.empty() ? "" : ", ") + check;
    caught += !by.empty();
    out << "| " << plugins::to_string(part.kind) << " | " << part.doc << " | " << (by.empty() ? "**not caught**" : by) << " |\n";
  }
  out << "\n" << caught << " of " << faulty << " are caught.\n";
  return out.str();
}

TEST(VerifyFaults, PartsWithoutAFaultPassEveryCheck) {
  for (const auto& [part, checks] : results()) {
    if (!healthy(part)) continue;
    for (const Result& r : checks) EXPECT_NE(r.outcome, Outcome::failed) << part << ": " << r.check << ": " << r.why;
  }
}

TEST(VerifyFaults, EveryFaultIsCaught) {
  for (const auto& part : faults().parts())
    if (!healthy(part.name)) { EXPECT_FALSE(caught_by(part.name).empty()) << part.name << ": " << part.doc; }
  EXPECT_GE(faults().parts().size(), 52u);  // six healthy ones
}

/// ZSTAR_UPDATE_GOLDEN=1 writes the table instead of comparing it.
TEST(VerifyFaults, TheTableOfTheDocumentationIsThatOfThisRun) {
  const std::string file = std::string(ZSTAR_SOURCE_DIR) + "/docs/verify.md", begin = "<!-- faults: written by verify_faults_test -->\n", end = "<!-- end of faults -->";
  std::ifstream in(file);
  std::stringstream buffer;
  buffer << in.rdbuf();
  std::string text = buffer.str();
  const auto from = text.find(begin), to = text.find(end);
  ASSERT_TRUE(from != std::string::npos && to != std::string::npos && from < to) << file;
  const std::string written = text.substr(from + begin.size(), to - from - begin.size());
  if (std::getenv("ZSTAR_UPDATE_GOLDEN")) std::ofstream(file) << text.replace(from + begin.size(), written.size(), table());
  else EXPECT_EQ(written, table());
}

}  // namespace
