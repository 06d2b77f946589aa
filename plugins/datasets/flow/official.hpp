#pragma once
/// \file A data set of pairs in an official layout.

#include "files.hpp"
#include "layouts.hpp"
#include "pairs.hpp"

namespace zstar_flow_files {
namespace {

using zstar::formats::about;
using zstar::formats::read_file;

template <class Layout>
class Official final : public Pairs {
 public:
  using Options = OfficialOptions;
  static auto options() { return official_options(); }

  /// \param option  of the data set that named the folder
  Official(const Options& o, zstar::Host&, const std::string& option = "path") : both_(!Layout::sparse && o.passes == "both") {
    if (o.path.empty()) throw OptionError("path", "path is not set; name the folder of the data: --set dataset.path=FOLDER");
    if (!o.crop.empty() && o.crop.size() != 2) throw OptionError("crop", "crop has " + std::to_string(o.crop.size()) + " numbers; expected height and width");
    if (o.min_scale > o.max_scale) throw OptionError("min_scale", "min_scale is above max_scale");
    try {
      list(o);
    } catch (const NoFolder& error) {
      throw std::runtime_error(error.what() + ("\n  remedy: name the folder above it: --set dataset." + option + "=FOLDER"));
    }
    if (o.submission && splits_[2].empty()) throw OptionError("submission", o.path + " has no test pairs in the official layout; Sintel and KITTI have some");
    if (splits_[0].empty() && splits_[2].empty()) throw std::runtime_error(o.path + " has no pair of images with flow in the official layout");
    augmentation_ = {.crop = o.crop, .min_scale = o.min_scale, .max_scale = o.max_scale, .jitter = Layout::sparse ? 0.3 : 0.4, .hue = (Layout::sparse ? 0.3 : 0.5) / 3.14,
                     .flip_horizontal = o.flip ? 0.5 : 0, .flip_vertical = o.flip && !Layout::sparse ? 0.1 : 0, .sparse = Layout::sparse};
  }

  zstar::Description describe() const override { return {{{"channels", 3}}}; }
  std::int64_t size(Split split) const override { return static_cast<std::int64_t>(of(split).size()); }

  std::pair<std::int64_t, std::int64_t> place(Split split, std::int64_t index) const override {
    const Sample& s = of(split)[static_cast<std::size_t>(index)];
    return {s.sequence, s.frame};
  }

  Pair pair(Split split, std::int64_t index, std::uint64_t seed) const override {
    const Sample& s = of(split)[static_cast<std::size_t>(index)];
    const auto image = [](const fs::path& file) { return about(file, [&] { return read_image(read_file(file)); }); };
    if (s.flow.empty()) return {image(s.image1), image(s.image2), {}, {}};
    const FlowField field = about(s.flow, [&] { return flow_of(s.flow); });
    const Pair whole{image(s.image1), image(s.image2), field.flow, field.valid};
    for (const auto& [file, sizes] : {std::pair(s.image1, whole.image1.sizes()), std::pair(s.image2, whole.image2.sizes())})
      if (sizes.slice(1) != whole.valid.sizes()) zstar::formats::damaged(file, "has another size than the flow " + s.flow.string());
    if (split != Split::train) return whole;
    Pair changed = Augmentor(augmentation_, seed)(whole);
    if (!Layout::sparse) changed.valid = known(changed.flow);  // scaling mixes neighbours
    return changed;
  }
  std::string name(Split split, std::int64_t index) const override { return of(split)[static_cast<std::size_t>(index)].name; }
  bool sparse() const override { return Layout::sparse; }
  Benchmark benchmark(Split split, std::int64_t index) const override {
    if (!both_) return Benchmark::none;
    return name(split, index).starts_with("clean") ? Benchmark::clean : Benchmark::final;
  }

 private:
  /// The pairs of the folder named; of a file, those of the nearest folder above it that have the file.
  void list(OfficialOptions o) {
    const fs::path file = o.path;
    if (!fs::is_regular_file(file)) return Layout::list(o, splits_);
    const auto has = [&](const Sample& s) { return s.image1 == file || s.image2 == file || s.flow == file; };
    for (fs::path folder = file.parent_path(); !folder.empty(); folder = folder == folder.parent_path() ? fs::path() : folder.parent_path()) {
      o.path = folder.string();
      try {
        Layout::list(o, splits_);
      } catch (const std::exception&) {  // not this folder
      }
      if (std::any_of(std::begin(splits_), std::end(splits_), [&](const auto& split) { return std::any_of(split.begin(), split.end(), has); })) return;
      for (auto& split : splits_) split.clear();
    }
    throw std::runtime_error(file.string() + " belongs to no pair in the official layout\n  remedy: name the folder of the data, or a file of a pair");
  }

  const std::vector<Sample>& of(Split split) const { return splits_[static_cast<std::size_t>(split)]; }

  static FlowField flow_of(const fs::path& file) {
    if (Layout::sparse) return read_kitti_flow(read_file(file));
    const Tensor flow = (bare(file).extension() == ".pfm" ? read_pfm(read_file(file)).narrow(2, 0, 2) : read_flo(read_file(file))).permute({2, 0, 1}).contiguous();
    return {flow, known(flow)};
  }
  /// Where dense flow counts: below 1000 pixels, and so not where it is no number. [2, H, W] → [H, W]
  static Tensor known(const Tensor& flow) { return (flow.abs() < 1000).all(0).to(torch::kFloat32); }

  bool both_;  ///< renderings
  std::vector<Sample> splits_[3];
  Augmentation augmentation_;
};

}  // namespace
}  // namespace zstar_flow_files
