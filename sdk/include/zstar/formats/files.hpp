#pragma once
/// \file Files of data, plain or compressed with gzip: a `.gz` of a file is the file. Link: zlib.
///
/// The headers in zstar/formats are an add-on for parts that read or write files of other programs; zstar/sdk.hpp brings none of them.

#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zstar::formats {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

/// The bytes are not what the format says. what(): the words behind the name of the file, "is cut short".
class FormatError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A fault of a file, said with its name.
[[noreturn]] inline void damaged(const fs::path& file, const std::string& what) {
  throw std::runtime_error(file.string() + " " + what + "\n  remedy: fetch the file again, or name another one");
}

/// Calls read(); a FormatError becomes a sentence about that file.
template <class F>
decltype(auto) about(const fs::path& file, F&& read) {
  try {
    return std::forward<F>(read)();
  } catch (const FormatError& error) {
    damaged(file, error.what());
  }
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

inline std::string_view as_text(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace zstar::formats
