/// \file What the program answers to words that it cannot take: the mistake, what is taken, the remedy, the exit code.
#include <regex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/process.hpp"

namespace {

namespace fs = std::filesystem;
using namespace zstar;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string quickstart = "experiments/quickstart.toml ";

test::Finished program(const std::string& words) {
  return test::shell("cd " ZSTAR_SOURCE_DIR " && " ZSTAR_BINARY_DIR "/bin/zstar " + words);
}

void says(const std::string& words, int status, const std::string& sentence) {
  const auto got = program(words);
  EXPECT_EQ(got.status, status) << words << '\n' << got.text;
  EXPECT_THAT(got.text, HasSubstr(sentence)) << words;
}

TEST(Words, ThatAreTooManyAreNamed) {
  says("validate " + quickstart + "extra", 2, "zstar validate: error: one file is taken, 2 were given: 'experiments/quickstart.toml', 'extra'\n  expected: zstar validate FILE");
  says("schema extra", 2, "zstar schema: error: this command takes options alone, no other words");
  says("run --resume a --resume b", 2, "one --resume is taken, 2 were given: 'a', 'b'");
}

TEST(Words, ASeedIsNotNegative) {
  for (const char* command : {"verify " ZSTAR_BINARY_DIR "/plugins/zstar-anderson.so", "render experiments"})
    says(std::string(command) + " --seed=-3", 2, "error: --seed is -3\n  expected: an integer of at least 0\n  remedy: give such a seed, as [experiment] seed is");
}

TEST(Words, OfPluginsHaveTheNearestName) {
  says("plugins show andersen", 2, "zstar plugins: error: no part is called 'andersen'\n  expected: the name of a part, or ID:NAME\n  did you mean: 'anderson'?");
  says("plugins show weight_nrom", 2, "did you mean: 'weight_norm'?\n  remedy: 'zstar plugins list'");  // of any kind
  says("plugins shw", 2, "zstar plugins: error: unknown word 'shw'\n  expected: list, show NAME, or check FILE …\n  did you mean: 'show'?");
  says("new solver anderson", 2, "zstar new: error: there is a solver 'anderson' already");
}

TEST(Words, ThatNameNoRunNoFileOrNoFolderSaySo) {
  const test::TemporaryFolder folder;
  folder.write("experiment.toml", "");
  says("run --resume nowhere", 2, "zstar run: error: 'nowhere' is no run folder\n  expected: a folder that 'zstar run' made\n  remedy: 'zstar runs' lists them");
  says("run experiments", 2, "zstar run: error: 'experiments' is a folder\n  expected: an experiment file\n  remedy: name a file in it");
  says("run " + folder.path.string(), 2, "is a folder, that of a run\n  expected: an experiment file\n  remedy: 'zstar run --resume " + folder.path.string());
  says("eval --checkpoint " + quickstart, 2, "'experiments/quickstart.toml' is not a checkpoint\n  expected: a checkpoint or a run folder");
  says("data show /nowhere", 2, "zstar data: error: '/nowhere' is not there\n  expected: a file or folder of data\n  remedy: look at the path");
  says("validate " + quickstart + "--plugins /nowhere", 2, "zstar validate: error: --plugins names '/nowhere', which is no folder");
  says("plugins list --plugins /nowhere", 2, "zstar plugins: error: --plugins names '/nowhere', which is no folder");
}

TEST(Words, PredictionsThatAreFilesAreRendered) {
  const test::TemporaryFolder folder;
  const auto run = program("run experiments/flow_classical.toml -s dataset.train=1 -s dataset.test=1 -s model.method=zero -s experiment.runs=" + folder.path.string());
  EXPECT_EQ(run.status, 0) << run.text;
  says("predict --checkpoint " + (folder.path / "flow_classical/latest").string(), 1, "are files, not rows of numbers\n  remedy: 'zstar render' writes them");
}

TEST(Words, OfPlacesThatCannotBeWrittenHaveARemedyForThem) {
  for (const char* words : {"new solver mine /proc/q", "docs /proc/q"})
    says(words, 1, "/proc/q: error: the folder cannot be made: No such file or directory\n  remedy: check the path");
  if (test::shell("unshare --map-root-user --mount true").status != 0) GTEST_SKIP() << "file systems cannot be mounted here";
  const test::TemporaryFolder folder;
  const std::string at = folder.path.string(), program = ZSTAR_BINARY_DIR "/bin/zstar ";
  fs::copy_file(ZSTAR_SOURCE_DIR "/experiments/quickstart.toml", folder.path / "q.toml");
  const auto on_read_only = [&](const std::string& words) {
    return test::shell("unshare --map-root-user --mount sh -c 'mount --bind " + at + " " + at + " && mount -o remount,ro,bind " + at + " && cd " + at + " && " + program + words + "'");
  };
  EXPECT_THAT(on_read_only("new solver mine").text, HasSubstr("mine: error: the folder cannot be made: Read-only file system\n  remedy: choose a folder that you may write"));
  const auto lock = on_read_only("lock q.toml").text;
  EXPECT_THAT(lock, HasSubstr("plugins.lock.toml: error: cannot be written: Read-only file system\n  remedy: give yourself write access"));
  EXPECT_THAT(lock, Not(HasSubstr("zstar: error:")));
}

TEST(Words, OfAModelThatIsTooLargeSayHowMuchItTakes) {
  const auto got = program("run " + quickstart + "-s model.hidden=9999999 --dry-run");
  EXPECT_EQ(got.status, 1);
  EXPECT_THAT(got.text, HasSubstr("zstar.ignn could not create model \"ignn\": not enough memory for "));
  EXPECT_THAT(got.text, HasSubstr(" bytes\n  remedy: make the model, the batch or the memory of the solver smaller"));
  EXPECT_THAT(got.text, Not(HasSubstr("alloc_cpu")));
}

TEST(Words, OfValidationAreJsonWhateverTheBytes) {
  const test::TemporaryFolder folder;
  const std::string file = folder.write("x.toml", "[train]\nlog_every = \"\xff\"\n").string();
  says("validate --json " + file, 2, "\"remedy\": \"save the file in UTF-8\"");
}

TEST(Words, OfAConfigurationSayThatPhantomTreatsAllSampledStatesAlike) {
  const auto intermediate = [](const std::string& words) {  // name, steps and beta, without the origins
    const std::string table = std::regex_replace(program("config " + quickstart + words).text, std::regex(" +#[^\n]*"), "");
    const auto from = table.find("[gradient.intermediate]\n");
    return from == std::string::npos ? "none" : table.substr(from, table.find("every", from) - from);
  };
  const std::string lists = "-s gradient.name=phantom -s gradient.states=3 -s gradient.steps=[1,2,8] -s gradient.beta=0.5 ";
  EXPECT_EQ(intermediate(lists), "[gradient.intermediate]\nname = \"phantom\"\nsteps = [1, 2, 8]\nbeta = 0.5\n");
  EXPECT_EQ(intermediate(lists + "-s gradient.intermediate.steps=4"), "[gradient.intermediate]\nname = \"phantom\"\nsteps = [4]\nbeta = 1.0\n");
  EXPECT_EQ(intermediate("-s gradient.states=3"), "[gradient.intermediate]\nname = \"phantom\"\nsteps = [1]\nbeta = 1.0\n");
}

TEST(Words, OfAConfigurationSayTheSameWhenReadAgain) {
  const test::TemporaryFolder folder;
  const auto config = [&](const std::string& file) { return std::regex_replace(program("config " + file).text, std::regex(" +#[^\n]*"), ""); };
  const std::string once = config(folder.write("a.toml", "[dataset]\nname = \"chains\"\n[model]\nname = \"ignn\"\n[solver]\nname = \"chain\"\n").string());
  EXPECT_THAT(once, HasSubstr("{ name = \"fixed_point\", beta = 0.5 }"));
  EXPECT_EQ(config(folder.write("b.toml", once).string()), once);
}

TEST(Words, OfTheVersionAreNumbers) { EXPECT_THAT(program("--version").text, HasSubstr("\nBoost 1.")); }

}  // namespace
