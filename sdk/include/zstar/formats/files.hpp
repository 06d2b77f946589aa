#pragma once
/// \file Files of data, plain or compressed with gzip: a `.gz` of a file is the file. Link: zlib.
///
/// The headers in zstar/formats are an add-on for parts that read or write files of other programs; zstar/sdk.hpp brings none of them.

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zstar::formats {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

/// The bytes are not what the format says. what(): the words behind the name of the file, "is cut short", and a remedy where the usual one is none.
class FormatError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A fault of a file, said with its name. \param what  may end in a remedy of its own
[[noreturn]] inline void damaged(const fs::path& file, const std::string& what) {
  const bool settled = what.find("\n  remedy: ") != std::string::npos;
  throw std::runtime_error(file.string() + " " + what + (settled ? "" : "\n  remedy: fetch the file again, or name another one"));
}

/// A file that cannot be opened, with the reason. \pre errno says it, unless nothing or a folder is there
[[noreturn]] inline void not_opened(const fs::path& file) {
  const std::string words = std::strerror(errno);
  std::error_code unknown;
  if (!fs::exists(file, unknown)) damaged(file, "cannot be opened: it does not exist\n  remedy: look at the path");
  if (fs::is_directory(file, unknown)) damaged(file, "cannot be opened: it is a folder\n  remedy: name a file, such as one in it");
  damaged(file, "cannot be opened: " + words + "\n  remedy: look at what the file is, and at who may read it");
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

/// The bytes of a file as they are there. \throws std::runtime_error  for a file that cannot be read to its end
inline Bytes stored_bytes(const fs::path& file) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "rb"), std::fclose);
  if (std::error_code unknown; !in || fs::is_directory(file, unknown)) not_opened(file);
  constexpr std::size_t step = std::size_t{1} << 20;
  Bytes bytes;
  for (std::size_t n = step; n == step;) {
    const std::size_t size = bytes.size();
    bytes.resize(size + step);
    n = std::fread(bytes.data() + size, 1, step, in.get());
    bytes.resize(size + n);
  }
  if (std::ferror(in.get())) damaged(file, "cannot be read");
  return bytes;
}

/// Whether a member of a gzip file begins at `at`.
inline bool gzip_at(const Bytes& bytes, std::size_t at) { return at + 1 < bytes.size() && bytes[at] == 0x1f && bytes[at + 1] == 0x8b; }

/// The members of a gzip file, one behind the other; zeros may follow the last. \throws FormatError
inline Bytes gunzipped(const Bytes& packed) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) throw std::bad_alloc();
  const std::unique_ptr<z_stream, int (*)(z_stream*)> ended(&stream, inflateEnd);
  constexpr std::size_t step = std::size_t{1} << 20;
  Bytes bytes;
  std::size_t at = 0;
  while (gzip_at(packed, at)) {
    for (int code = Z_OK; code != Z_STREAM_END;) {
      const std::size_t size = bytes.size(), given = std::min(packed.size() - at, step);
      bytes.resize(size + step);
      stream.next_in = const_cast<Bytef*>(packed.data() + at), stream.avail_in = static_cast<uInt>(given);
      stream.next_out = bytes.data() + size, stream.avail_out = step;
      code = inflate(&stream, Z_NO_FLUSH);
      at += given - stream.avail_in;
      bytes.resize(size + step - stream.avail_out);
      if (code == Z_BUF_ERROR) throw FormatError("is damaged: it ends in the middle of its compressed data");
      if (code != Z_OK && code != Z_STREAM_END) throw FormatError("is damaged: " + std::string(stream.msg ? stream.msg : "its compressed data are not"));
    }
    inflateReset(&stream);
  }
  if (std::any_of(packed.begin() + static_cast<std::ptrdiff_t>(at), packed.end(), [](std::uint8_t byte) { return byte != 0; }))
    throw FormatError("is damaged: " + std::to_string(packed.size() - at) + " bytes that are not compressed follow its compressed data");
  return bytes;
}

/// The contents, decompressed where need be. \throws std::runtime_error  for a file that cannot be read to its end
inline Bytes read_file(const fs::path& file) {
  Bytes bytes = stored_bytes(file);
  if (gzip_at(bytes, 0)) return about(file, [&] { return gunzipped(bytes); });
  return bytes;
}

inline std::string_view as_text(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace zstar::formats
