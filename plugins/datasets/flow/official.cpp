/// \file FlyingChairs, FlyingThings3D, Sintel, KITTI 2015 and HD1K in their official layouts.
#include <algorithm>
#include <fstream>

#include "files.hpp"
#include "pairs.hpp"

namespace {

using namespace zstar_flow_files;
namespace fs = std::filesystem;
using zstar::OptionError;
using zstar::formats::about;
using zstar::formats::read_file;

struct Sample {
  fs::path image1, image2, flow;
  std::int64_t sequence = 0, frame = 0;
};

struct Options {
  std::string path, passes = "clean", split_file;
  std::vector<std::int64_t> crop;
  double min_scale = -0.1, max_scale = 1.0;
  bool flip = true;
};

auto option_table() {
  using O = Options;
  return std::tuple{
      zstar::opt("path", &O::path, "folder of the official layout"),
      zstar::choice("passes", &O::passes, "Sintel and FlyingThings3D: which rendering", {"clean", "final", "both"}),
      zstar::opt("split_file", &O::split_file, "FlyingChairs: list of marks, 1 training, 2 validation; empty: all pairs train"),
      zstar::opt("crop", &O::crop, "height and width of training crops, which turn augmentation on; empty: whole images as they are", zstar::at_least(8), "pixels"),
      zstar::opt("min_scale", &O::min_scale, "least scale of the augmentation, as a power of 2", zstar::within(-3.0, 3.0)),
      zstar::opt("max_scale", &O::max_scale, "largest scale of the augmentation, as a power of 2", zstar::within(-3.0, 3.0)),
      zstar::opt("flip", &O::flip, "augmentation mirrors images")};
}

/// Files of a folder with this ending, sorted. \throws std::runtime_error  if there is no such folder
std::vector<fs::path> listed(const fs::path& folder, const std::string& ending) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (const std::string name = entry->path().filename().string(); ending.empty() ? entry->is_directory() : name.size() > ending.size() && name.ends_with(ending)) files.push_back(entry->path());
  if (error) throw std::runtime_error(folder.string() + " cannot be listed: " + error.message() + "\n  remedy: name the folder above it: --set dataset.path=FOLDER");
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> passes_of(const Options& o) { return o.passes == "both" ? std::vector<std::string>{"clean", "final"} : std::vector{o.passes}; }

/// Where the pairs of a set lie. `sparse`: flow is known at some pixels only.
struct Chairs {
  static constexpr bool sparse = false;
  static void list(const Options& o, std::vector<Sample> (&splits)[3]) {
    const fs::path root = fs::is_directory(fs::path(o.path) / "data") ? fs::path(o.path) / "data" : fs::path(o.path);
    const auto images = listed(root, ".ppm"), flows = listed(root, ".flo");
    if (images.size() != 2 * flows.size())
      throw std::runtime_error(root.string() + " has " + std::to_string(images.size()) + " images and " + std::to_string(flows.size()) + " flows; expected two images for each flow");
    std::vector<int> marks(flows.size(), 1);
    if (!o.split_file.empty()) {
      std::ifstream in(o.split_file);
      marks.clear();
      for (int mark = 0; in >> mark;) marks.push_back(mark);
      if (marks.size() != flows.size())
        throw OptionError("split_file", o.split_file + " has " + std::to_string(marks.size()) + " marks for " + std::to_string(flows.size()) + " pairs");
    }
    for (std::size_t i = 0; i < flows.size(); ++i) splits[marks[i] == 1 ? 0 : 1].push_back({images[2 * i], images[2 * i + 1], flows[i], static_cast<std::int64_t>(i), 0});
  }
};

struct Things {
  static constexpr bool sparse = false;
  static void list(const Options& o, std::vector<Sample> (&splits)[3]) {
    const fs::path root = o.path;
    std::int64_t video = 0;
    for (const std::string& pass : passes_of(o))
      for (const fs::path& letter : listed(root / ("frames_" + pass + "pass/TRAIN"), ""))
        for (const fs::path& scene : listed(letter, "")) {
          const auto images = listed(scene / "left", ".png");
          for (const std::string direction : {"future", "past"}) {
            const auto flows = listed(root / "optical_flow/TRAIN" / letter.filename() / scene.filename() / ("into_" + direction) / "left", ".pfm");
            for (std::size_t i = 0; i + 1 < std::min(images.size(), flows.size()); ++i) {
              const bool future = direction == "future";
              splits[0].push_back({images[future ? i : i + 1], images[future ? i + 1 : i], flows[future ? i : i + 1], video, static_cast<std::int64_t>(i)});
            }
            ++video;
          }
        }
  }
};

struct Sintel {
  static constexpr bool sparse = false;
  static void list(const Options& o, std::vector<Sample> (&splits)[3]) {
    const fs::path root = fs::path(o.path) / "training";
    std::int64_t video = 0;
    for (const std::string& pass : passes_of(o))
      for (const fs::path& scene : listed(root / pass, "")) {
        const auto images = listed(scene, ".png"), flows = listed(root / "flow" / scene.filename(), ".flo");
        for (std::size_t i = 0; i + 1 < images.size() && i < flows.size(); ++i) {
          const Sample s{images[i], images[i + 1], flows[i], video, static_cast<std::int64_t>(i)};
          splits[0].push_back(s), splits[1].push_back(s);  // the test set has no public truth
        }
        ++video;
      }
  }
};

struct Kitti {
  static constexpr bool sparse = true;
  static void list(const Options& o, std::vector<Sample> (&splits)[3]) {
    const fs::path root = fs::path(o.path) / "training";
    const auto first = listed(root / "image_2", "_10.png"), second = listed(root / "image_2", "_11.png"), flows = listed(root / "flow_occ", "_10.png");
    for (std::size_t i = 0; i < std::min({first.size(), second.size(), flows.size()}); ++i) {
      const Sample s{first[i], second[i], flows[i], static_cast<std::int64_t>(i), 0};
      splits[0].push_back(s), splits[1].push_back(s);
    }
  }
};

struct Hd1k {
  static constexpr bool sparse = true;
  static void list(const Options& o, std::vector<Sample> (&splits)[3]) {
    const fs::path images = fs::path(o.path) / "hd1k_input/image_2";
    std::int64_t video = -1;
    std::string before;
    const auto flows = listed(fs::path(o.path) / "hd1k_flow_gt/flow_occ", ".png");
    for (std::size_t i = 0; i + 1 < flows.size(); ++i) {
      const std::string sequence = flows[i].filename().string().substr(0, 6), next = flows[i + 1].filename().string();
      video += sequence != before;
      before = sequence;
      if (next.substr(0, 6) == sequence) splits[0].push_back({images / flows[i].filename(), images / next, flows[i], video, static_cast<std::int64_t>(i)});
    }
  }
};

template <class Layout>
class Official final : public Pairs {
 public:
  using Options = ::Options;
  static auto options() { return option_table(); }

  Official(const Options& o, zstar::Host&) {
    if (o.path.empty()) throw OptionError("path", "path is not set; name the folder of the data: --set dataset.path=FOLDER");
    if (!o.crop.empty() && o.crop.size() != 2) throw OptionError("crop", "crop has " + std::to_string(o.crop.size()) + " numbers; expected height and width");
    if (o.min_scale > o.max_scale) throw OptionError("min_scale", "min_scale is above max_scale");
    Layout::list(o, splits_);
    if (splits_[0].empty()) throw std::runtime_error(o.path + " has no pair of images with flow in the official layout");
    augmentation_ = {.crop = o.crop, .min_scale = o.min_scale, .max_scale = o.max_scale, .jitter = Layout::sparse ? 0.3 : 0.4, .hue = (Layout::sparse ? 0.3 : 0.5) / 3.14,
                     .flip_horizontal = o.flip ? 0.5 : 0, .flip_vertical = o.flip && !Layout::sparse ? 0.1 : 0, .sparse = Layout::sparse};
  }

  zstar::Description describe() const override { return {{{"channels", 3}}}; }
  std::int64_t size(Split split) const override { return static_cast<std::int64_t>(of(split).size()); }

 protected:
  std::pair<std::int64_t, std::int64_t> place(Split split, std::int64_t index) const override {
    const Sample& s = of(split)[static_cast<std::size_t>(index)];
    return {s.sequence, s.frame};
  }

  Pair pair(Split split, std::int64_t index, std::uint64_t seed) const override {
    const Sample& s = of(split)[static_cast<std::size_t>(index)];
    const auto image = [](const fs::path& file) { return about(file, [&] { return read_image(read_file(file)); }); };
    const FlowField field = about(s.flow, [&] { return flow_of(s.flow); });
    const Pair whole{image(s.image1), image(s.image2), field.flow, field.valid};
    for (const auto& [file, sizes] : {std::pair(s.image1, whole.image1.sizes()), std::pair(s.image2, whole.image2.sizes())})
      if (sizes.slice(1) != whole.valid.sizes()) zstar::formats::damaged(file, "has another size than the flow " + s.flow.string());
    return split == Split::train ? Augmentor(augmentation_, seed)(whole) : whole;
  }

 private:
  const std::vector<Sample>& of(Split split) const { return splits_[static_cast<std::size_t>(split)]; }

  static FlowField flow_of(const fs::path& file) {
    if (Layout::sparse) return read_kitti_flow(read_file(file));
    const Tensor flow = (file.extension() == ".pfm" ? read_pfm(read_file(file)).narrow(2, 0, 2) : read_flo(read_file(file))).permute({2, 0, 1}).contiguous();
    return {flow, (flow.abs() < 1000).all(0).to(torch::kFloat32)};
  }

  std::vector<Sample> splits_[3];
  Augmentation augmentation_;
};

using FlyingChairs = Official<Chairs>;
using FlyingThings = Official<Things>;
using SintelFlow = Official<Sintel>;
using KittiFlow = Official<Kitti>;
using Hd1kFlow = Official<Hd1k>;

}  // namespace

ZSTAR_DATASET(FlyingChairs, "flying_chairs", "FlyingChairs: .ppm pairs and .flo")
ZSTAR_DATASET(FlyingThings, "flying_things", "FlyingThings3D: frames and .pfm flow in both directions")
ZSTAR_DATASET(SintelFlow, "sintel", "MPI Sintel: training scenes, clean and final")
ZSTAR_DATASET(KittiFlow, "kitti_flow", "KITTI 2015: sparse flow as 16-bit PNG")
ZSTAR_DATASET(Hd1kFlow, "hd1k", "HD1K: sparse flow as 16-bit PNG")
