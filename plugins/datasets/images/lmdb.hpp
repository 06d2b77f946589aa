#pragma once
/// \file Entries of an LMDB database. liblmdb maps the file and trusts its pages: a damaged one would end the process. Here each is checked before it is used.

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <zstar/formats/files.hpp>

namespace zstar_images {
namespace {

namespace fs = std::filesystem;

/// The bytes of a page, or of the beginning of one, and the numbers in them. \par Source  MDB_page, MDB_meta and MDB_node of liblmdb 0.9 with words of 64 bits
class LmdbPage {
 public:
  static_assert(std::endian::native == std::endian::little);
  enum Kind : std::uint16_t { branch = 1, leaf = 2, overflow = 4, meta = 8 };
  static constexpr std::size_t header = 16, whole_meta = 152;
  explicit LmdbPage(std::string bytes) : bytes_(std::move(bytes)) {}

  std::uint64_t number() const { return field<std::uint64_t>(0); }
  bool is(Kind kind) const { return (field<std::uint16_t>(10) & (branch | leaf | overflow | meta)) == kind; }

  /// \name Of a page of the tree: its nodes
  /// \{
  std::size_t nodes() const { return (field<std::uint16_t>(12) - header) / 2; }
  bool has_nodes() const { return field<std::uint16_t>(12) > header + 1 && field<std::uint16_t>(12) <= bytes_.size(); }
  /// Where a node begins: 8 bytes, then its key, then its value or the number of the page with it.
  std::size_t node(std::size_t index) const { return field<std::uint16_t>(header + 2 * index); }
  bool holds(std::size_t at, std::uint64_t size) const { return at <= bytes_.size() && size <= bytes_.size() - at; }
  std::uint64_t child(std::size_t at) const { return field<std::uint32_t>(at) | std::uint64_t{field<std::uint16_t>(at + 4)} << 32; }
  std::uint64_t value_size(std::size_t at) const { return field<std::uint32_t>(at); }
  bool value_elsewhere(std::size_t at) const { return (node_flags(at) & 1) != 0; }
  bool value_is_table(std::size_t at) const { return (node_flags(at) & 6) != 0; }
  std::size_t value(std::size_t at) const { return at + 8 + field<std::uint16_t>(at + 6); }
  std::uint64_t value_page(std::size_t at) const { return field<std::uint64_t>(value(at)); }
  /// \}

  /// \name Of one of the two first pages
  /// \{
  bool is_meta() const { return is(meta) && field<std::uint32_t>(16) == 0xBEEFC0DE && field<std::uint32_t>(20) == 1; }
  std::uint64_t page_size() const { return field<std::uint32_t>(40); }
  std::uint64_t depth() const { return field<std::uint16_t>(94); }
  std::uint64_t entries() const { return field<std::uint64_t>(120); }
  std::uint64_t root() const { return field<std::uint64_t>(128); }
  std::uint64_t transaction() const { return field<std::uint64_t>(144); }
  /// \}

 private:
  std::uint16_t node_flags(std::size_t at) const { return field<std::uint16_t>(at + 4); }
  /// Zero behind the end.
  template <class T>
  T field(std::size_t at) const {
    T value{};
    if (holds(at, sizeof(T))) std::memcpy(&value, bytes_.data() + at, sizeof(T));
    return value;
  }
  std::string bytes_;
};

/// The values of the main table in the order of its keys. Several threads may read.
/// \throws std::runtime_error  with the name of the file, for whatever the format does not allow
class Lmdb {
 public:
  explicit Lmdb(fs::path file) : file_(std::move(file)), in_(file_) {
    const LmdbPage first(in_.read(0, LmdbPage::whole_meta));
    page_size_ = first.page_size();
    if (!first.is_meta() || !std::has_single_bit(page_size_) || page_size_ < 512 || page_size_ > 65536) fail("is cut short, or no LMDB database");
    const LmdbPage second(in_.read(page_size_, LmdbPage::whole_meta));
    if (!second.is_meta() || second.page_size() != page_size_) fail("is cut short, or no LMDB database");
    const LmdbPage& newest = first.transaction() > second.transaction() ? first : second;
    pages_ = in_.size() / page_size_;
    if (newest.root() != ~std::uint64_t{0}) {
      std::vector<bool> seen(pages_);
      walk(newest.root(), newest.depth(), seen);
    }
    if (entries_.size() != newest.entries())
      fail("is damaged: it has " + std::to_string(entries_.size()) + " entries and speaks of " + std::to_string(newest.entries()));
  }

  const fs::path& file() const { return file_; }
  std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }
  std::string at(std::int64_t index) const {
    const Entry& e = entries_[static_cast<std::size_t>(index)];
    if (e.elsewhere && !page(e.at / page_size_, LmdbPage::header).is(LmdbPage::overflow))
      fail("is damaged: no value begins in page " + std::to_string(e.at / page_size_) + ", where entry " + std::to_string(index) + " has its own");
    return in_.read(e.elsewhere ? e.at + LmdbPage::header : e.at, e.size);
  }

 private:
  struct Entry {
    std::uint64_t at, size;  ///< in bytes; at: the page, for a value that has pages of its own
    bool elsewhere;
  };
  class In {
   public:
    explicit In(const fs::path& file) : descriptor_(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {
      if (descriptor_ < 0) zstar::formats::not_opened(file);
      std::error_code none;  // of a folder of that name, for one: then no header is found
      if (const auto bytes = fs::file_size(file, none); !none) size_ = bytes;
    }
    In(const In&) = delete;
    In& operator=(const In&) = delete;
    ~In() { ::close(descriptor_); }
    std::uint64_t size() const { return size_; }
    /// Fewer bytes where the file ends.
    std::string read(std::uint64_t at, std::uint64_t size) const {
      std::string bytes(at < size_ ? std::min(size, size_ - at) : 0, '\0');
      std::size_t filled = 0;
      for (ssize_t n = 1; n > 0 && filled < bytes.size(); filled += static_cast<std::size_t>(std::max<ssize_t>(n, 0)))
        n = ::pread(descriptor_, bytes.data() + filled, bytes.size() - filled, static_cast<off_t>(at + filled));
      bytes.resize(filled);
      return bytes;
    }

   private:
    int descriptor_;
    std::uint64_t size_ = 0;
  };

  LmdbPage page(std::uint64_t number, std::size_t bytes) const {
    LmdbPage p(in_.read(number * page_size_, bytes));
    if (!p.holds(0, bytes) || p.number() != number) fail("is damaged: page " + std::to_string(number) + " is another one");
    return p;
  }
  void expect_there(std::uint64_t page, std::uint64_t pages) const {
    if (page >= pages_ || pages > pages_ - page)
      fail("is cut short or damaged: it has " + std::to_string(in_.size()) + " bytes, and something of it in page " + std::to_string(page) + " behind them");
  }
  /// \param depth  levels of the tree that are left, this page's among them \param seen  pages that a tree led to
  void walk(std::uint64_t number, std::uint64_t depth, std::vector<bool>& seen) {
    const std::string place = "page " + std::to_string(number);
    expect_there(number, 1);
    if (number < 2 || seen[number] || depth == 0 || depth > 32)
      fail("is damaged: the tree of its entries leads to " + place + ", where none can be");
    seen[number] = true;
    const LmdbPage p = page(number, page_size_);
    if (!p.is(depth == 1 ? LmdbPage::leaf : LmdbPage::branch) || !p.has_nodes())
      fail("is damaged: " + place + " is no page of the tree of its entries");
    for (std::size_t i = 0; i < p.nodes(); ++i) {
      const std::size_t at = p.node(i);
      if (depth > 1 && p.holds(at, 8))
        walk(p.child(at), depth - 1, seen);
      else if (depth > 1 || !p.holds(at, 8) || !add(p, at))
        fail("is damaged: node " + std::to_string(i) + " of " + place + " does not fit");
    }
  }
  bool add(const LmdbPage& p, std::size_t node) {
    if (p.value_is_table(node)) fail("has tables inside of its table; a database of pictures has one table");
    const std::uint64_t size = p.value_size(node);
    if (!p.value_elsewhere(node)) {
      if (!p.holds(p.value(node), size)) return false;
      entries_.push_back({p.number() * page_size_ + p.value(node), size, false});
      return true;
    }
    const std::uint64_t at = p.value_page(node);
    if (!p.holds(p.value(node), 8) || at < 2) return false;
    expect_there(at, (LmdbPage::header + size + page_size_ - 1) / page_size_);
    entries_.push_back({at * page_size_, size, true});
    return true;
  }
  [[noreturn]] void fail(const std::string& what) const { zstar::formats::damaged(file_, what); }

  fs::path file_;
  In in_;
  std::uint64_t page_size_ = 0, pages_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace
}  // namespace zstar_images
