/// \file LSUN in its LMDB databases. Layout and source: README.md.
#include "decoded.hpp"
#include "lmdb.hpp"

namespace {

using namespace zstar_images;

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
      if (const fs::path folder = fs::path(o.path) / (o.category + ending); fs::is_directory(folder)) splits_[split] = std::make_unique<Lmdb>(folder / "data.mdb");
    if (!splits_[0] && !splits_[1]) throw OptionError("path", o.path + " holds neither " + o.category + "_train_lmdb nor " + o.category + "_val_lmdb");
  }

  std::int64_t size(Split split) const override {
    const auto k = static_cast<std::size_t>(split);
    return k < 2 && splits_[k] ? splits_[k]->size() : 0;
  }

 protected:
  Tensor square(Split split, std::int64_t index) const override {
    const Lmdb& base = *splits_[static_cast<std::size_t>(split)];
    try {
      const Tensor pixels = zstar::formats::decode_picture(base.at(index));
      return middle(zstar::formats::with_channels(pixels, channels()), chosen().size, chosen().size);
    } catch (const zstar::formats::FormatError& error) {
      damaged(base.file(), "has a damaged picture, " + std::to_string(index) + ": it " + error.what());
    }
  }

 private:
  std::unique_ptr<Lmdb> splits_[2];
};

}  // namespace

ZSTAR_DATASET(Lsun, "lsun", "pictures of one category of LSUN, to be generated")
