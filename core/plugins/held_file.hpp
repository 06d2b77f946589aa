#pragma once
/// \file A plugin file held open from its hash to its load, so that what was hashed is what is loaded.

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace zstar::plugins {

class HeldFile {
 public:
  /// Opens and hashes a file. \throws PluginError  Z101
  explicit HeldFile(std::filesystem::path path);
  HeldFile(const HeldFile&) = delete;
  HeldFile& operator=(const HeldFile&) = delete;
  ~HeldFile();

  const std::filesystem::path& path() const { return path_; }
  const std::string& sha256() const { return sha256_; }
  std::uintmax_t size() const { return static_cast<std::uintmax_t>(status_.st_size); }
  /// Whether the path still leads to the file that was hashed, and nobody wrote to it.
  bool unchanged() const;

 private:
  std::filesystem::path path_;
  int descriptor_;
  struct stat status_ {};
  std::string sha256_;
};

}  // namespace zstar::plugins
