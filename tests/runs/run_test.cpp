/// \file Runs of the program itself: resumed after a kill, ended by a signal, refused checkpoints.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "core/runs/checkpoint.hpp"
#include "core/runs/folder.hpp"

extern char** environ;

namespace {

namespace fs = std::filesystem;
using namespace zstar;

struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "zstar-run-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

/// Starts the program on two epochs' worth of a short experiment; its output goes nowhere.
pid_t start(const Folder& folder, const fs::path& resume = {}) {
  const std::string program = ZSTAR_BINARY_DIR "/bin/zstar", file = ZSTAR_SOURCE_DIR "/experiments/quickstart.toml";
  std::vector<std::string> words{program, "run"};
  if (!resume.empty()) words.insert(words.end(), {"--resume", resume.string()});
  else
    for (const char* s : {"train.epochs=120", "train.checkpoint_every=3", "train.log_every=10", "train.eval_every=40"}) words.insert(words.end(), {"--set", s});
  if (resume.empty()) words.insert(words.end(), {"--set", "experiment.runs=" + folder.path.string(), "--set", "experiment.threads=1", file});
  std::vector<char*> argv;
  for (auto& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  EXPECT_EQ(posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

fs::path latest(const Folder& folder) { return folder.path / "quickstart/latest"; }

void expect_equal(const runs::Checkpoint& a, const runs::Checkpoint& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, t] : a.tensors) {
    if (name == "optimizer") continue;  // an archive: same numbers, other order of entries
    EXPECT_TRUE(t.equal(b.tensors.at(name))) << name;
  }
}

TEST(Run, KilledTwentyTimesEndsWithTheWeightsOfAnUninterruptedRun) {
  const Folder whole, killed;
  ASSERT_EQ(wait_for(start(whole)), 0);
  std::mt19937 random(3);
  for (int kill = 0; kill < 20; ++kill) {
    const pid_t pid = start(killed, fs::exists(latest(killed)) ? latest(killed) : fs::path());
    std::this_thread::sleep_for(std::chrono::milliseconds(400 + random() % 500));
    ::kill(pid, SIGKILL);
    wait_for(pid);
  }
  ASSERT_EQ(wait_for(start(killed, fs::exists(latest(killed)) ? latest(killed) : fs::path())), 0);

  expect_equal(runs::load(runs::checkpoints(latest(whole)).front()), runs::load(runs::checkpoints(latest(killed)).front()));
}

TEST(Run, ATermSignalLeavesACheckpointAndItsOwnExitCode) {
  const Folder folder;
  const pid_t pid = start(folder);
  for (int k = 0; k < 200 && (!fs::exists(latest(folder)) || runs::checkpoints(latest(folder)).empty()); ++k)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ::kill(pid, SIGTERM);
  const int status = wait_for(pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 143);
  EXPECT_NO_THROW(runs::load(runs::checkpoints(latest(folder)).front()));
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
