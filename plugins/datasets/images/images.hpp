#pragma once
/// \file Classified images in memory: splits, augmentation, normalisation, batches. What data sets of images share.

#include <zstar/sdk.hpp>

#include <algorithm>
#include <cctype>
#include <numeric>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

#include <zstar/predict.hpp>
#include <zstar/render.hpp>
#include <zstar/unaugmented.hpp>

#include "charts.hpp"

namespace zstar_images {
namespace {

using zstar::OptionError;
using zstar::formats::Bytes;
using zstar::formats::damaged;
using zstar::formats::find_file;
using zstar::formats::read_file;
using zstar::Split;

/// Images [N, C, H, W] of bytes with their labels [N].
struct Labelled {
  Tensor images, labels;
  std::int64_t size() const { return labels.defined() ? labels.numel() : 0; }
};

struct ImageOptions {
  std::string path;
  std::int64_t validation = 0, split_seed = 0, padding = 0;
  bool flip = false;
  std::vector<double> mean, std;
  std::vector<std::string> names;
};

/// The options of every data set of images, to follow those of its own.
template <class O>
auto image_options(const char* path, const char* mean) {
  const auto own = []<class T>(T ImageOptions::*member) -> T O::* { return member; };
  return std::tuple{
      zstar::opt("path", own(&ImageOptions::path), path),
      zstar::opt("validation", own(&ImageOptions::validation), "training images set aside, drawn with split_seed", zstar::at_least(0)),
      zstar::opt("split_seed", own(&ImageOptions::split_seed), "which images validate", zstar::at_least(0)),
      zstar::opt("padding", own(&ImageOptions::padding), "augmentation: black pixels added on every side, of which a window of the old size is cut at random", zstar::at_least(0), "pixels"),
      zstar::opt("flip", own(&ImageOptions::flip), "augmentation: every second image is mirrored, left to right"),
      zstar::opt("names", own(&ImageOptions::names), "of the classes, in their order, for predictions and pictures; empty: those beside the data, or numbers"),
      zstar::opt("mean", own(&ImageOptions::mean), mean),
      zstar::opt("std", own(&ImageOptions::std), "divisors of the channels, on the scale 0 … 1; empty: as for mean", zstar::above(0.0))};
}

inline at::Generator generator(std::uint64_t seed) { return at::make_generator<at::CPUGeneratorImpl>(seed); }

inline std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed) {
  const Tensor order = torch::randperm(n, generator(seed));
  return {order.data_ptr<std::int64_t>(), order.data_ptr<std::int64_t>() + n};
}

/// The n samples of a split in batches: shuffled for training, in order elsewhere.
inline std::vector<std::vector<std::int64_t>> cut(Split split, std::int64_t n, std::int64_t batch_size, std::uint64_t shuffle_seed) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (split == Split::train) order = permutation(n, shuffle_seed);
  std::vector<std::vector<std::int64_t>> out;
  for (std::int64_t i = 0; i < n; i += batch_size) out.emplace_back(order.begin() + i, order.begin() + std::min(n, i + batch_size));
  return out;
}

/// A picture [H, W, C] of bytes as floats [1, C, height, width], averaged where it shrinks.
inline Tensor scaled(const Tensor& pixels, std::int64_t height, std::int64_t width) {
  const Tensor image = pixels.permute({2, 0, 1}).unsqueeze(0).to(torch::kFloat32);
  if (image.size(2) == height && image.size(3) == width) return image;
  return at::_upsample_bilinear2d_aa(image, {height, width}, /*align_corners=*/false, c10::nullopt, c10::nullopt);
}

inline bool is_picture(const fs::path& file) {
  std::string ending = file.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

/// The folder that is named, or that of the file that is, if its name (plain or .gz) ends as those of the data set do.
inline fs::path folder_of(const fs::path& path, const std::vector<std::string>& endings) {
  if (!fs::is_regular_file(path)) return path;
  const std::string name = (path.extension() == ".gz" ? path.stem() : path.filename()).string();
  if (std::none_of(endings.begin(), endings.end(), [&](const std::string& ending) { return name.ends_with(ending); }))
    throw OptionError("path", path.string() + " is none of the files of this data set, by its name; name the folder of the data, or one of its files");
  return path.parent_path().empty() ? "." : path.parent_path();
}

/// The files named, and the pictures in the folders named, in the order of their names.
inline std::vector<fs::path> pictures_of(const std::vector<std::string>& sources) {
  std::vector<fs::path> files;
  for (const std::string& source : sources) {
    if (!fs::is_directory(source)) {
      files.emplace_back(source);
      continue;
    }
    std::vector<fs::path> inside;
    for (const auto& entry : fs::directory_iterator(source))
      if (is_picture(entry.path())) inside.push_back(entry.path());
    if (inside.empty()) throw std::runtime_error(source + " holds no picture; expected files that end in .png, .jpg or .jpeg");
    std::sort(inside.begin(), inside.end());
    files.insert(files.end(), inside.begin(), inside.end());
  }
  return files;
}

/// Batch tensors: `images` (B, C, H, W) float32, (pixel/255 − mean)/std, and `labels` (B).
class Images : public zstar::Dataset, public zstar::ReadsInputs, public zstar::Renders, public zstar::Unaugmented {
 public:
  void* query(std::string_view id) override {
    if (id == zstar::ReadsInputs::id) return static_cast<zstar::ReadsInputs*>(this);
    if (id == zstar::Unaugmented::id) return static_cast<zstar::Unaugmented*>(this);
    return id == zstar::Renders::id ? static_cast<zstar::Renders*>(this) : nullptr;
  }

  zstar::Description describe() const override {
    const Tensor& any = splits_[0].images.defined() ? splits_[0].images : splits_[2].images;
    return {{{"channels", any.size(1)}, {"height", any.size(2)}, {"width", any.size(3)}, {"classes", classes_}}};
  }
  std::int64_t size(Split split) const override { return of(split).size(); }

  std::vector<std::vector<std::int64_t>> batches(Split split, std::int64_t batch_size, std::uint64_t shuffle_seed) const override {
    return cut(split, size(split), batch_size, shuffle_seed);
  }

  zstar::Batch load(Split split, const std::vector<std::int64_t>& indices, std::uint64_t seed) const override {
    const zstar::Batch bytes = chosen(split, indices);
    return normalised(split == Split::train ? augmented(bytes.at("images"), seed) : bytes.at("images"), bytes);
  }
  zstar::Batch load_unaugmented(Split split, const std::vector<std::int64_t>& indices) const override {
    const zstar::Batch bytes = chosen(split, indices);
    return normalised(bytes.at("images"), bytes);
  }

  /// Pictures, brought to size and channels of the data set; without sources the test split.
  std::vector<zstar::Inputs> read(const std::vector<std::string>& sources) const override {
    std::vector<zstar::Inputs> inputs;
    if (sources.empty())
      for (const auto& rows : batches(Split::test, 128, 0)) inputs.push_back({load(Split::test, rows, 0), {}});
    const zstar::Description sizes = describe();
    for (const fs::path& file : pictures_of(sources)) {
      const Tensor pixels = scaled(zstar::formats::with_channels(zstar::formats::read_picture(file), sizes.at("channels")), sizes.at("height"), sizes.at("width"));
      inputs.push_back({{{{"images", (pixels / 255 - mean_) / std_}}, {}}, {file.string()}});
    }
    return inputs;
  }
  std::vector<std::string> classes() const override { return names_; }

  /// predictions.svg, the first images with what was said of them; confusion.svg, how often which class was taken for which.
  std::vector<std::string> render(Split split, const Tensor& predictions, const std::string& folder) const override {
    const Answers answers{of(split).labels, predictions.argmax(1), names_};
    return {written(fs::path(folder) / "predictions.svg", grid_svg(of(split).images, answers)), written(fs::path(folder) / "confusion.svg", confusion_svg(answers, classes_))};
  }

 protected:
  explicit Images(const ImageOptions& o) : o_(o) {
    if (o.path.empty()) throw OptionError("path", "path is not set; name the folder of the data: --set dataset.path=FOLDER");
  }

  /// Takes the data over. \param mean, std  of the channels where the options do not say them \param names  of the classes, where they have names
  void set(Labelled train, Labelled test, std::int64_t classes, std::vector<double> mean, std::vector<double> std, std::vector<std::string> names = {}) {
    classes_ = classes;
    for (const Labelled* part : {&train, &test})
      if (part->size() > 0 && (part->labels.min().item<std::int64_t>() < 0 || part->labels.max().item<std::int64_t>() >= classes))
        throw std::runtime_error(o_.path + ": a label is not below " + std::to_string(classes) + ", the number of classes; is it another data set?");
    if (train.size() > 0 && test.size() > 0 && train.images.sizes().slice(1) != test.images.sizes().slice(1))
      throw std::runtime_error(o_.path + ": images for training and for testing have different sizes");
    if (o_.validation > 0 && o_.validation >= train.size())
      throw OptionError("validation", "validation is " + std::to_string(o_.validation) + ", there are " + std::to_string(train.size()) + " training images");
    names_ = o_.names.empty() ? std::move(names) : o_.names;
    if (!o_.names.empty() && static_cast<std::int64_t>(names_.size()) != classes)
      throw OptionError("names", "names has " + std::to_string(names_.size()) + " entries, there are " + std::to_string(classes) + " classes");
    splits_[2] = std::move(test);
    if (o_.validation == 0) splits_[0] = std::move(train);
    else split(train);
    const std::int64_t channels = describe().at("channels");
    mean_ = per_channel("mean", o_.mean.empty() ? mean : o_.mean, channels);
    std_ = per_channel("std", o_.std.empty() ? std : o_.std, channels);
  }

 private:
  const Labelled& of(Split split) const { return splits_[static_cast<std::size_t>(split)]; }
  /// Bytes and labels of samples.
  zstar::Batch chosen(Split split, const std::vector<std::int64_t>& indices) const {
    const Tensor rows = torch::tensor(indices, torch::kInt64);
    return {{{"images", of(split).images.index_select(0, rows)}, {"labels", of(split).labels.index_select(0, rows)}}, indices};
  }
  zstar::Batch normalised(const Tensor& bytes, const zstar::Batch& of) const { return {{{"images", (bytes.to(torch::kFloat32) / 255 - mean_) / std_}, {"labels", of.at("labels")}}, of.ids}; }

  void split(const Labelled& train) {
    const Tensor order = torch::randperm(train.size(), generator(static_cast<std::uint64_t>(o_.split_seed)));
    const auto part = [&](std::int64_t from, std::int64_t count) {
      const Tensor rows = std::get<0>(order.narrow(0, from, count).sort());
      return Labelled{train.images.index_select(0, rows), train.labels.index_select(0, rows)};
    };
    splits_[1] = part(0, o_.validation);
    splits_[0] = part(o_.validation, train.size() - o_.validation);
  }

  static Tensor per_channel(const char* name, const std::vector<double>& values, std::int64_t channels) {
    if (static_cast<std::int64_t>(values.size()) != channels)
      throw OptionError(name, std::string(name) + " has " + std::to_string(values.size()) + " numbers, the images have " + std::to_string(channels) + " channels");
    return torch::tensor(values, torch::kFloat64).to(torch::kFloat32).reshape({1, channels, 1, 1});
  }

  /// Windows of the padded images, some mirrored; decided by the seed alone.
  Tensor augmented(Tensor images, std::uint64_t seed) const {
    const std::int64_t n = images.size(0), h = images.size(2), w = images.size(3);
    at::Generator draw = generator(seed);
    if (o_.padding > 0) {
      const Tensor padded = torch::constant_pad_nd(images, {o_.padding, o_.padding, o_.padding, o_.padding}, 0);
      const Tensor corner = torch::randint(0, 2 * o_.padding + 1, {n, 2}, draw, torch::kInt64);
      for (std::int64_t b = 0; b < n; ++b) {
        const auto* at = corner.data_ptr<std::int64_t>() + 2 * b;
        images[b].copy_(padded[b].narrow(1, at[0], h).narrow(2, at[1], w));
      }
    }
    if (!o_.flip) return images;
    const Tensor mirrored = torch::randint(0, 2, {n, 1, 1, 1}, draw, torch::kInt64).to(torch::kBool);
    return torch::where(mirrored, images.flip({3}), images);
  }

  ImageOptions o_;
  Labelled splits_[3];
  std::int64_t classes_ = 0;
  std::vector<std::string> names_;
  Tensor mean_, std_;
};

}  // namespace
}  // namespace zstar_images
