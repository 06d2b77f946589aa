/// \file Runs of the program itself: resumed after a kill, ended by a signal, refused checkpoints.
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "tests/runs/program.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

TEST(Run, Y16KilledTwentyTimesEndsWithTheWeightsOfAnUninterruptedRun) {
  const Folder whole, killed;
  const Words long_enough{"train.epochs=800"};
  ASSERT_EQ(exit_code(start(command(whole, long_enough))), 0);
  std::mt19937 random(3);
  int while_training = 0;
  for (int kill = 0; kill < 20; ++kill) {
    const int before = saved_step(latest(killed));
    const pid_t pid = start(before >= 0 ? resume(latest(killed)) : command(killed, long_enough));
    if (kill % 5 != 4) wait_until_saved(latest(killed), before + 2);  // every fifth is killed while it starts
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 60));
    ::kill(pid, SIGKILL);
    while_training += WIFSIGNALED(wait_for(pid)) && saved_step(latest(killed)) > before;
  }
  EXPECT_GE(while_training, 14);
  ASSERT_LT(saved_step(latest(killed)), 800) << "the run was over before the last kill";
  ASSERT_EQ(exit_code(start(resume(latest(killed)))), 0);

  expect_same_end(latest(whole), latest(killed));
}

TEST(Run, ATermSignalLeavesACheckpointAndItsOwnExitCode) {
  for (const auto& [signal, code] : {std::pair(SIGTERM, 143), std::pair(SIGINT, 130)}) {
    const Folder folder;
    const pid_t pid = start(command(folder));
    wait_until_saved(latest(folder), 2);
    ::kill(pid, signal);
    EXPECT_EQ(exit_code(pid), code);
    EXPECT_NO_THROW(runs::load(runs::checkpoints(latest(folder)).front()));
  }
}

TEST(Run, ASignalEndsTheTableAtTheEndToo) {
  const Folder folder;
  const fs::path file = folder.path / "x.toml", run = folder.path / "x/latest";
  std::ofstream(file) << "[experiment]\nname = \"x\"\n[dataset]\nname = \"my_dataset\"\nsamples = 5000\n[model]\nname = \"my_model\"\n"
                         "[train]\nsteps = 1\nbatch_size = 1\n[optimizer]\nname = \"sgd\"\n";
  Words words{ZSTAR_BINARY_DIR "/bin/zstar", "run", file.string(), "--plugins", ZSTAR_TEMPLATE_PLUGINS, "--set", "experiment.runs=" + folder.path.string()};
  for (const char* set : {"experiment.threads=1", "eval.batch_size=1"}) words.insert(words.end(), {"--set", set});
  const pid_t pid = start(words, folder.path / "log");
  for (int k = 0; k < 6000 && saved_step(run) < 1; ++k) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ::kill(pid, SIGTERM);

  EXPECT_EQ(exit_code(pid), 143);

  EXPECT_THAT(runs::read_whole(folder.path / "log"), ::testing::HasSubstr("training is done; interrupted before its table, which this makes: zstar eval --checkpoint "));
  EXPECT_EQ(saved_step(run), 1);
}

TEST(Run, GoesOnFromTheCheckpointBeforeADamagedOrForeignOne) {
  const Ended folder;
  const Folder whole;
  ASSERT_EQ(exit_code(start(command(whole))), 0);
  const fs::path run = latest(folder), newest = runs::checkpoints(run).front(), log = folder.path / "log";
  auto foreign = runs::load(newest);
  foreign.tensors["model/another.weight"] = torch::ones({2});
  runs::save(foreign, run / "checkpoints/step-000009000.ckpt");
  fs::resize_file(newest, fs::file_size(newest) / 2);

  ASSERT_EQ(exit_code(start(resume(run), log)), 0);

  const std::string said = runs::read_whole(log);
  EXPECT_THAT(said, ::testing::HasSubstr("step-000009000.ckpt: error: the checkpoint is of another model"));
  EXPECT_THAT(said, ::testing::HasSubstr(newest.filename().string() + ": error: the checkpoint is cut short or damaged"));
  fs::remove(run / "checkpoints/step-000009000.ckpt");
  expect_same_end(latest(whole), run);
}

TEST(Run, HasItsFolderForItself) {
  const Folder folder;
  const pid_t pid = start(command(folder));
  wait_until_saved(latest(folder), 2);

  EXPECT_EQ(exit_code(start(resume(latest(folder)), folder.path / "log")), 1);

  EXPECT_THAT(runs::read_whole(folder.path / "log"), ::testing::HasSubstr("another process is training in this run folder\n  remedy: wait until it ends"));
  ::kill(pid, SIGKILL);
  wait_for(pid);
  EXPECT_EQ(exit_code(start(resume(latest(folder)))), 0);
}

TEST(Run, RecordsWithWhatItGoesOn) {
  const Ended folder;
  const fs::path run = latest(folder);
  const std::string before = runs::read_whole(run / "experiment.toml");
  Words words = resume(run);
  for (const char* word : {"--set", "optimizer.lr=0.0125"}) words.push_back(word);
  const int step = saved_step(run);

  EXPECT_EQ(exit_code(start(words)), 0);

  EXPECT_THAT(runs::read_whole(run / "experiment.toml"), ::testing::HasSubstr("\nlr = 0.0125\n"));
  char kept[40];
  std::snprintf(kept, sizeof kept, "experiment-until-%09d.toml", step);
  EXPECT_EQ(runs::read_whole(run / kept), before);
  const auto record = nlohmann::json::parse(runs::read_whole(run / "run.json"));
  EXPECT_THAT(record["command"], ::testing::HasSubstr("quickstart.toml"));
  ASSERT_EQ(record["continued"].size(), 1u);
  EXPECT_EQ(record["continued"][0]["step"], step);
  EXPECT_THAT(record["continued"][0]["command"], ::testing::HasSubstr("optimizer.lr=0.0125"));
}

TEST(Run, GoesOnWhereItWasKilledBeforeItsRecordWasWhole) {
  const Ended folder;
  const fs::path run = latest(folder);
  for (const char* file : {"run.json", "plugins.lock.toml"}) fs::remove(run / file);

  EXPECT_EQ(exit_code(start(resume(run), folder.path / "log")), 0) << runs::read_whole(folder.path / "log");

  for (const char* file : {"run.json", "plugins.lock.toml"}) EXPECT_TRUE(fs::exists(run / file)) << file;
}

TEST(Run, SaysAtTheEndThatItsLossIsNotFinite) {
  const Folder folder;
  EXPECT_EQ(exit_code(start(command(folder, {"optimizer.lr=1e30", "train.epochs=4", "train.eval_every=1"}), folder.path / "log")), 0);
  const std::string said = runs::read_whole(folder.path / "log");
  EXPECT_THAT(said, ::testing::HasSubstr("warning: the run ended with a loss that is not finite\n  remedy: a smaller optimizer.lr"));
}

TEST(Run, OfNoSampleIsRefused) {
  const Folder folder;
  EXPECT_EQ(exit_code(start(command(folder, {"dataset.train=0.0"}), folder.path / "log")), 2);
  EXPECT_THAT(runs::read_whole(folder.path / "log"), ::testing::HasSubstr("the training split of data set 'chains' is empty\n  expected: a sample to train on\n  remedy: "));
  EXPECT_FALSE(fs::exists(folder.path / "quickstart"));
  EXPECT_EQ(exit_code(start(command(folder, {"dataset.train=0.0", "train.epochs=0"}))), 0);
}

TEST(Run, TakesAnExperimentOrARunToGoOnWithNotBoth) {
  const Folder folder;
  Words words = resume(folder.path);
  words.push_back("another.toml");
  EXPECT_EQ(exit_code(start(words, folder.path / "log")), 2);
  EXPECT_THAT(runs::read_whole(folder.path / "log"), ::testing::HasSubstr("'another.toml' was given too"));
}

/// The last weights as well as the best, and with other roundings too: OpenBLAS of Prescott adds up in another order than that of newer processors.
TEST(Run, OfTheQuickstartEndsAtNinetyNinePercent) {
  for (const char* kernels : {"ZSTAR_NOTHING=", "OPENBLAS_CORETYPE=Prescott"}) {
    const Folder folder;
    ASSERT_EQ(exit_code(start({"/usr/bin/env", kernels, ZSTAR_BINARY_DIR "/bin/zstar", "run", ZSTAR_SOURCE_DIR "/experiments/quickstart.toml", "--set",
                               "experiment.runs=" + folder.path.string()})), 0);
    const auto summary = nlohmann::json::parse(runs::read_whole(latest(folder) / "summary.json"));
    EXPECT_GE(summary["splits"]["test"]["accuracy"], 0.99) << kernels;
    EXPECT_EQ(summary["solves"]["forward"]["budget"], 0);
    double last = 0;
    std::istringstream lines(runs::read_whole(latest(folder) / "metrics.jsonl"));
    for (std::string line; std::getline(lines, line);)
      if (const auto row = nlohmann::json::parse(line); row["kind"] == "test") last = row["accuracy"];
    EXPECT_GE(last, 0.99) << kernels;
  }
}

TEST(Run, IsNotBegunAnewWhereNoCheckpointIsGood) {
  const Ended folder;
  for (const fs::path& file : runs::checkpoints(latest(folder))) fs::resize_file(file, 100);

  EXPECT_EQ(exit_code(start(resume(latest(folder)), folder.path / "log")), 1);

  const std::string said = runs::read_whole(folder.path / "log");
  EXPECT_THAT(said, ::testing::HasSubstr("expected: a checkpoint that zstar wrote\n  remedy: the one before it is tried\n"));
  EXPECT_THAT(said, ::testing::HasSubstr("expected: a checkpoint that zstar wrote\n/"));  // the oldest: there is none before it
  EXPECT_THAT(said, ::testing::HasSubstr("checkpoints can be gone on from\n  remedy: begin anew"));
  EXPECT_THAT(said, ::testing::Not(::testing::HasSubstr("zstar: error:")));
}

TEST(Run, WeightsOfAnotherModelAreRefusedWithARemedy) {
  const Ended folder;
  const Words eval{ZSTAR_BINARY_DIR "/bin/zstar", "eval", "--checkpoint", latest(folder).string(), "--set", "model.hidden=7"};

  EXPECT_EQ(exit_code(start(eval, folder.path / "log")), 1);

  const std::string said = runs::read_whole(folder.path / "log");
  EXPECT_THAT(said, ::testing::HasSubstr(latest(folder).string() + ": error: the checkpoint is of another model:\n  other shape: "));
  EXPECT_THAT(said, ::testing::HasSubstr("\n  remedy: name the experiment that it was trained with"));
}

TEST(Run, KeepsItsLastCheckpointWhenFilesCannotGrow) {
  const Ended folder;
  const fs::path run = latest(folder);
  const int saved = saved_step(run);
  Words words{"sh", "-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "sh"};  // 8 KiB a file
  for (const std::string& w : resume(run)) words.push_back(w);

  EXPECT_EQ(exit_code(start(words, folder.path / "log")), 1);

  EXPECT_THAT(runs::read_whole(folder.path / "log"), ::testing::HasSubstr("cannot be written: File too large\n  remedy: free some space"));
  EXPECT_EQ(saved_step(run), saved);
  EXPECT_NO_THROW(runs::load(runs::checkpoints(run).front()));
}

/// Runs the program with `folder/disk` as a file system of its own. \return exit code; nothing where mounting is not allowed
std::optional<int> on_own_disk(const Folder& folder, const std::string& mount_options, const Words& settings) {
  if (exit_code(start({"unshare", "--map-root-user", "--mount", "true"}, folder.path / "log")) != 0) return std::nullopt;
  fs::create_directory(folder.path / "disk");
  const std::string script = "mount -t tmpfs -o " + mount_options + " disk \"$0/disk\" && { \"$@\"; code=$?; cp -r \"$0/disk\" \"$0/after\"; exit $code; }";
  Words words{"unshare", "--map-root-user", "--mount", "sh", "-c", script, folder.path.string()};
  for (const std::string& w : command(folder, settings)) words.push_back(w);
  return exit_code(start(words, folder.path / "log"));
}

TEST(Run, KeepsItsLastCheckpointWhenTheDiskIsFull) {
  const Folder folder;
  const auto code = on_own_disk(folder, "size=256k", {"experiment.runs=" + (folder.path / "disk").string(), "train.keep_last=100"});
  if (!code) GTEST_SKIP() << "file systems cannot be mounted here";

  EXPECT_EQ(*code, 1) << runs::read_whole(folder.path / "log");
  EXPECT_THAT(runs::read_whole(folder.path / "log"), ::testing::HasSubstr("No space left on device\n  remedy: free some space"));
  const auto files = runs::checkpoints(folder.path / "after/quickstart/latest");
  ASSERT_FALSE(files.empty());
  for (const fs::path& file : files) EXPECT_NO_THROW(runs::load(file));
}

TEST(Run, SaysThatAFolderIsReadOnly) {
  const Folder folder;
  const auto code = on_own_disk(folder, "ro", {"experiment.runs=" + (folder.path / "disk/runs").string()});
  if (!code) GTEST_SKIP() << "file systems cannot be mounted here";

  EXPECT_EQ(*code, 1);
  EXPECT_THAT(runs::read_whole(folder.path / "log"),
              ::testing::HasSubstr("the run folder cannot be made: Read-only file system\n  remedy: choose a folder that you may write, with experiment.runs"));
}

runs::Checkpoint sample() {
  runs::Checkpoint c;
  c.tensors = {{"a", torch::rand({3, 4})}, {"b", torch::arange(5)}, {"empty", torch::empty({0, 2}, torch::kFloat64)}, {"half", torch::rand({2}).to(torch::kBFloat16)}};
  c.state = R"({"step":7})";
  return c;
}

TEST(Checkpoint, ComesBackBitForBit) {
  const Folder folder;
  const auto c = sample();
  runs::save(c, folder.path / "x.ckpt");
  const auto back = runs::load(folder.path / "x.ckpt");
  expect_equal(c, back);
  EXPECT_EQ(back.state, c.state);
}

TEST(Checkpoint, RefusesWhatIsTruncatedForeignOrChanged) {
  const Folder folder;
  const fs::path file = folder.path / "x.ckpt";
  runs::save(sample(), file);
  const std::string good = runs::read_whole(file);
  const auto refused = [&](const std::string& bytes) {
    std::ofstream(file, std::ios::binary) << bytes;
    EXPECT_THROW(runs::load(file), runs::RunError);
  };
  refused("");
  refused("PK\3\4 something else altogether, of another program");
  std::mt19937 random(1);
  for (int k = 0; k < 200; ++k) refused(good.substr(0, random() % good.size()));
  for (int k = 0; k < 200; ++k) {
    std::string bytes = good;
    bytes[random() % bytes.size()] ^= static_cast<char>(1 + random() % 255);
    refused(bytes);
  }
  EXPECT_THROW(runs::load(folder.path / "missing.ckpt"), runs::RunError);
}

TEST(Checkpoint, AFailedWriteLeavesTheOldFile) {
  const Folder folder;
  const fs::path file = folder.path / "x.ckpt";
  runs::save(sample(), file);
  const std::string good = runs::read_whole(file);
  fs::create_directory(folder.path / "x.ckpt.tmp");  // the temporary name is taken: it cannot be opened
  EXPECT_THROW(runs::save(sample(), file), runs::RunError);
  EXPECT_EQ(runs::read_whole(file), good);
}

TEST(RunFolder, IsNeverTheSameTwice) {
  const Folder folder;
  const fs::path a = runs::make_run_folder(folder.path, "x", "same"), b = runs::make_run_folder(folder.path, "x", "same");
  EXPECT_NE(a, b);
  EXPECT_EQ(fs::canonical(folder.path / "x/latest"), fs::canonical(b));
}

}  // namespace
