/// \file zstar bench solvers: its problems, what is in its table without being named anywhere, its picture, and who wins against himself.
#include <regex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/process.hpp"

namespace {

using namespace zstar::test;
using nlohmann::json;

class Bench : public ::testing::Test {
 protected:
  Finished run(const std::string& words) const {
    return shell("HOME=" + home.path.string() + " XDG_CACHE_HOME= " ZSTAR_BINARY_DIR "/bin/zstar " + words);
  }
  json solvers(const std::string& words) const {
    const Finished finished = run("bench solvers --json " + words);
    EXPECT_EQ(finished.status, 0) << finished.text;
    return json::parse(finished.text);
  }
  TemporaryFolder home;
};

TEST_F(Bench, ASolverAgainstItselfHasNoWinner) {
  const json table = solvers("--only anderson --only anderson --only broyden --only broyden");
  ASSERT_EQ(table["solvers"].size(), 4u);
  EXPECT_GT(table["problems"].size(), 100u);
  for (std::size_t first : {0, 2}) {
    const json& one = table["solvers"][first];
    const json& other = table["solvers"][first + 1];
    EXPECT_EQ(one["best"], 0);
    EXPECT_EQ(other["best"], 0);
    EXPECT_EQ(one["profile"], other["profile"]);
    for (std::size_t p = 0; p < one["results"].size(); ++p) EXPECT_EQ(one["results"][p]["evaluations"], other["results"][p]["evaluations"]) << table["problems"][p];
  }
}

TEST_F(Bench, TheDefaultIsAsGoodAsTheBestOfTorchDEQOnNineProblemsInTenAndFailsOnNone) {
  const Finished resolved = run("config " ZSTAR_SOURCE_DIR "/experiments/inr_siren.toml");  // an explicit network: it names no solver
  std::smatch name;
  const std::string text = resolved.text;
  ASSERT_TRUE(std::regex_search(text, name, std::regex(R"re(\[solver\]\nname = "(\w+)" +# default)re"))) << text;
  const json table = solvers("--only " + name[1].str() + " --only torchdeq_broyden --only torchdeq_anderson --only torchdeq_fixed_point");
  int solved = 0, no_more = 0;
  for (std::size_t p = 0; p < table["problems"].size(); ++p) {
    std::int64_t best = 0;
    for (std::size_t s = 1; s < 4; ++s)
      if (const std::int64_t n = table["solvers"][s]["results"][p]["evaluations"]; n > 0 && (best == 0 || n < best)) best = n;
    if (best == 0) continue;
    const std::int64_t ours = table["solvers"][0]["results"][p]["evaluations"];
    EXPECT_GT(ours, 0) << table["problems"][p];
    ++solved, no_more += ours > 0 && ours <= best;
  }
  EXPECT_GT(solved, 80);
  EXPECT_GE(no_more, 0.9 * solved);
}

TEST_F(Bench, APluginInAFolderIsAmongTheSolvers) {
  const json without = solvers("--family kinks"), with = solvers("--family kinks --plugins " ZSTAR_SICK_PLUGINS);
  const auto names = [](const json& table) {
    std::vector<std::string> all;
    for (const auto& s : table["solvers"]) all.push_back(s["name"]);
    return all;
  };
  EXPECT_THAT(names(without), ::testing::Not(::testing::Contains("my_solver")));
  EXPECT_THAT(names(with), ::testing::Contains("my_solver"));
  EXPECT_EQ(names(with).size(), names(without).size() + 1);
}

TEST_F(Bench, DrawsItsProfiles) {
  const auto svg = home.path / "profiles.svg";
  const Finished finished = run("bench solvers --family kinks --family cosine --svg " + svg.string());
  const std::string script = read_file(home.path / "profiles.gp"), data = read_file(home.path / "profiles.dat");
  EXPECT_THAT(script, ::testing::HasSubstr("set xlabel 'τ"));
  EXPECT_THAT(data, ::testing::HasSubstr("of anderson\n1 "));
  EXPECT_EQ(finished.status, 0) << finished.text;
  const std::string picture = read_file(svg);
  EXPECT_THAT(picture, ::testing::HasSubstr("<svg"));
  for (const char* name : {"anderson", "broyden", "fixed_point", "share of problems"}) EXPECT_THAT(picture, ::testing::HasSubstr(name));
}

TEST_F(Bench, SolvesTheFrozenCellsOfRuns) {
  const std::string runs = (home.path / "runs").string();
  const Finished trained = run("run " ZSTAR_SOURCE_DIR "/experiments/quickstart.toml --smoke -s dataset.length=3 -s experiment.runs=" + runs);
  ASSERT_EQ(trained.status, 0) << trained.text;
  const json table = solvers("--cells " + runs + " --family cells --only broyden --only anderson");
  ASSERT_EQ(table["problems"].size(), 1u);
  EXPECT_THAT(table["problems"][0]["name"].get<std::string>(), ::testing::HasSubstr("1920 unknowns"));
  for (const auto& solver : table["solvers"]) {
    EXPECT_EQ(solver["results"][0]["reason"], "converged");
    EXPECT_GT(solver["results"][0]["evaluations"], 2);
  }
}

TEST_F(Bench, RefusesUnknownFamiliesAndFoldersWithoutRuns) {
  EXPECT_THAT(run("bench solvers --seeds 0").text, ::testing::HasSubstr("--seeds takes a number from 1 to 1000"));
  const Finished family = run("bench solvers --family kink");
  EXPECT_EQ(family.status, 2);
  EXPECT_THAT(family.text, ::testing::HasSubstr("'kinks'"));
  const Finished folder = run("bench solvers --cells " + home.path.string());
  EXPECT_EQ(folder.status, 1);
  EXPECT_THAT(folder.text, ::testing::HasSubstr("no run folder is there"));
}

}  // namespace
