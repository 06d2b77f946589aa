#pragma once
/// \file Zip archives in memory. Link: libzip.

#include <zip.h>

#include <algorithm>

#include "zstar/formats/files.hpp"

namespace zstar::formats {

/// An archive to read from. \throws FormatError  for bytes that are no sound archive
class ZipReader {
 public:
  explicit ZipReader(const Bytes& bytes) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), /*freep=*/0, &error);
    zip_t* archive = source ? zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error) : nullptr;
    if (!archive) {
      const int code = zip_error_code_zip(&error);
      const bool cut = code == ZIP_ER_NOZIP || code == ZIP_ER_INCONS || code == ZIP_ER_EOF;
      const std::string words = cut ? ", or is cut short" : std::string(": ") + zip_error_strerror(&error);
      if (source) zip_source_free(source);
      zip_error_fini(&error);
      throw FormatError("is no sound zip archive" + words);
    }
    zip_error_fini(&error);
    archive_.reset(archive);
    for (zip_int64_t i = 0; i < zip_get_num_entries(archive, 0); ++i) {
      const char* name = zip_get_name(archive, static_cast<zip_uint64_t>(i), ZIP_FL_ENC_RAW);
      names_.emplace_back(name ? name : "");
    }
  }

  const std::vector<std::string>& names() const { return names_; }
  bool has(const std::string& name) const { return std::find(names_.begin(), names_.end(), name) != names_.end(); }

  /// The contents of an entry, with its checksum tested. \throws FormatError
  Bytes read(const std::string& name) const {
    const auto at = std::find(names_.begin(), names_.end(), name);
    if (at == names_.end()) throw FormatError("lacks the entry '" + name + "'");
    const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file(zip_fopen_index(archive_.get(), static_cast<zip_uint64_t>(at - names_.begin()), 0), zip_fclose);
    if (!file) throw FormatError("has an entry '" + name + "' that cannot be read: " + zip_strerror(archive_.get()));
    constexpr std::size_t step = std::size_t{1} << 20;
    Bytes bytes;  // grows with what is there: a size that is only announced costs nothing
    while (true) {
      const std::size_t size = bytes.size();
      bytes.resize(size + step);
      const zip_int64_t n = zip_fread(file.get(), bytes.data() + size, step);
      if (n < 0) throw FormatError("has a damaged entry '" + name + "': " + zip_file_strerror(file.get()));
      bytes.resize(size + static_cast<std::size_t>(n));
      if (n == 0) return bytes;
    }
  }

 private:
  std::unique_ptr<zip_t, void (*)(zip_t*)> archive_{nullptr, zip_discard};
  std::vector<std::string> names_;
};

inline bool is_zip(std::string_view bytes) { return bytes.substr(0, 4) == std::string_view("PK\3\4", 4); }

/// Writes an archive of entries as they are, without compression; an old file of that name is replaced.
inline void write_zip(const fs::path& file, const std::vector<std::pair<std::string, std::string>>& entries) {
  int code = 0;
  zip_t* archive = zip_open(file.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  if (!archive) throw std::runtime_error(file.string() + " cannot be written");
  for (const auto& [name, contents] : entries) {
    zip_source_t* source = zip_source_buffer(archive, contents.data(), contents.size(), /*freep=*/0);
    const zip_int64_t index = source ? zip_file_add(archive, name.c_str(), source, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) {
      if (source) zip_source_free(source);
      const std::string words = zip_strerror(archive);
      zip_discard(archive);
      throw std::runtime_error(file.string() + " cannot be written: " + words);
    }
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), ZIP_CM_STORE, 0);
  }
  if (zip_close(archive) == 0) return;
  const std::string words = zip_strerror(archive);
  zip_discard(archive);
  throw std::runtime_error(file.string() + " cannot be written: " + words);
}

}  // namespace zstar::formats
