/// \file Several official sets in one, as stages of training on Sintel have it.
#include "official.hpp"

namespace {

using namespace zstar_flow_files;

class Mixed final : public Pairs {
 public:
  struct Options {
    std::string sintel, kitti, hd1k, things, passes = "clean";
    std::vector<std::int64_t> crop = {368, 768}, repeat = {100, 200, 5, 1};
    double min_scale = -0.2, max_scale = 0.6;
  };
  static auto options() {
    using O = Options;
    return std::tuple{zstar::opt("sintel", &O::sintel, "folder of Sintel, clean and final"),
                      zstar::opt("kitti", &O::kitti, "folder of KITTI 2015, scales 2^-0.3 to 2^0.5; empty: left out"),
                      zstar::opt("hd1k", &O::hd1k, "folder of HD1K, scales 2^-0.5 to 2^0.2; empty: left out"),
                      zstar::opt("things", &O::things, "folder of FlyingThings3D; empty: left out"),
                      zstar::choice("passes", &O::passes, "of FlyingThings3D: which rendering", {"clean", "final", "both"}),
                      zstar::opt("min_scale", &O::min_scale, "of Sintel and FlyingThings3D: least scale of the augmentation, as a power of 2", zstar::within(-3.0, 3.0)),
                      zstar::opt("max_scale", &O::max_scale, "of Sintel and FlyingThings3D: largest scale of the augmentation, as a power of 2", zstar::within(-3.0, 3.0)),
                      zstar::opt("crop", &O::crop, "height and width of training crops", zstar::at_least(8), "pixels"),
                      zstar::opt("repeat", &O::repeat, "how often an epoch has the pairs of Sintel, KITTI, HD1K and FlyingThings3D", zstar::at_least(0))};
  }

  Mixed(const Options& o, zstar::Host& host) {
    if (o.sintel.empty()) throw OptionError("sintel", "sintel is not set; name the folder of the data: --set dataset.sintel=FOLDER");
    if (o.repeat.size() != 4) throw OptionError("repeat", "repeat has " + std::to_string(o.repeat.size()) + " numbers; expected four");
    add<Sintel>("sintel", o.sintel, {.passes = "both", .crop = o.crop, .min_scale = o.min_scale, .max_scale = o.max_scale}, o.repeat[0], host);
    add<Kitti>("kitti", o.kitti, {.crop = o.crop, .min_scale = -0.3, .max_scale = 0.5}, o.repeat[1], host);
    add<Hd1k>("hd1k", o.hd1k, {.crop = o.crop, .min_scale = -0.5, .max_scale = 0.2}, o.repeat[2], host);
    add<Things>("things", o.things, {.passes = o.passes, .crop = o.crop, .min_scale = o.min_scale, .max_scale = o.max_scale}, o.repeat[3], host);
    if (size(Split::train) == 0) throw OptionError("repeat", "repeat leaves nothing to train on: the sets that are given have 0; expected 1 or more for one of them");
  }

  zstar::Description describe() const override { return {{{"channels", 3}}}; }
  std::int64_t size(Split split) const override {
    std::int64_t n = 0;
    for (const Part& part : parts_) n += part.times(split) * part.set->size(split);
    return n;
  }

  std::pair<std::int64_t, std::int64_t> place(Split split, std::int64_t index) const override {
    const auto [part, own] = find(split, index);
    const auto [sequence, frame] = parts_[part].set->place(split, own);
    return {sequence * static_cast<std::int64_t>(parts_.size()) + static_cast<std::int64_t>(part), frame};  // different for every part
  }
  Pair pair(Split split, std::int64_t index, std::uint64_t seed) const override {
    const auto [part, own] = find(split, index);
    return parts_[part].set->pair(split, own, seed);
  }
  std::string name(Split split, std::int64_t index) const override {
    const auto [part, own] = find(split, index);
    return parts_[part].set->name(split, own);
  }
  Benchmark benchmark(Split split, std::int64_t index) const override {
    const auto [part, own] = find(split, index);
    return parts_[part].set->sparse() ? Benchmark::kitti : parts_[part].set->benchmark(split, own);  // HD1K only trains
  }

 private:
  struct Part {
    std::unique_ptr<Pairs> set;
    std::int64_t repeat;
    std::int64_t times(Split split) const { return split == Split::train ? repeat : 1; }
  };

  template <class Layout>
  void add(const std::string& option, const std::string& path, OfficialOptions o, std::int64_t repeat, zstar::Host& host) {
    if (path.empty()) return;
    o.path = path;
    parts_.push_back({std::make_unique<Official<Layout>>(o, host, option), repeat});
  }

  /// The part that a sample is of, and its index there.
  std::pair<std::size_t, std::int64_t> find(Split split, std::int64_t index) const {
    for (std::size_t part = 0;; ++part) {
      const std::int64_t size = parts_[part].set->size(split), all = parts_[part].times(split) * size;
      if (index < all) return {part, index % size};
      index -= all;
    }
  }

  std::vector<Part> parts_;
};

}  // namespace

ZSTAR_DATASET(Mixed, "flow_mix", "Sintel with KITTI, HD1K and FlyingThings3D, validated on Sintel and KITTI")
