/// \file LSUN in its LMDB databases. Layout and source: README.md.
#include <lmdb.h>

#include <bit>
#include <cstring>
#include <fstream>

#include "decoded.hpp"

namespace {

using namespace zstar_images;

/// One of the two headers of a database: numbers that liblmdb uses unseen. \par Source  MDB_page and MDB_meta of liblmdb 0.9 with words of 64 bits
class Header {
 public:
  static_assert(sizeof(std::size_t) == 8 && std::endian::native == std::endian::little);
  static constexpr std::size_t size = 152;
  explicit Header(const std::string& bytes) : bytes_(bytes) {}

  std::uint64_t page_size() const { return number<std::uint32_t>(40); }
  /// \param bytes  of the file
  bool fits(std::uint64_t bytes) const {
    if (bytes_.size() != size || number<std::uint32_t>(16) != 0xBEEFC0DE || !std::has_single_bit(page_size()) || page_size() < 512 || page_size() > 65536) return false;
    const auto last = number<std::uint64_t>(136);
    const auto tree = [&](std::size_t at) {  // of free pages at 40, of entries at 88
      const auto root = number<std::uint64_t>(at + 40);
      return number<std::uint16_t>(at + 6) <= 32 && (root == ~std::uint64_t{0} || (root > 1 && root <= last));
    };
    return last < bytes / page_size() && tree(40) && tree(88);
  }

 private:
  template <class T>
  T number(std::size_t at) const {
    T value{};
    if (at + sizeof(T) <= bytes_.size()) std::memcpy(&value, bytes_.data() + at, sizeof(T));
    return value;
  }
  std::string bytes_;
};

/// A database of one split, opened for reading; several threads may read.
class Database {
 public:
  explicit Database(fs::path folder) : folder_(std::move(folder)) {
    MDB_env* environment = nullptr;
    expect(mdb_env_create(&environment));
    environment_.reset(environment);
    std::error_code absent;
    if (const auto bytes = fs::file_size(folder_ / "data.mdb", absent); !absent) bytes_ = bytes;
    expect_headers();
    expect(mdb_env_set_mapsize(environment, bytes_));  // LMDB takes more where the database says that it has more pages
    expect(mdb_env_open(environment, folder_.c_str(), MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0));
    Reading reading(*this);
    expect(mdb_dbi_open(reading.transaction, nullptr, 0, &table_));
    MDB_cursor* cursor = nullptr;
    expect(mdb_cursor_open(reading.transaction, table_, &cursor));
    MDB_val key, value;
    int code = 0;
    while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) keys_.emplace_back(static_cast<const char*>(key.mv_data), key.mv_size);
    mdb_cursor_close(cursor);
    if (code != MDB_NOTFOUND) expect(code);
    expect(mdb_txn_commit(std::exchange(reading.transaction, nullptr)));  // the handle of the table stays, for all threads
  }

  std::int64_t size() const { return static_cast<std::int64_t>(keys_.size()); }
  const fs::path& folder() const { return folder_; }
  std::string at(std::int64_t index) const {
    const std::string& name = keys_[static_cast<std::size_t>(index)];
    const Reading reading(*this);
    MDB_val key{name.size(), const_cast<char*>(name.data())}, value;
    expect(mdb_get(reading.transaction, table_, &key, &value));
    if (value.mv_size > bytes_) damaged(folder_, "has an entry '" + name + "' that is larger than the database");
    return {static_cast<const char*>(value.mv_data), value.mv_size};
  }

 private:
  struct Reading {
    explicit Reading(const Database& base) { base.expect(mdb_txn_begin(base.environment_.get(), nullptr, MDB_RDONLY, &transaction)); }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    ~Reading() {
      if (transaction) mdb_txn_abort(transaction);
    }
    MDB_txn* transaction = nullptr;
  };
  /// Both headers, before anything is mapped: reading a page behind the end of the file would end the process.
  void expect_headers() const {
    std::ifstream in(folder_ / "data.mdb", std::ios::binary);
    const auto header = [&](std::uint64_t at) {
      std::string bytes(Header::size, '\0');
      in.seekg(static_cast<std::streamoff>(at));
      in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
      bytes.resize(static_cast<std::size_t>(in.gcount()));
      return Header(bytes);
    };
    const Header first = header(0), second = header(first.page_size());
    for (const Header& h : {first, second})
      if (!h.fits(bytes_) || h.page_size() != first.page_size())
        damaged(folder_ / "data.mdb", "is cut short, or no LMDB database: its " + std::to_string(bytes_) + " bytes are not those that a header of it speaks of");
  }
  void expect(int code) const {
    if (code != 0) damaged(folder_, std::string("cannot be read as an LMDB database: ") + mdb_strerror(code));
  }

  fs::path folder_;
  std::uintmax_t bytes_ = 0;
  std::unique_ptr<MDB_env, void (*)(MDB_env*)> environment_{nullptr, mdb_env_close};
  MDB_dbi table_ = 0;
  std::vector<std::string> keys_;
};

class Lsun final : public Unlabelled {
 public:
  struct Options : Unlabelled::Options {
    std::string category = "church_outdoor";
    Options() { size = 256; }
  };
  static auto options() {
    return std::tuple_cat(unlabelled_options<Options>("folder of CATEGORY_train_lmdb and CATEGORY_val_lmdb"),
                          std::tuple{zstar::opt("category", &Options::category, "bedroom, church_outdoor, …")});
  }

  Lsun(const Options& o, zstar::Host&) : Unlabelled(o) {
    for (const auto& [split, ending] : {std::pair(0, "_train_lmdb"), std::pair(1, "_val_lmdb")})
      if (const fs::path folder = fs::path(o.path) / (o.category + ending); fs::is_directory(folder)) splits_[split] = std::make_unique<Database>(folder);
    if (!splits_[0] && !splits_[1]) throw OptionError("path", o.path + " holds neither " + o.category + "_train_lmdb nor " + o.category + "_val_lmdb");
  }

  std::int64_t size(Split split) const override {
    const auto k = static_cast<std::size_t>(split);
    return k < 2 && splits_[k] ? splits_[k]->size() : 0;
  }

 protected:
  Tensor square(Split split, std::int64_t index) const override {
    const Database& base = *splits_[static_cast<std::size_t>(split)];
    try {
      const Tensor pixels = zstar::formats::decode_picture(base.at(index));
      return middle(zstar::formats::with_channels(pixels, channels()), chosen().size, chosen().size);
    } catch (const zstar::formats::FormatError& error) {
      damaged(base.folder() / ("picture " + std::to_string(index)), error.what());
    }
  }

 private:
  std::unique_ptr<Database> splits_[2];
};

}  // namespace

ZSTAR_PLUGIN("zstar.lsun", "0.1.0", "LSUN in its LMDB databases")
ZSTAR_DATASET(Lsun, "lsun", "pictures of one category of LSUN, to be generated")
