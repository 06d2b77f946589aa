#pragma once
/// \file Run folders: one a run, never overwritten; files are written whole or not at all.

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace zstar::runs {

/// A file or folder that cannot be written or read: path, what happened, remedy.
class RunError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A message without its remedy, for where another one is at hand.
std::string without_remedy(std::string message);

/// Makes a folder and those that it lies in, where they are not there. \throws RunError
void make_folders(const std::filesystem::path& folder);

/// Makes ROOT/NAME/TIME-HASH and points ROOT/NAME/latest to it. \param identity  text that the hash is made of
std::filesystem::path make_run_folder(const std::filesystem::path& root, const std::string& name, const std::string& identity);

/// Keeps other processes from training in a run folder while it lives. The system lets go when the process ends, however it ends.
class FolderLock {
 public:
  /// \throws RunError  if another process holds it
  explicit FolderLock(const std::filesystem::path& run);
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();

 private:
  int fd_;
};

/// The folder, if it is that of a run, or every run below it, the oldest first; links are not followed.
std::vector<std::filesystem::path> runs_below(const std::filesystem::path& root);

/// Writes to a temporary name, flushes it to the disk, and renames. \throws RunError  the old file is then untouched
void write_whole(const std::filesystem::path& file, const std::string& bytes);

/// Gives a file another name. \throws RunError
void move(const std::filesystem::path& file, const std::filesystem::path& name);

std::string read_whole(const std::filesystem::path& file);

}  // namespace zstar::runs
