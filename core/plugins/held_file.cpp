#include "core/plugins/held_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/plugins/digest.hpp"
#include "core/plugins/refusal.hpp"

namespace zstar::plugins {

HeldFile::HeldFile(std::filesystem::path path) : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) throw Refusal{"Z101", "cannot be opened: " + std::string(std::strerror(errno)), "", ""}.error(path_.string());
  ::fstat(descriptor_, &status_);
  try {
    sha256_ = plugins::sha256(descriptor_);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

HeldFile::~HeldFile() { ::close(descriptor_); }

bool HeldFile::unchanged() const {
  const auto same = [this](const struct stat& now) {
    return now.st_dev == status_.st_dev && now.st_ino == status_.st_ino && now.st_size == status_.st_size &&
           now.st_mtim.tv_sec == status_.st_mtim.tv_sec && now.st_mtim.tv_nsec == status_.st_mtim.tv_nsec;
  };
  struct stat held {}, named {};
  return ::fstat(descriptor_, &held) == 0 && ::stat(path_.c_str(), &named) == 0 && same(held) && same(named);
}

}  // namespace zstar::plugins
