#pragma once
/// \file The program on short runs: started, waited for, ended, and what it left behind.

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include <gtest/gtest.h>

#include "core/runs/checkpoint.hpp"
#include "core/runs/folder.hpp"
#include "core/runs/records.hpp"

extern char** environ;

namespace zstar::test {

namespace fs = std::filesystem;

struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "zstar-run-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

using Words = std::vector<std::string>;

/// The words that start the program on a short run with checkpoints every other step, or that go on with one.
inline Words command(const Folder& folder, const Words& more = {}) {
  Words words{ZSTAR_BINARY_DIR "/bin/zstar", "run", ZSTAR_SOURCE_DIR "/experiments/quickstart.toml"};
  Words settings{"experiment.runs=" + folder.path.string(), "experiment.threads=1", "train.epochs=240", "train.checkpoint_every=2", "train.log_every=10",
                 "train.eval_every=40", "train.ema=0.9"};
  settings.insert(settings.end(), more.begin(), more.end());
  for (const std::string& s : settings) words.insert(words.end(), {"--set", s});
  return words;
}
inline Words resume(const fs::path& run) { return {ZSTAR_BINARY_DIR "/bin/zstar", "run", "--resume", run.string()}; }

/// \param output  file for what it says; empty: nowhere
inline pid_t start(Words words, const fs::path& output = {}) {
  std::vector<char*> argv;
  for (auto& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, output.empty() ? "/dev/null" : output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (!output.empty()) posix_spawn_file_actions_adddup2(&actions, 1, 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t pipe;
  sigemptyset(&pipe), sigaddset(&pipe, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &pipe);  // whoever started the tests may ignore it
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  EXPECT_EQ(posix_spawnp(&pid, words[0].c_str(), &actions, &attributes, argv.data(), environ), 0);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

inline int wait_for(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}
inline int exit_code(pid_t pid) {
  const int status = wait_for(pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

inline fs::path latest(const Folder& folder) { return folder.path / "quickstart/latest"; }

/// Step of the newest checkpoint; -1: there is none.
inline int saved_step(const fs::path& run) {
  const auto files = runs::checkpoints(run);
  return files.empty() ? -1 : std::stoi(files.front().stem().string().substr(5));
}

inline void wait_until_saved(const fs::path& run, int step) {
  for (int k = 0; k < 1000 && saved_step(run) < step; ++k) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

inline void expect_equal(const runs::Checkpoint& a, const runs::Checkpoint& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, t] : a.tensors) {
    if (name == "optimizer") continue;  // an archive: same numbers, other order of entries
    EXPECT_TRUE(t.equal(b.tensors.at(name))) << name;
  }
}

/// The records of a run without what a clock says.
inline std::vector<nlohmann::ordered_json> timeless(const fs::path& run) {
  auto records = runs::read_records(run);
  for (auto& r : records)
    for (const char* key : {"seconds_data", "seconds_forward", "seconds_backward", "samples_per_second"}) r.erase(key);
  return records;
}

inline void expect_same_end(const fs::path& a, const fs::path& b) {
  expect_equal(runs::load(runs::checkpoints(a).front()), runs::load(runs::checkpoints(b).front()));
  expect_equal(runs::load(a / "checkpoints/best.ckpt"), runs::load(b / "checkpoints/best.ckpt"));
  EXPECT_EQ(timeless(a), timeless(b));
}

/// A run that was ended early, with two checkpoints or more.
struct Ended : Folder {
  explicit Ended(const Words& more = {}, int step = 8) {
    const pid_t pid = start(command(*this, more));
    wait_until_saved(latest(*this), step);
    ::kill(pid, SIGTERM);
    EXPECT_EQ(exit_code(pid), 143);
  }
};

/// Goes on with a run. \return exit code; what it says is in folder/log
inline int resumed(const Folder& folder, const Words& settings = {}) {
  Words words = resume(latest(folder));
  for (const std::string& s : settings) words.insert(words.end(), {"--set", s});
  return exit_code(start(words, folder.path / "log"));
}
inline std::string said(const Folder& folder) { return runs::read_whole(folder.path / "log"); }

}  // namespace zstar::test
