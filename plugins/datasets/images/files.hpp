#pragma once
/// \file Files of images, plain or compressed with gzip: a `.gz` of a file is the file.

#include <zlib.h>

#include <array>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace zstar_images {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

/// A fault of a file, said with its name.
[[noreturn]] inline void damaged(const fs::path& file, const std::string& what) {
  throw std::runtime_error(file.string() + " " + what + "\n  remedy: fetch the file again, or name another folder");
}

/// `folder/name`, or `folder/name.gz`; empty if neither is there.
inline fs::path find_file(const fs::path& folder, const std::string& name) {
  for (const std::string& candidate : {name, name + ".gz"})
    if (std::error_code error; fs::is_regular_file(folder / candidate, error)) return folder / candidate;
  return {};
}

/// The contents, decompressed where need be. \throws std::runtime_error  for a file that cannot be read to its end
inline Bytes read_file(const fs::path& file) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> in(gzopen(file.c_str(), "rb"), gzclose);
  if (!in) damaged(file, "cannot be opened");
  constexpr std::size_t step = std::size_t{1} << 20;
  Bytes bytes;
  while (true) {
    const std::size_t size = bytes.size();
    bytes.resize(size + step);
    const int n = gzread(in.get(), bytes.data() + size, step);
    bytes.resize(size + static_cast<std::size_t>(n > 0 ? n : 0));
    if (n < static_cast<int>(step)) break;
  }
  int code = Z_OK;
  const char* words = gzerror(in.get(), &code);
  if (code != Z_OK) damaged(file, "is damaged: " + std::string(code == Z_BUF_ERROR ? "it ends in the middle of its compressed data" : words));
  return bytes;
}

}  // namespace
}  // namespace zstar_images
