#include "core/plugins/mapped.hpp"

#include <elf.h>
#include <link.h>

#include <cstring>

namespace zstar::plugins {
namespace {

std::string hex(const unsigned char* bytes, std::size_t n) {
  std::string text;
  for (std::size_t i = 0; i < n; ++i) {
    text += "0123456789abcdef"[bytes[i] >> 4];
    text += "0123456789abcdef"[bytes[i] & 15];
  }
  return text;
}

/// The build id among the notes of a segment that the loader has mapped.
std::string build_id(const unsigned char* notes, std::size_t size) {
  for (std::size_t at = 0; at + sizeof(ElfW(Nhdr)) <= size;) {
    ElfW(Nhdr) header;
    std::memcpy(&header, notes + at, sizeof header);
    const std::size_t owner = at + sizeof header, text = owner + (std::size_t{header.n_namesz} + 3) / 4 * 4;
    if (text + header.n_descsz > size) return "";
    if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 && std::memcmp(notes + owner, "GNU", 4) == 0) return hex(notes + text, header.n_descsz);
    at = text + (std::size_t{header.n_descsz} + 3) / 4 * 4;
  }
  return "";
}

int note(dl_phdr_info* info, std::size_t, void* data) {
  const std::string_view path = info->dlpi_name;
  MappedLibrary library{std::string(path.substr(path.find_last_of('/') + 1)), ""};
  for (int i = 0; i < info->dlpi_phnum && library.build_id.empty(); ++i)
    if (const auto& segment = info->dlpi_phdr[i]; segment.p_type == PT_NOTE)
      library.build_id = build_id(reinterpret_cast<const unsigned char*>(info->dlpi_addr + segment.p_vaddr), segment.p_memsz);
  static_cast<std::vector<MappedLibrary>*>(data)->push_back(std::move(library));
  return 0;
}

}  // namespace

std::vector<MappedLibrary> mapped() {
  std::vector<MappedLibrary> libraries;
  dl_iterate_phdr(note, &libraries);
  return libraries;
}

MappedLibrary mapped_library(std::string_view prefix) {
  for (MappedLibrary& library : mapped())
    if (prefix.empty() ? library.name.empty() : library.name.compare(0, prefix.size(), prefix) == 0) return library;
  return {};
}

}  // namespace zstar::plugins
