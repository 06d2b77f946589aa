#pragma once
/// \file Pictures that are decoded when they are needed: what data sets of many files share.

#include "images.hpp"

namespace zstar_images {
namespace {

/// The middle square of a picture [H, W, C] brought to `resize` on its shorter side, [1, C, size, size]. \param resize  at least size
inline Tensor middle(const Tensor& pixels, std::int64_t size, std::int64_t resize) {
  const std::int64_t h = pixels.size(0), w = pixels.size(1), side = std::min(h, w);
  const Tensor image = scaled(pixels, std::max(size, h * resize / side), std::max(size, w * resize / side));
  return image.narrow(2, (image.size(2) - size) / 2, size).narrow(3, (image.size(3) - size) / 2, size);
}

class Decoded : public zstar::Dataset {
 public:
  std::vector<std::vector<std::int64_t>> batches(Split split, std::int64_t batch_size, std::uint64_t shuffle_seed) const override {
    return cut(split, size(split), batch_size, shuffle_seed);
  }

 protected:
  /// \param mean, std  of the channels on the scale 0 … 1; one number: grey pictures
  Decoded(const std::vector<double>& mean, const std::vector<double>& std) {
    if (mean.size() != std.size() || (mean.size() != 1 && mean.size() != 3)) throw OptionError("mean", "mean and std need one number (grey) or three (colour) each");
    const auto row = [](const std::vector<double>& v) { return torch::tensor(v, torch::kFloat64).to(torch::kFloat32).reshape({1, -1, 1, 1}); };
    mean_ = row(mean), std_ = row(std);
  }
  std::int64_t channels() const { return mean_.numel(); }
  Tensor normalised(const Tensor& images) const { return (images / 255 - mean_) / std_; }

 private:
  Tensor mean_, std_;
};

/// Pictures to be generated: no classes, only mirrored. Batch tensors: `images` (B, 3, size, size).
class Unlabelled : public Decoded, public zstar::Unaugmented {
 public:
  void* query(std::string_view id) override { return id == zstar::Unaugmented::id ? static_cast<zstar::Unaugmented*>(this) : nullptr; }

  struct Options {
    std::string path;
    std::int64_t size = 64;
    bool flip = false;
    std::vector<double> mean = {0.5, 0.5, 0.5}, std = {0.5, 0.5, 0.5};
  };

  zstar::Description describe() const override { return {{{"channels", channels()}, {"height", o_.size}, {"width", o_.size}}}; }
  zstar::Batch load(Split split, const std::vector<std::int64_t>& indices, std::uint64_t seed) const override {
    at::Generator draw = generator(seed);
    return batch(split, indices, [&] { return split == Split::train && o_.flip && torch::randint(0, 2, {}, draw, torch::kInt64).item<std::int64_t>() == 1; });
  }
  zstar::Batch load_unaugmented(Split split, const std::vector<std::int64_t>& indices) const override {
    return batch(split, indices, [] { return false; });
  }

 protected:
  explicit Unlabelled(const Options& o) : Decoded(o.mean, o.std), o_(o) {
    if (o.path.empty()) throw OptionError("path", "path is not set; name the folder of the data: --set dataset.path=FOLDER");
  }
  /// [1, C, size, size] of 0 … 255
  virtual Tensor square(Split split, std::int64_t index) const = 0;
  const Options& chosen() const { return o_; }

 private:
  template <class F>
  zstar::Batch batch(Split split, const std::vector<std::int64_t>& indices, const F& mirrored) const {
    std::vector<Tensor> images;
    for (const std::int64_t i : indices) {
      const Tensor image = square(split, i);
      images.push_back(mirrored() ? image.flip({3}) : image);
    }
    return {{{"images", normalised(torch::cat(images))}}, indices};
  }

  Options o_;
};

/// The options of such sets, to follow those of their own.
template <class O>
auto unlabelled_options(const char* path) {
  const auto own = []<class T>(T Unlabelled::Options::*member) -> T O::* { return member; };
  using U = Unlabelled::Options;
  return std::tuple{zstar::opt("path", own(&U::path), path), zstar::opt("size", own(&U::size), "height and width of what the model sees", zstar::at_least(1), "pixels"),
                    zstar::opt("flip", own(&U::flip), "augmentation: every second picture is mirrored, left to right"),
                    zstar::opt("mean", own(&U::mean), "subtracted from the channels, on the scale 0 … 1; one number: grey pictures"),
                    zstar::opt("std", own(&U::std), "divisors of the channels", zstar::above(0.0))};
}

}  // namespace
}  // namespace zstar_images
