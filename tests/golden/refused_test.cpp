/// \file Every experiment in experiments/refused is refused with the words beside it, and with no other error.
#include <fstream>
#include <random>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/experiment/experiment.hpp"
#include "core/training/session.hpp"
#include "tests/support/parts.hpp"

namespace {

namespace fs = std::filesystem;
using namespace zstar;
using experiment::Experiment;
using experiment::Refused;

std::string read(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::size_t count(const std::string& text, const std::string& word) {
  std::size_t n = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++n;
  return n;
}

std::string refusal(const fs::path& file, const std::vector<std::string>& overrides = {}) {
  try {
    Experiment::read(file, overrides, training::schema(), training::CatalogueTables(test::catalogue()));
  } catch (const Refused& refused) {
    return refused.what();
  }
  return "";
}

class Golden : public testing::Test {
 protected:
  void SetUp() override { fs::current_path(ZSTAR_SOURCE_DIR); }  // messages name the file as it was given
};

TEST_F(Golden, RefusedExperimentsSayWhatStandsBesideThem) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator("experiments/refused")) {
    if (entry.path().extension() != ".toml") continue;
    const std::string got = refusal(entry.path()), want = read(fs::path(entry.path()).replace_extension(".expected"));
    EXPECT_FALSE(want.empty()) << entry.path();
    std::istringstream lines(want);
    for (std::string line; std::getline(lines, line);) EXPECT_THAT(got, testing::HasSubstr(line)) << entry.path();
    EXPECT_EQ(count(got, ": error: "), count(want, ": error: ")) << entry.path() << "\n" << got;
    ++files;
  }
  EXPECT_GE(files, 15);
}

TEST_F(Golden, OverridesAreCheckedLikeTheFile) {
  EXPECT_EQ(refusal("experiments/quickstart.toml", {"solver.memory=7", "train.epochs=3", "solver.name=anderson"}), "");
  EXPECT_THAT(refusal("experiments/quickstart.toml", {"solver.memory=many"}), testing::HasSubstr("--set 'solver.memory=many': error: option 'memory' is text"));
  EXPECT_THAT(refusal("experiments/quickstart.toml", {"regularizers.0.wieght=1"}), testing::HasSubstr("did you mean: 'weight'"));
  EXPECT_THAT(refusal("experiments/quickstart.toml", {"nonsense"}), testing::HasSubstr("expected: section.key=value"));
}

TEST_F(Golden, TheResolvedExperimentIsRunnableAndTheSame) {
  const training::CatalogueTables tables(test::catalogue());
  const auto once = Experiment::read("experiments/quickstart.toml", {"solver.memory=7"}, training::schema(), tables).to_toml();
  EXPECT_EQ(Experiment::parse(once, "resolved", {}, training::schema(), tables).to_toml(), once);
  EXPECT_THAT(once, testing::HasSubstr("memory = 7"));
}

TEST_F(Golden, AnyTextIsReadOrRefusedAndNeverCrashes) {
  const std::string good = read("experiments/quickstart.toml");
  const training::CatalogueTables tables(test::catalogue());
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    std::string text = good;
    for (int k = 0; k < 1 + round % 6; ++k) {
      const std::size_t at = random() % text.size();
      if (round % 3 == 0) text[at] = static_cast<char>(random());
      else if (round % 3 == 1) text.erase(at, random() % 12);
      else text.insert(at, std::string(1, "[]={}\"#.\n1"[random() % 10]));
    }
    try {
      Experiment::parse(text, "fuzz", {}, training::schema(), tables);
    } catch (const Refused&) {
    }
  }
}

}  // namespace
