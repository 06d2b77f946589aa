/// \file Every experiment in experiments/refused is refused with the words beside it, and with no other error.
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/experiment/experiment.hpp"
#include "core/training/doubts.hpp"
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

class Golden : public ::testing::Test {
 protected:
  void SetUp() override { fs::current_path(ZSTAR_SOURCE_DIR); }  // messages name the file as it was given
};

TEST_F(Golden, RefusedExperimentsSayWhatStandsBesideThem) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator("experiments/refused")) {
    if (entry.path().extension() != ".toml") continue;
    const fs::path words = fs::path(entry.path()).replace_extension(".expected");
    const std::string got = refusal(entry.path());
    if (std::getenv("ZSTAR_UPDATE_GOLDEN") && !fs::exists(words)) std::ofstream(words) << got << '\n';  // the diff is reviewed as code
    const std::string want = read(words);
    EXPECT_FALSE(want.empty()) << entry.path();
    std::istringstream lines(want);
    for (std::string line; std::getline(lines, line);) EXPECT_THAT(got, ::testing::HasSubstr(line)) << entry.path();
    EXPECT_EQ(count(got, ": error: "), count(want, ": error: ")) << entry.path() << "\n" << got;
    ++files;
  }
  EXPECT_GE(files, 28);
}

TEST_F(Golden, ExperimentsThatShipAreGood) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator("experiments")) {
    if (entry.path().extension() != ".toml") continue;
    EXPECT_EQ(refusal(entry.path()), "") << entry.path();
    ++files;
  }
  EXPECT_GE(files, 20);
}

TEST_F(Golden, OverridesAreCheckedLikeTheFile) {
  EXPECT_EQ(refusal("experiments/quickstart.toml", {"solver.memory=7", "train.epochs=3", "solver.name=anderson"}), "");
  EXPECT_THAT(refusal("experiments/quickstart.toml", {"solver.memory=many"}), ::testing::HasSubstr("--set 'solver.memory=many': error: option 'memory' is text"));
  EXPECT_THAT(refusal("experiments/quickstart.toml", {"regularizers.0.wieght=1"}), ::testing::HasSubstr("did you mean: 'weight'"));
  EXPECT_THAT(refusal("experiments/quickstart.toml", {"nonsense"}), ::testing::HasSubstr("expected: section.key=value"));
}

TEST_F(Golden, OverridesAreTyped) {
  const auto says = [](const std::string& assignment, const std::string& words) {
    EXPECT_THAT(refusal("experiments/quickstart.toml", {assignment}), ::testing::HasSubstr(words)) << assignment;
  };
  const auto good = [](const std::string& assignment) { EXPECT_EQ(refusal("experiments/quickstart.toml", {assignment}), ""); };
  good("train.steps=12");
  good("train.clip_norm=1");  // an integer is a real number
  good("experiment.name=bare words");
  good("experiment.name=\"12\"");
  good("solver.trace=false");
  good("gradient.solver={ name = \"anderson\", memory = 3 }");
  good("gradient.solver.max_evaluations=9");
  says("train.steps=1.5", "error: option 'steps' is a real number");
  says("train.steps=1e3", "error: option 'steps' is a real number");
  says("experiment.name=12", "error: option 'name' is an integer");
  says("solver.trace=1", "error: option 'trace' is an integer");
  says("solver.tolerance=-1", "error: option 'tolerance': -1 is out of range");
  says("solver.stop=relatve", "error: option 'stop': 'relatve' is none of the choices");
  says("solver=anderson", "error: 'solver' is text");
  says("gradient.solver=anderson", "error: 'solver' is text");
  says("regularizers.7.weight=1", "leads nowhere");
  says("regularizers.weight=1", "leads nowhere");
  says("solver.name.x=1", "leads nowhere");
  says("=1", "not an assignment");
  says("solver.=1", "not an assignment");
  says("optimzer.lr=1", "did you mean: 'optimizer'?");
}

/// An experiment of one solver's options, with overrides. \return its refusal, or its notes behind "good: "
std::string with_anderson(const std::vector<std::string>& overrides, const std::string& more = "", const std::string& solver = "anderson") {
  const std::string text = "[experiment]\nname = \"x\"\n[dataset]\nname = \"chains\"\n[model]\nname = \"ignn\"\n[solver]\nname = \"" + solver + "\"\nmemory = 4\nbeta = 0.9\n"
                           "tolerance = 1e-5\n[optimizer]\nname = \"sgd\"\nmomentum = 0.5\nlr = 0.1\n" + more;
  try {
    const Experiment e = Experiment::parse(text, "x.toml", overrides, training::schema(), training::CatalogueTables(test::catalogue()));
    std::string notes = "good: ";
    for (const std::string& note : e.notes()) notes += note + "\n";
    return notes + e.to_toml();
  } catch (const Refused& refused) {
    return refused.what();
  }
}

TEST_F(Golden, OptionsOfAPartLeaveWithIt) {
  using ::testing::AllOf, ::testing::HasSubstr, ::testing::Not, ::testing::StartsWith;
  EXPECT_THAT(with_anderson({"solver.name=fixed_point"}),
              AllOf(StartsWith("good: x.toml:8:8: solver 'anderson' was replaced by --set 'solver.name=fixed_point'; what the file says of its options 'memory' has no effect\n["),
                    HasSubstr("\nbeta = 0.9\n"), HasSubstr("\ntolerance = 1e-05\n")));  // what both have stays
  EXPECT_THAT(with_anderson({"optimizer.name=adam"}), StartsWith("good: x.toml:13:8: optimizer 'sgd' was replaced"));
  EXPECT_THAT(with_anderson({"solver.name=anderson"}), StartsWith("good: ["));
  EXPECT_THAT(with_anderson({"solver.name=fixed_point"}, "", "gone"), StartsWith("good: x.toml:8:8: solver 'gone' was replaced"));  // the old part is not asked
  EXPECT_THAT(with_anderson({"solver.name=fixed_point", "solver.memory=3"}), StartsWith("--set 'solver.memory=3': error: unknown option 'memory' of solver 'fixed_point'"));
  EXPECT_THAT(with_anderson({"solver.name=fixed_point"}, "[gradient.solver]\nname = \"fixed_point\"\nmemory = 3\n"), HasSubstr("x.toml:18:1: error: unknown option 'memory'"));
  EXPECT_THAT(with_anderson({"solver.memry=3", "solver.name=fixed_point"}), HasSubstr("error: unknown option 'memry' of solver 'fixed_point'"));
}

TEST_F(Golden, AMistakeOnTheCommandLineIsPlacedThere) {
  const auto says = [](const std::string& assignment, const std::string& words) {
    EXPECT_THAT(refusal("experiments/quickstart.toml", {assignment}), ::testing::HasSubstr(words)) << assignment;
  };
  says("slover.name=x", "--set 'slover.name=x': error: unknown section 'slover'");
  says("a.b.c=1", "--set 'a.b.c=1': error: unknown section 'a'");
  says("solver.bata=1", "--set 'solver.bata=1': error: unknown option 'bata' of solver 'anderson'");
  says("solver.memory.x=3", "'solver.memory.x' leads nowhere: 'solver.memory' is no table\n  expected: section.key, or section.INDEX.key for arrays of tables\n"
                            "  did you mean: 'solver.memory'?\n  remedy: set that key itself");
  says("regularizers.5.name=x", "'regularizers' is an array with 1 entry");
  says("regularizers.5.name=x", "did you mean: 'regularizers.0.name'?\n  remedy: name an entry that is there");
  says("regularizers.weight=1", "did you mean: 'regularizers.0.weight'?");
  says("regularizers.-1.weight=1", "did you mean: 'regularizers.0.weight'?");
  says("optimizer.lr=1e300", "error: option 'lr': 1e+300 is out of range");
  says("optimizer.weight_decay=1e300", "error: option 'weight_decay': 1e+300 is out of range");
  says("train.accumulate=9223372036854775807", "is out of range");
  says("dataset.length=9223372036854775807", "is out of range");
  says("experiment.name=\"a\\nb\"", "error: option 'name' holds a control character");
  says("experiment.name=\"a\\u0000b\"", "error: option 'name' holds a control character");
  says("experiment.runs=~/runs", "'~/runs' begins with '~', which an experiment does not expand");
  says("train.epochs=99999999999999999999", "error: the number is too large");
  says("optimizer.lr=1e400", "error: the number is too large");
  says("experiment.name=\xff", "\n  remedy: write it in UTF-8");
}

TEST_F(Golden, WhatAFileSwitchesOnAnOverrideSwitchesOff) {
  const auto resolved = [](const std::vector<std::string>& overrides) {
    const Experiment e = Experiment::read("experiments/quickstart.toml", overrides, training::schema(), training::CatalogueTables(test::catalogue()));
    return std::pair(e.to_toml(), e.notes());
  };
  const std::string with = resolved({"norm={ name = \"weight_norm\", skip = [\"x\"] }"}).first;
  EXPECT_THAT(with, ::testing::HasSubstr("[norm]"));
  EXPECT_THAT(with, ::testing::HasSubstr("[[regularizers]]"));
  const auto [without, notes] = resolved({"regularizers=[]", "norm.name=none"});
  EXPECT_THAT(without, ::testing::Not(::testing::HasSubstr("[norm]")));
  EXPECT_THAT(without, ::testing::Not(::testing::HasSubstr("regularizers")));
  EXPECT_EQ(refusal("experiments/quickstart.toml", {"norm={ name = \"none\" }"}), "");
  EXPECT_THAT(refusal("experiments/quickstart.toml", {"norm={ name = \"none\", skip = [\"x\"] }"}), ::testing::HasSubstr("unknown option 'skip' of norm 'none'"));
  EXPECT_THAT(refusal("experiments/quickstart.toml", {"norm={}"}), ::testing::HasSubstr("\"none\" leaves it out"));
  EXPECT_THAT(refusal("experiments/quickstart.toml", {"norm.name=nine"}), ::testing::HasSubstr(", or 'none'\n"));
}

TEST_F(Golden, ASolverOfNoAdjointEquationIsNotedAndNotWritten) {
  const auto resolved = [](const std::vector<std::string>& overrides, const std::string& file = "experiments/quickstart.toml") {
    const Experiment e = Experiment::read(file, overrides, training::schema(), training::CatalogueTables(test::catalogue()));
    return std::pair(e.to_toml(), e.notes());
  };
  const auto [text, notes] = resolved({"gradient.name=unrolled", "gradient.solver.tolerance=1e-3"});
  EXPECT_THAT(notes, ::testing::ElementsAre(::testing::HasSubstr("gradient.solver has no effect: gradient 'unrolled' solves no adjoint equation")));
  EXPECT_THAT(text, ::testing::Not(::testing::HasSubstr("[gradient.solver]")));
  EXPECT_THAT(resolved({"gradient={ name = \"phantom\" }"}).second, ::testing::IsEmpty());  // nothing was said of a solver
  EXPECT_THAT(resolved({"gradient={ name = \"phantom\" }"}).first, ::testing::Not(::testing::HasSubstr("[gradient.solver]")));
  EXPECT_THAT(resolved({"gradient.solver.tolerance=1e-3"}).second, ::testing::IsEmpty());
  EXPECT_THAT(resolved({"gradient.solver.tolerance=1e-3"}).first, ::testing::HasSubstr("[gradient.solver]"));
  EXPECT_THAT(resolved({"gradient.name=phantom", "gradient.states=2", "gradient.intermediate.name=implicit"}).second, ::testing::IsEmpty());
}

TEST_F(Golden, SettingsWithoutAnEffectAreDoubted) {
  const auto says = [](const std::vector<std::string>& overrides) {
    return training::doubts(Experiment::read("experiments/quickstart.toml", overrides, training::schema(), training::CatalogueTables(test::catalogue())));
  };
  EXPECT_THAT(says({"train.clip=value"}), ::testing::ElementsAre(::testing::HasSubstr("train.clip = \"value\" has no effect")));
  EXPECT_THAT(says({"train.clip=value", "train.clip_norm=1"}), ::testing::IsEmpty());
  EXPECT_THAT(says({"gradient.name=phantom", "gradient.solver.tolerance=1e-12"}), ::testing::IsEmpty());
}

TEST_F(Golden, AnExplicitModelSaysWhichTablesHaveNoEffect) {
  const auto says = [](const std::string& more) {
    std::ostringstream warnings;
    const auto experiment = Experiment::parse("[dataset]\nname = \"image\"\nsize = 16\n[model]\nname = \"fourier_network\"\n" + more, "x.toml", {}, training::schema(), training::CatalogueTables(test::catalogue()));
    const training::Session session(experiment, test::catalogue(), warnings);
    return warnings.str();
  };
  EXPECT_EQ(says(""), "");
  EXPECT_EQ(says("[solver]\ntolerance = 1e-3\n[gradient]\nname = \"phantom\"\n"), "zstar: warning: nothing in [solver], [gradient] has an effect: model 'fourier_network' has no equilibrium\n");
}

TEST_F(Golden, WhatTheCatalogueRefusesHasTheFormOfAllMessages) {
  const std::string of_no_plugin = refusal("experiments/quickstart.toml", {"solver={ name = \"nope:anderson\" }"});
  EXPECT_THAT(of_no_plugin, ::testing::StartsWith("--set 'solver={ name = \"nope:anderson\" }': error: unknown solver 'nope:anderson' [Z136]\n  expected: '"));
  EXPECT_THAT(of_no_plugin, ::testing::HasSubstr("\n  did you mean: 'zstar.anderson:anderson'?\n  remedy: "));

  plugins::Discovery d;
  d.folders = {ZSTAR_PLUGIN_DIR};
  d.user_folders = false;
  d.allowed.emplace();
  plugins::Catalogue none_allowed(d);
  try {
    Experiment::parse("[dataset]\nname = \"chains\"\n", "x.toml", {}, training::schema(), training::CatalogueTables(none_allowed));
    FAIL() << "it was read";
  } catch (const Refused& refused) {
    EXPECT_THAT(refused.messages().front(), ::testing::MatchesRegex("x.toml:2:8: error: dataset 'chains' cannot be used: [^\n]* \\[Z141\\]\n  2 . name = \"chains\"\n[^\n]*\n  remedy: [^\n]*"));
    EXPECT_FALSE(refused.details().front().remedy.empty());
  }
}

TEST_F(Golden, APartThatCannotBeMadeHasThePlaceOfItsTable) {
  const training::CatalogueTables tables(test::catalogue());
  const auto experiment = Experiment::parse("[dataset]\nname = \"chains\"\n[model]\nname = \"mdeq\"\n", "x.toml", {}, training::schema(), tables);
  std::ostringstream warnings;
  try {
    const training::Session session(experiment, test::catalogue(), warnings);
    FAIL() << "it was built";
  } catch (const plugins::PluginError& error) {
    FAIL() << error.what();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), ::testing::StartsWith("x.toml:3:1: error: model 'mdeq' cannot be made: the data set does not say its '"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("\n  3 | [model]\n"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("\n  remedy: choose a model and a data set that fit; 'zstar plugins show mdeq' explains its options"));
  }
}

TEST_F(Golden, AnOptionThatAPartRefusesHasItsLineOrItsOverride) {
  training::CatalogueTables tables(test::catalogue());
  const auto says = [&](const std::vector<std::string>& overrides) -> std::string {
    std::ostringstream warnings;
    try {
      const auto experiment = Experiment::read("experiments/mondeq_mnist.toml", overrides, training::schema(), tables);
      const training::Session session(experiment, test::catalogue(), warnings);
    } catch (const Refused& refused) {
      return refused.what();
    }
    return "";
  };
  EXPECT_THAT(says({"dataset.path=/nowhere"}), ::testing::MatchesRegex("--set 'dataset.path=/nowhere': error: dataset 'idx_images', option 'path': /nowhere holds neither [^;]*\n"
                                                                       "  expected: folder of train-images-idx3-ubyte, .*\n  remedy: name the folder of the files"));
  EXPECT_THAT(says({"gradient.name=truncated", "gradient.steps=3", "gradient.tracked=5", "dataset={ name = \"chains\" }"}),
              ::testing::HasSubstr("--set 'gradient.tracked=5': error: gradient 'truncated', option 'tracked'"));
  if (!torch::hasCUDA()) {
    EXPECT_THAT(says({"experiment.device=cuda"}), ::testing::MatchesRegex("--set 'experiment.device=cuda': error: experiment, option 'device': .*no CUDA device\n.*\n  remedy: use device = \"cpu\", .*"));
  }
}

TEST_F(Golden, AnOptionThatStandsNowhereHasTheFileForItsPlace) {
  const training::CatalogueTables tables(test::catalogue());
  const auto experiment = Experiment::parse("[dataset]\nname = \"chains\"\n[model]\nname = \"ignn\"\n", "x.toml", {}, training::schema(), tables);

  EXPECT_STREQ(experiment.refusal(experiment.at("train"), {"epochs", "too few; give more"}).what(),
               "x.toml: error: train, option 'epochs': too few\n  expected: integer in [0, 1000000000], default 1\n  remedy: give more");
  EXPECT_THAT(experiment.refusal(experiment.at("dataset"), {"no_option", "it is not there"}).what(),
              ::testing::StartsWith("x.toml:1:1: error: dataset 'chains', option 'no_option': it is not there\n  1 | [dataset]\n"));
}

TEST_F(Golden, ALineIsShownAsATerminalTakesIt) {
  const training::CatalogueTables tables(test::catalogue());
  const auto says = [&](const std::string& text) -> std::string {
    try {
      Experiment::parse(text, "x", {}, training::schema(), tables);
    } catch (const Refused& refused) {
      return refused.what();
    }
    return "";
  };
  EXPECT_THAT(says("[train]\r\nepocs = 1\r\n"), ::testing::HasSubstr("| epocs = 1\n    | ^^^^^\n"));
  EXPECT_THAT(says("[train]\nlog_every = \"\xff\"\n"), ::testing::HasSubstr("  2 | log_every = \"\xef\xbf\xbd\"\n    |             ^\n  remedy: save the file in UTF-8"));
  EXPECT_THAT(says("[train]\nepochs = 99999999999999999999\n"), ::testing::HasSubstr("remedy: write a smaller number"));
  const std::string wide = says("experiment = { name = \"" + std::string(400, 'z') + "\", sead = 1, runs = \"" + std::string(400, 'c') + "\" }\n");
  EXPECT_THAT(wide, ::testing::HasSubstr("z\", sead = 1, runs = \"ccc"));
  EXPECT_THAT(wide, ::testing::HasSubstr("ccc …\n    |" + std::string(63, ' ') + "^^^^\n"));
  EXPECT_LT(wide.size(), 900u);
}

TEST_F(Golden, OfALongTableTheNearestOptionsHaveTheirRange) {
  EXPECT_THAT(refusal("experiments/quickstart.toml", {"solver.bata=1"}), ::testing::HasSubstr("expected: beta (real in [0, 2], default 1.0); or '"));
}

TEST_F(Golden, TheResolvedExperimentIsRunnableAndTheSame) {
  const training::CatalogueTables tables(test::catalogue());
  const auto once = Experiment::read("experiments/quickstart.toml", {"solver.memory=7"}, training::schema(), tables).to_toml();
  EXPECT_EQ(Experiment::parse(once, "resolved", {}, training::schema(), tables).to_toml(), once);
  EXPECT_THAT(once, ::testing::HasSubstr("memory = 7"));
}

TEST_F(Golden, AFolderIsNoExperiment) { EXPECT_THAT(refusal("experiments"), ::testing::HasSubstr("experiments: error: cannot be read\n  expected: an experiment file, of at most 16 MiB")); }

TEST_F(Golden, WhatDoesNotEndIsNoExperiment) { EXPECT_THAT(refusal("/dev/zero"), ::testing::HasSubstr("/dev/zero: error: cannot be read\n  expected: an experiment file, of at most 16 MiB")); }

TEST_F(Golden, TheSchemaSaysWhatListsHoldAndWhereANameIsNeeded) {
  const auto schema = nlohmann::json::parse(experiment::json_schema(training::schema(), training::CatalogueTables(test::catalogue())));
  const nlohmann::json text{{"type", "string"}};
  EXPECT_EQ(schema["properties"]["include"]["anyOf"], nlohmann::json::array({text, {{"type", "array"}, {"items", text}}}));
  for (const auto& part : schema["properties"]["gradient"]["anyOf"]) {
    if (part["properties"]["name"]["enum"][0] != "phantom") continue;
    const auto& steps = part["properties"]["steps"]["anyOf"];
    EXPECT_EQ(steps[1]["items"]["type"], "integer");
    EXPECT_EQ(steps[1]["items"]["minimum"], 1);
    EXPECT_EQ(steps[0], steps[1]["items"]);
  }
  EXPECT_EQ(schema["anyOf"][0]["properties"]["dataset"]["required"], nlohmann::json::array({"name"}));  // of a whole file; one that includes another may leave it to that
  EXPECT_EQ(schema["properties"]["regularizers"]["items"]["required"], nlohmann::json::array({"name"}));
  EXPECT_FALSE(schema["anyOf"][0]["properties"].contains("solver"));  // it has a default
}

TEST_F(Golden, TheSchemaHasEveryPartWithEveryOption) {
  const training::CatalogueTables tables(test::catalogue());
  const auto schema = nlohmann::json::parse(experiment::json_schema(training::schema(), tables));
  EXPECT_EQ(schema["$schema"], "http://json-schema.org/draft-04/schema#");
  for (const auto& spec : training::schema()) {
    if (!spec.kind) continue;
    const auto& section = spec.array ? schema["properties"][spec.name]["items"] : schema["properties"][spec.name];
    const auto names = tables.names(*spec.kind);
    ASSERT_EQ(section["anyOf"].size(), names.size() + spec.may_be_none) << spec.name;
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto& part = section["anyOf"][i];
      EXPECT_EQ(part["properties"]["name"]["enum"][0], names[i]);
      EXPECT_EQ(part["additionalProperties"], false);
      for (const OptSpec& o : tables.options(*spec.kind, names[i])) EXPECT_TRUE(part["properties"].contains(o.name)) << names[i] << ' ' << o.name;
    }
  }
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
