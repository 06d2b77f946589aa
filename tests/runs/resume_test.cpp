/// \file What a run goes on from, what it refuses to go on from, and what it does not lose.
#include <sys/stat.h>

#include <fstream>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "core/runs/compare.hpp"
#include "core/runs/plot.hpp"
#include "tests/runs/program.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Resume, KeepsTheBestWhereverARunBrokeOff) {
  const Folder whole;
  const std::string constant = "schedule.name=constant";      // whatever the number of epochs
  const Words first_evaluation{"train.epochs=40", constant};  // no later one hides that it was lost
  ASSERT_EQ(exit_code(start(command(whole, first_evaluation))), 0);
  for (const char* file : {"best.ckpt", "step-000000040.ckpt"}) {
    const Ended folder({constant});
    ASSERT_LT(saved_step(latest(folder)), 40) << "the first evaluation was over before the run was ended";
    const fs::path in_the_way = latest(folder) / "checkpoints" / (std::string(file) + ".tmp");
    fs::create_directory(in_the_way);
    EXPECT_EQ(resumed(folder, first_evaluation), 1) << file;
    fs::remove(in_the_way);

    EXPECT_EQ(resumed(folder, first_evaluation), 0) << said(folder);

    expect_same_end(latest(whole), latest(folder));
  }
}

TEST(Resume, RefusesARunWhoseCheckpointsAreOutOfReachAndKeepsItsRecords) {
  const Ended folder({}, 24);
  const fs::path run = latest(folder), place = run / "checkpoints";
  const std::string records = runs::read_whole(run / "metrics.jsonl");
  ASSERT_NE(records, "");
  fs::rename(place, folder.path / "away");
  fs::create_directory_symlink(folder.path / "not-mounted", place);
  EXPECT_EQ(resumed(folder), 1);
  EXPECT_THAT(said(folder), AllOf(HasSubstr("checkpoints: error: the checkpoints cannot be reached: No such file or directory"), HasSubstr("mount what it leads to")));
  fs::remove(place);
  std::ofstream(place) << "a file";
  EXPECT_EQ(resumed(folder), 1);
  EXPECT_THAT(said(folder), HasSubstr("the checkpoints cannot be reached: Not a directory"));
  fs::remove(place);
  EXPECT_EQ(resumed(folder), 1);
  EXPECT_THAT(said(folder), AllOf(HasSubstr("records and no checkpoint to go on from"), HasSubstr("remedy: bring them back")));
  EXPECT_EQ(runs::read_whole(run / "metrics.jsonl"), records);
  fs::rename(folder.path / "away", place);
  EXPECT_EQ(resumed(folder), 0);
}

TEST(Resume, BeginsWithTheWeightsThatTheRunBeganWithWhereItWasKilledBeforeItsFirstCheckpoint) {
  const Ended first, second({"train.weights=" + latest(first).string()});
  const fs::path run = latest(second);
  fs::remove_all(run / "checkpoints");
  fs::remove(run / "metrics.jsonl");

  ASSERT_EQ(resumed(second, {"optimizer.lr=0", "optimizer.weight_decay=0", "train.ema=0", "train.epochs=1"}), 0) << said(second);

  const auto from = runs::load(runs::checkpoints(latest(first)).front()), to = runs::load(runs::checkpoints(run).front());
  for (const auto& [name, tensor] : from.tensors)
    EXPECT_TRUE(name.compare(0, 6, "model/") != 0 || tensor.equal(to.tensors.at(name))) << name;
}

TEST(Resume, SaysWhichSettingsACheckpointCannotBeGoneOnWith) {
  const Ended folder({"train.ema=0"});
  for (const auto& [settings, words] : {std::pair(Words{"optimizer.name=sgd"}, "the checkpoint is of a run with optimizer.name = \"adam\", and this one has \"sgd\""),
                                        std::pair(Words{"experiment.dtype=float64"}, "experiment.dtype = \"float32\", and this one has \"float64\""),
                                        std::pair(Words{"train.ema=0.9"}, "of a run without averaged weights (train.ema = 0), and this one has them")}) {
    EXPECT_EQ(resumed(folder, settings), 1);
    EXPECT_THAT(said(folder), AllOf(HasSubstr(words), Not(HasSubstr("ASSERT")), HasSubstr("remedy: begin anew with 'zstar run "), HasSubstr("--set train.weights=")));
  }
  EXPECT_EQ(resumed(folder), 0) << said(folder);
}

TEST(Resume, TellsNoOldResultOfARunThatGoesOn) {
  const Folder folder;
  ASSERT_EQ(exit_code(start(command(folder, {"train.epochs=4"}))), 0);
  EXPECT_EQ(runs::outcome(latest(folder)).state, "done");

  EXPECT_EQ(resumed(folder, {"train.epochs=40", "optimizer.lr=1e30", "train.on_divergence=stop"}), 1);

  EXPECT_EQ(runs::outcome(latest(folder)).state, "unfinished");
  EXPECT_TRUE(fs::exists(latest(folder) / "summary-until-000000004.json"));
}

TEST(Resume, SaysThatAnOldCheckpointCannotBeRemoved) {
  const Ended folder;
  fs::create_directories(latest(folder) / "checkpoints/step-000000001.ckpt/not-empty");
  EXPECT_EQ(resumed(folder), 0);
  EXPECT_THAT(said(folder), HasSubstr("step-000000001.ckpt: an old checkpoint cannot be removed: Directory not empty\n  remedy: "));
}

TEST(Best, ThatIsDamagedIsSaidAndAnotherOneTaken) {
  const Folder folder;
  ASSERT_EQ(exit_code(start(command(folder, {"train.epochs=4"}))), 0);
  const fs::path run = latest(folder);
  fs::resize_file(run / "checkpoints/best.ckpt", 100);

  EXPECT_EQ(exit_code(start({ZSTAR_BINARY_DIR "/bin/zstar", "eval", "--checkpoint", run.string()}, folder.path / "log")), 0);
  EXPECT_THAT(said(folder), AllOf(HasSubstr("best.ckpt: error: the checkpoint is cut short or damaged"), HasSubstr("remedy: step-000000004.ckpt is taken in its place"), HasSubstr("test accuracy")));
  EXPECT_EQ(resumed(folder), 0);
  EXPECT_THAT(said(folder), AllOf(HasSubstr("remedy: the table has the last weights"), HasSubstr("\nlast "), Not(HasSubstr("\nbest"))));
  EXPECT_EQ(nlohmann::json::parse(runs::read_whole(run / "summary.json"))["checkpoint"], "last");
}

TEST(Best, OfAFolderWithoutCheckpointsIsRefused) {
  const Folder folder;
  const Words eval{ZSTAR_BINARY_DIR "/bin/zstar", "eval", ZSTAR_SOURCE_DIR "/experiments/quickstart.toml", "--checkpoint", folder.path.string()};
  EXPECT_EQ(exit_code(start(eval, folder.path / "log")), 1);
  EXPECT_THAT(said(folder), HasSubstr(folder.path.string() + ": error: the folder holds no checkpoint\n  expected: a checkpoint, or the folder of a run"));
}

TEST(Best, Z22IsSaidToBeSelectedOnTheTestSplitWhereThereIsNoOther) {
  const Folder folder;
  ASSERT_EQ(exit_code(start(command(folder, {"train.epochs=2", "dataset.validation=0", "train.patience=5"}), folder.path / "log")), 0);
  EXPECT_THAT(said(folder), AllOf(HasSubstr("note: the data set has no validation split: best.ckpt is selected on the test split, and train.patience goes by it"),
                                  HasSubstr("best: selected on the test split\n")));
  EXPECT_EQ(nlohmann::json::parse(runs::read_whole(latest(folder) / "summary.json"))["selected_on"], "test");
}

TEST(Output, WhoseReaderHasGoneEndsNoRun) {
  const Folder folder;
  const fs::path pipe = folder.path / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  const pid_t pid = start(command(folder, {"train.log_every=1", "train.epochs=5000"}), pipe);
  wait_until_saved(latest(folder), 4);
  ::close(reader);
  wait_until_saved(latest(folder), saved_step(latest(folder)) + 6);
  ::kill(pid, SIGINT);

  EXPECT_EQ(exit_code(pid), 130);

  EXPECT_NO_THROW(runs::load(runs::checkpoints(latest(folder)).front()));
  EXPECT_TRUE(fs::exists(latest(folder) / "curves.gp"));
}

TEST(Output, ThatCannotBeWrittenIsAFailure) {
  const std::string experiment = ZSTAR_SOURCE_DIR "/experiments/quickstart.toml";
  for (const char* name : {"config", "validate"}) EXPECT_EQ(exit_code(start({ZSTAR_BINARY_DIR "/bin/zstar", name, experiment}, "/dev/full")), 1) << name;
  EXPECT_EQ(exit_code(start({"sh", "-c", "\"$0\" \"$@\" | true", ZSTAR_BINARY_DIR "/bin/zstar", "config", experiment})), 0);
}

TEST(Checkpoint, FilesAreThoseWithAStepByItsNumber) {
  const Folder folder;
  fs::create_directory(folder.path / "checkpoints");
  for (const char* name : {"step-abc.ckpt", "step-000000040.ckpt", "step-1000000000.ckpt", "step-.ckpt", "step-000000050.ckpt.tmp", "best.ckpt", "st"})
    std::ofstream(folder.path / "checkpoints" / name) << "";
  Words names;
  for (const fs::path& file : runs::checkpoints(folder.path)) names.push_back(file.filename().string());
  EXPECT_EQ(names, (Words{"step-1000000000.ckpt", "step-000000040.ckpt"}));
}

TEST(RunFolder, LeavesAFolderLatestAsItIs) {
  const Folder folder;
  fs::create_directories(folder.path / "x/latest/of-a-person");
  runs::make_run_folder(folder.path, "x", "same");
  for (const auto& entry : fs::directory_iterator(folder.path / "x")) EXPECT_NE(entry.path().filename().string().front(), '.') << entry.path();
  EXPECT_TRUE(fs::exists(folder.path / "x/latest/of-a-person"));
}

TEST(Curves, AreDrawnWithoutWhatALogarithmicAxisCannotShow) {
  const Folder folder;
  const std::string sentence = runs::draw(folder.path / "c.svg", {{"forward_residual_max", {{"train", "1 0.0\n2 0.0\n"}}},
                                                                  {"backward_residual_max", {{"train", "1 1e-3\n2 0.0\n3 1e-5\n"}, {"test", "1 0\n"}}},
                                                                  {"loss", {{"train", "1 0.0\n2 -1.0\n"}}}});
  EXPECT_THAT(sentence, ::testing::AnyOf("", HasSubstr("gnuplot is missing; install gnuplot-nox")));
  EXPECT_THAT(runs::read_whole(folder.path / "c.gp"), Not(HasSubstr("forward_residual_max")));
  EXPECT_EQ(runs::read_whole(folder.path / "c.dat"), "# backward_residual_max of train\n1 1e-3\n3 1e-5\n\n\n# loss of train\n1 0.0\n2 -1.0\n\n\n");
}

TEST(Curves, TellAMissingProgramFromOneThatFails) {
  const Folder folder;
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", folder.path.c_str(), 1);
  const runs::Panels panels{{"loss", {{"train", "1 0.5\n"}}}};
  EXPECT_THAT(runs::draw(folder.path / "c.svg", panels), HasSubstr("gnuplot is missing; install"));
  std::ofstream(folder.path / "gnuplot") << "#!/bin/sh\nexit 1\n";
  fs::permissions(folder.path / "gnuplot", fs::perms::owner_all);
  EXPECT_THAT(runs::draw(folder.path / "c.svg", panels), AllOf(HasSubstr("gnuplot failed; 'gnuplot c.gp' in "), HasSubstr("says why")));
  ::setenv("PATH", path.c_str(), 1);
}

}  // namespace
