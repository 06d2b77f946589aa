#include "core/plugins/elf.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

namespace zstar::plugins {
namespace {

constexpr std::uint64_t most_notes = 64 * 1024, most_headers = 256, most_dynamic = 64 * 1024;

struct Refused {
  Refusal refusal;
};
[[noreturn]] void refuse(std::string code, std::string what, std::string expected = "", std::string remedy = "") {
  throw Refused{{std::move(code), std::move(what), std::move(expected), std::move(remedy)}};
}

const char* const rebuild = "copy or build it again";

/// An open regular file with reads that stay inside it.
class File {
 public:
  explicit File(const std::filesystem::path& path) : fd_(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
    if (fd_ < 0) {
      const int error = errno;
      if (error == EACCES || error == EPERM) refuse("Z102", "permission denied", "a file that you may read", "chmod +r");
      refuse("Z101", std::string("cannot be opened: ") + std::strerror(error));
    }
    if (::fstat(fd_, &status_) != 0 || !S_ISREG(status_.st_mode)) {
      ::close(fd_);
      fd_ = -1;
      refuse("Z103", "not a regular file", "a shared library");
    }
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }

  std::uint64_t size() const { return static_cast<std::uint64_t>(status_.st_size); }
  const struct stat& status() const { return status_; }
  bool holds(std::uint64_t offset, std::uint64_t length) const { return offset <= size() && length <= size() - offset; }

  std::string read(std::uint64_t offset, std::uint64_t length) const {
    std::string bytes(length, '\0');
    std::uint64_t done = 0;
    while (done < length) {
      const ssize_t n = ::pread(fd_, bytes.data() + done, length - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) refuse("Z109", "the file is cut short: it ended while it was read", "", rebuild);
      done += static_cast<std::uint64_t>(n);
    }
    return bytes;
  }

 private:
  int fd_;
  struct stat status_ {};
};

template <class T>
T as(std::string_view bytes, std::uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

Elf64_Ehdr read_header(const File& file) {
  const std::uint64_t size = file.size();
  if (size < sizeof(Elf64_Ehdr)) {
    const std::string start = file.read(0, std::min<std::uint64_t>(size, 4));
    if (size >= 4 && start != std::string_view(ELFMAG, 4)) refuse("Z105", "not a shared library (no ELF header)");
    refuse("Z104", "the file has " + std::to_string(size) + " bytes, less than an ELF header", "", rebuild);
  }
  const auto header = as<Elf64_Ehdr>(file.read(0, sizeof(Elf64_Ehdr)), 0);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) refuse("Z105", "not a shared library (no ELF header)");
  constexpr int machine =
#if defined(__aarch64__)
      EM_AARCH64;
#else
      EM_X86_64;
#endif
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB)
    refuse("Z106", "built for another processor (32-bit or big-endian)", "64-bit, little-endian", "build it on this machine");
  if (header.e_machine != machine)
    refuse("Z106", "built for another processor (machine " + std::to_string(header.e_machine) + ", this one is " +
                       std::to_string(machine) + ")", "", "build it on this machine");
  if (header.e_type == ET_REL) refuse("Z107", "an object file, not a shared library", "", "link it with zstar_add_plugin");
  if (header.e_type != ET_DYN) refuse("Z111", "a program without a zstar tag", "a shared library", "");
  return header;
}

std::vector<Elf64_Phdr> read_segments(const File& file, const Elf64_Ehdr& header) {
  const std::uint64_t length = std::uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 || header.e_phnum > most_headers ||
      !file.holds(header.e_phoff, length))
    refuse("Z108", "the program header table is damaged", "", rebuild);
  const std::string bytes = file.read(header.e_phoff, length);
  std::vector<Elf64_Phdr> segments;
  for (std::uint64_t i = 0; i < header.e_phnum; ++i) segments.push_back(as<Elf64_Phdr>(bytes, i * sizeof(Elf64_Phdr)));
  const auto expect = [&file](std::uint64_t offset, std::uint64_t size) {
    if (!file.holds(offset, size)) refuse("Z109", "the file is cut short: " + std::to_string(file.size()) + " bytes of at least " + std::to_string(offset + size), "", rebuild);
  };
  for (const Elf64_Phdr& s : segments)
    if (s.p_type != PT_GNU_STACK && s.p_filesz > 0) expect(s.p_offset, s.p_filesz);
  if (header.e_shoff > 0) expect(header.e_shoff, std::uint64_t{header.e_shnum} * header.e_shentsize);  // behind what debuggers read, where files end
  return segments;
}

/// The records of one note segment that belong to us.
void read_notes(std::string_view bytes, FileTag& tag) {
  std::uint64_t at = 0;
  while (at + 12 <= bytes.size()) {
    const auto owner_size = as<std::uint32_t>(bytes, at), text_size = as<std::uint32_t>(bytes, at + 4),
               type = as<std::uint32_t>(bytes, at + 8);
    const std::uint64_t owner_at = at + 12, text_at = owner_at + (std::uint64_t{owner_size} + 3) / 4 * 4,
                        end = text_at + std::uint64_t{text_size};
    if (end > bytes.size()) refuse("Z113", "a note reaches beyond its segment", "", rebuild);
    const bool ours = owner_size == 6 && bytes.substr(owner_at, 6) == std::string_view("zstar\0", 6);
    if (ours) {
      const std::string_view text = bytes.substr(text_at, text_size);
      const auto lines = parse_lines(text);
      if (!lines || (type != 1 && type != 2)) refuse("Z113", "the zstar tag is damaged", "lines of key=value", rebuild);
      if (type == 2) tag.provides.push_back(*lines);
      else if (!tag.ident.empty()) refuse("Z112", "two identities in one file", "one", "keep one ZSTAR_PLUGIN line");
      else tag.ident = *lines, tag.ident_text = text;
    }
    at = (end + 3) / 4 * 4;
  }
}

std::optional<std::uint64_t> offset_of(std::uint64_t address, const std::vector<Elf64_Phdr>& segments) {
  for (const Elf64_Phdr& s : segments)
    if (s.p_type == PT_LOAD && address >= s.p_vaddr && address - s.p_vaddr < s.p_filesz)
      return s.p_offset + (address - s.p_vaddr);
  return std::nullopt;
}

std::vector<std::string> read_needed(const File& file, const std::vector<Elf64_Phdr>& segments) {
  std::vector<std::uint64_t> names;
  std::uint64_t strings = 0;
  for (const Elf64_Phdr& s : segments) {
    if (s.p_type != PT_DYNAMIC) continue;
    const std::string bytes = file.read(s.p_offset, std::min<std::uint64_t>(s.p_filesz, most_dynamic));
    for (std::uint64_t at = 0; at + sizeof(Elf64_Dyn) <= bytes.size(); at += sizeof(Elf64_Dyn)) {
      const auto entry = as<Elf64_Dyn>(bytes, at);
      if (entry.d_tag == DT_NULL) break;
      if (entry.d_tag == DT_NEEDED) names.push_back(entry.d_un.d_val);
      if (entry.d_tag == DT_STRTAB) strings = entry.d_un.d_ptr;
    }
  }
  const auto table = offset_of(strings, segments);
  std::vector<std::string> needed;
  if (!table) return needed;
  for (const std::uint64_t name : names) {
    const std::uint64_t at = *table + name;
    if (name > file.size() || at >= file.size()) refuse("Z113", "a library name lies outside the file", "", rebuild);
    const std::string bytes = file.read(at, std::min<std::uint64_t>(256, file.size() - at));
    needed.emplace_back(bytes.c_str());
  }
  return needed;
}

FileTag read(const File& file) {
  const auto segments = read_segments(file, read_header(file));
  FileTag tag;
  tag.device = file.status().st_dev;
  tag.inode = file.status().st_ino;
  std::uint64_t notes = 0;
  for (const Elf64_Phdr& s : segments)
    if (s.p_type == PT_NOTE && (notes += s.p_filesz) > most_notes) refuse("Z110", "notes larger than 64 KiB");
  for (const Elf64_Phdr& s : segments)
    if (s.p_type == PT_NOTE && s.p_filesz > 0) read_notes(file.read(s.p_offset, s.p_filesz), tag);
  if (tag.ident.empty())
    refuse("Z111", "no zstar tag", "a plugin",
           "write ZSTAR_PLUGIN(…) in one source file, and link with zstar_add_plugin");
  for (const Elf64_Phdr& s : segments)
    if (s.p_type == PT_GNU_STACK && (s.p_flags & PF_X))
      refuse("Z114", "asks for an executable stack", "", "link with -z noexecstack, as zstar_add_plugin does");
  tag.needed = read_needed(file, segments);
  return tag;
}

}  // namespace

std::string value_of(const Lines& lines, std::string_view key) {
  for (const auto& [k, v] : lines)
    if (k == key) return v;
  return "";
}

std::optional<Lines> parse_lines(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '\0') continue;
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    lines.emplace_back(line.substr(0, equals), line.substr(equals + 1));
  }
  return lines;
}

std::variant<FileTag, Refusal> read_tag(const std::filesystem::path& path) {
  try {
    return read(File(path));
  } catch (const Refused& refused) {
    return refused.refusal;
  }
}

}  // namespace zstar::plugins
