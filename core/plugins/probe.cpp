#include "core/plugins/probe.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <random>

#include "core/plugins/elf.hpp"
#include "core/plugins/mapped.hpp"

extern char** environ;

namespace zstar::plugins {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

std::string nonce() {
  std::random_device random;
  std::string text;
  for (int i = 0; i < 4; ++i) text += std::to_string(random()) + '-';
  return text;
}

/// The environment without a device: a probing process must not create a context.
std::vector<std::string> child_environment() {
  std::vector<std::string> all{"CUDA_VISIBLE_DEVICES="};
  for (char** entry = environ; *entry; ++entry)
    if (std::strncmp(*entry, "CUDA_VISIBLE_DEVICES=", 21) != 0) all.emplace_back(*entry);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& w : words) result.push_back(w.data());
  result.push_back(nullptr);
  return result;
}

/// A child in a process group of its own, its output on our standard error, and the pipe on which it answers.
class Child {
 public:
  explicit Child(std::vector<std::string> words) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe for a probe: " + std::string(std::strerror(errno)));
    answer_ = ends[0];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], probe_descriptor);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    std::vector<std::string> environment = child_environment();
    const int error = ::posix_spawn(&pid_, words[0].c_str(), &actions, &attributes, pointers(words).data(), pointers(environment).data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    if (error != 0) {
      ::close(answer_);
      throw std::runtime_error("the probe '" + words[0] + "' cannot be started: " + std::strerror(error));
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    end();
    ::close(answer_);
  }

  struct Heard {
    std::string text;
    bool in_time = true;
  };
  /// What it writes until it ends, closes the pipe, or its time is up.
  Heard listen(double seconds) {
    const auto deadline = Clock::now() + std::chrono::duration<double>(seconds);
    std::string text;
    while (true) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
      if (left <= 0) return {text, /*in_time=*/false};
      pollfd wait{answer_, POLLIN, 0};
      const int ready = ::poll(&wait, 1, static_cast<int>(std::min<long long>(left, 50)));
      if (ready > 0) {
        char buffer[4096];
        const ssize_t n = ::read(answer_, buffer, sizeof buffer);
        if (n <= 0) return {text};
        text.append(buffer, static_cast<std::size_t>(n));
      } else if (ended()) {
        return {text};  // whatever it left behind may hold the pipe open
      }
    }
  }

  /// Ends the whole group. \return its status as waitpid gives it
  int end() {
    if (pid_ == 0) return status_;
    const auto limit = Clock::now() + std::chrono::milliseconds(200);  // one that has answered is on its way out
    while (!ended() && Clock::now() < limit) ::poll(nullptr, 0, 1);
    ::kill(-pid_, SIGKILL);
    while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return status_;
  }

 private:
  bool ended() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
  }

  pid_t pid_ = 0;
  int answer_ = -1, status_ = 0;
};

std::vector<std::string> split_fields(const std::string& text) {
  std::vector<std::string> result(1);
  for (const char c : text) {
    if (c == field_end) result.emplace_back();
    else result.back() += c;
  }
  return result;
}

/// Whether the child must load LibTorch's CUDA libraries before: they are not linked, and a file that needs them would be refused.
bool needs_cuda(const fs::path& file) {
  const auto read = read_tag(file);
  const auto* tag = std::get_if<FileTag>(&read);
  return tag && (value_of(tag->ident, "cuda") != "none" ||
                 std::any_of(tag->needed.begin(), tag->needed.end(), [](const std::string& n) { return n.find("cuda") != std::string::npos; }));
}

const char* const advice = "run 'zstar plugins check FILE' under a debugger, or ask its author; nothing of it was loaded here";

/// What became of a child that did not answer. \param stage  what it was doing, as far as it said
Refusal lost(int status, const std::string& stage) {
  if (WIFSIGNALED(status)) {
    if (WTERMSIG(status) == SIGXCPU) return {"Z153", "did not finish within its processor time " + stage, "", advice};
    return {"Z152", "died by SIG" + std::string(::sigabbrev_np(WTERMSIG(status))) + " " + stage, "", advice};
  }
  return {"Z154", "ended the process (status " + std::to_string(WEXITSTATUS(status)) + ") " + stage, "", advice};
}

fs::path cached(const HeldFile& file, const ProbeSettings& settings) {
  const std::string program = mapped_library("").build_id;
  if (settings.cache.empty() || program.empty()) return {};
  return settings.cache / (file.sha256() + "-" + program.substr(0, 16));
}

/// A cache that cannot be written is no reason to refuse a plugin.
void remember(const fs::path& entry) {
  if (entry.empty()) return;
  std::error_code error;
  fs::create_directories(entry.parent_path(), error);
  std::ofstream out(entry);
  out << "good\n";
}

}  // namespace

ProbeReport probe(const HeldFile& file, const ProbeSettings& settings) {
  const std::string word = nonce(), name = file.path().string();
  std::vector<std::string> command{settings.program.string(), "probe", "--", fs::absolute(file.path()).string(), word};
  if (needs_cuda(file.path())) command.emplace_back("cuda");
  Child child(std::move(command));
  const auto [text, in_time] = child.listen(settings.seconds);
  const int status = child.end();
  // Stages, then the nonce, the code, and what belongs to it; the nonce again says that nothing is missing.
  const std::vector<std::string> said = split_fields(text);
  std::size_t at = 0;
  std::string stage = "while starting";
  while (at < said.size() && said[at].compare(0, 6, "while ") == 0) stage = said[at++];
  if (!in_time) throw Refusal{"Z153", "did not finish within " + std::to_string(static_cast<int>(settings.seconds)) + " s " + stage, "", advice}.error(name);
  if (said.size() < at + 3 || said[at] != word || said.back() != word) throw lost(status, stage).error(name);
  const std::string& code = said[at + 1];
  if (code != "good") throw PluginError(code, said[at + 2]);
  ProbeReport report;
  for (std::size_t i = at + 2; i + 1 < said.size(); ++i) (said[i][0] == 'w' ? report.warnings : report.faults).push_back(said[i].substr(1));
  if (file.unchanged()) remember(cached(file, settings));
  return report;
}

void probe_once(const HeldFile& file, const ProbeSettings& settings) {
  const fs::path entry = cached(file, settings);
  if (!entry.empty() && fs::exists(entry)) return;
  probe(file, settings);
}

}  // namespace zstar::plugins
