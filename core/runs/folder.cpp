#include "core/runs/folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <sstream>

namespace zstar::runs {
namespace fs = std::filesystem;
namespace {

/// \param allowed  what to do where the place may not be written
[[noreturn]] void fail(const fs::path& path, const std::string& what, int error, const std::string& allowed = "give yourself write access, or take a copy of the folder to where you have it") {
  std::string remedy = "check the path";
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) remedy = "free some space; what was saved before is untouched";
  if (error == EACCES || error == EROFS || error == EPERM) remedy = allowed;
  throw RunError(path.string() + ": error: " + what + ": " + std::strerror(error) + "\n  remedy: " + remedy);
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::string without_remedy(std::string message) {
  message.resize(std::min(message.size(), message.find("\n  remedy: ")));
  return message;
}

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(folder, "the folder cannot be made", error.value(), "choose a folder that you may write");
}

fs::path make_run_folder(const fs::path& root, const std::string& name, const std::string& identity) {
  const char* const elsewhere = "choose a folder that you may write, with experiment.runs";
  std::error_code error;
  fs::create_directories(root / name, error);
  if (error) fail(root / name, "the run folder cannot be made", error.value(), elsewhere);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    char hash[16];
    std::snprintf(hash, sizeof hash, "%06zx", std::hash<std::string>{}(identity + std::to_string(attempt) + std::to_string(::getpid())) & 0xffffff);
    const fs::path folder = root / name / (utc_now() + "-" + hash);
    if (!fs::create_directory(folder, error)) {
      if (error) fail(folder, "the run folder cannot be made", error.value(), elsewhere);
      continue;  // it exists: never written into
    }
    const fs::path link = root / name / "latest", temporary = root / name / (".latest-" + std::string(hash));
    fs::create_directory_symlink(folder.filename(), temporary, error);
    fs::rename(temporary, link, error);
    if (error) fs::remove(temporary, error);  // 'latest' is a folder, say
    return folder;
  }
  fail(root / name, "no free name for a run folder", EEXIST);
}

FolderLock::FolderLock(const fs::path& run) : fd_(::open(run.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (fd_ < 0) fail(run, "the run folder cannot be opened", errno);
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;  // a file system without locks is no reason not to train
  ::close(fd_);
  throw RunError(run.string() + ": error: another process is training in this run folder\n  remedy: wait until it ends, or begin a run of its own: 'zstar run " +
                 (run / "experiment.toml").string() + "'");
}

FolderLock::~FolderLock() { ::close(fd_); }

std::vector<fs::path> runs_below(const fs::path& root) {
  const auto is_run = [](const fs::path& folder) {
    std::error_code unknown;
    return fs::exists(folder / "experiment.toml", unknown);
  };
  if (is_run(root)) return {root};
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(root, error), end; !error && entry != end; entry.increment(error)) {
    if (!entry->is_directory() || entry->is_symlink() || !is_run(entry->path())) continue;
    found.push_back(entry->path());
    entry.disable_recursion_pending();
  }
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) { return a.filename() < b.filename(); });
  return found;
}

void move(const fs::path& file, const fs::path& name) {
  if (::rename(file.c_str(), name.c_str()) != 0) fail(name, "cannot be put in place", errno);
}

void write_whole(const fs::path& file, const std::string& bytes) {
  const fs::path temporary = file.string() + ".tmp";
  {
    const Descriptor out(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (out.get() < 0) fail(file, "cannot be written", errno);
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::write(out.get(), bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        const int error = errno;
        ::unlink(temporary.c_str());
        fail(file, "cannot be written", error);
      }
      done += static_cast<std::size_t>(n);
    }
    if (::fsync(out.get()) != 0) fail(file, "cannot be flushed to the disk", errno);
  }
  move(temporary, file);
  const Descriptor folder(file.parent_path().empty() ? "." : file.parent_path(), O_RDONLY | O_DIRECTORY);
  if (folder.get() >= 0) ::fsync(folder.get());
}

std::string read_whole(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  if (!in || fs::is_directory(file) || !(out << in.rdbuf())) fail(file, "cannot be read", errno ? errno : EISDIR);
  return out.str();
}

}  // namespace zstar::runs
