/// \file Pictures in one folder for each class. Layout: README.md.
#include "decoded.hpp"

namespace {

using namespace zstar_images;

/// Files with the number of their class.
struct Listed {
  std::vector<fs::path> files;
  std::vector<std::int64_t> labels;
};

class ImageFolder final : public Decoded, public zstar::ReadsInputs, public zstar::Unaugmented {
 public:
  struct Options {
    std::string path;
    std::int64_t size = 224, resize = 0;
    bool flip = true, random_resized_crop = true;
    double scale = 0.08, ratio = 0.75;
    std::vector<double> mean = {0.485, 0.456, 0.406}, std = {0.229, 0.224, 0.225};
  };
  static auto options() {
    using O = Options;
    return std::tuple{
        zstar::opt("path", &O::path, "folder of train/CLASS/….jpg, val/CLASS/…, test/CLASS/… (each where it is there), or of CLASS/… for testing alone"),
        zstar::opt("size", &O::size, "height and width of what the model sees", zstar::at_least(1), "pixels"),
        zstar::opt("resize", &O::resize, "shorter side before the middle is cut out; 0: size · 256/224", zstar::at_least(0), "pixels"),
        zstar::opt("random_resized_crop", &O::random_resized_crop, "augmentation: a rectangle at random, brought to size; otherwise the middle"),
        zstar::opt("scale", &O::scale, "share of the area that the rectangle has at least", zstar::above(0.0)),
        zstar::opt("ratio", &O::ratio, "width over height of the rectangle is between this and its inverse", zstar::above(0.0)),
        zstar::opt("flip", &O::flip, "augmentation: every second picture is mirrored, left to right"),
        zstar::opt("mean", &O::mean, "subtracted from the channels, on the scale 0 … 1; one number: grey pictures"),
        zstar::opt("std", &O::std, "divisors of the channels", zstar::above(0.0))};
  }

  ImageFolder(const Options& o, zstar::Host&) : Decoded(o.mean, o.std), o_(o) {
    if (o.path.empty()) throw OptionError("path", "path is not set; name the folder of the pictures: --set dataset.path=FOLDER");
    if (o.scale > 1 || o.ratio > 1) throw OptionError("scale", "scale and ratio are at most 1");
    const fs::path root(o.path);
    const bool split = fs::is_directory(root / "train");
    list_classes(split ? root / "train" : root);
    if (split) splits_[0] = list(root / "train");
    splits_[1] = list(root / "val"), splits_[2] = split ? list(root / "test") : list(root);
  }
  void* query(std::string_view id) override {
    if (id == zstar::ReadsInputs::id) return static_cast<zstar::ReadsInputs*>(this);
    return id == zstar::Unaugmented::id ? static_cast<zstar::Unaugmented*>(this) : nullptr;
  }

  zstar::Description describe() const override {
    return {{{"channels", channels()}, {"height", o_.size}, {"width", o_.size}, {"classes", static_cast<std::int64_t>(classes_.size())}}};
  }
  std::int64_t size(Split split) const override { return static_cast<std::int64_t>(of(split).files.size()); }

  zstar::Batch load(Split split, const std::vector<std::int64_t>& indices, std::uint64_t seed) const override {
    at::Generator draw = generator(seed);
    return batch(split, indices, [&](const Tensor& pixels) { return split == Split::train ? augmented(pixels, draw) : middle(pixels); });
  }
  zstar::Batch load_unaugmented(Split split, const std::vector<std::int64_t>& indices) const override {
    return batch(split, indices, [this](const Tensor& pixels) { return middle(pixels); });
  }

  std::vector<zstar::Inputs> read(const std::vector<std::string>& sources) const override {
    std::vector<zstar::Inputs> inputs;
    for (const fs::path& file : sources.empty() ? of(Split::test).files : pictures_of(sources))
      inputs.push_back({{{{"images", normalised(middle(picture(file)))}}, {}}, {file.string()}});
    return inputs;
  }
  std::vector<std::string> classes() const override { return classes_; }

 private:
  const Listed& of(Split split) const { return splits_[static_cast<std::size_t>(split)]; }
  Tensor picture(const fs::path& file) const { return zstar::formats::with_channels(zstar::formats::read_picture(file), channels()); }

  /// \param seen  of a picture [H, W, C]: what the model sees of it
  template <class F>
  zstar::Batch batch(Split split, const std::vector<std::int64_t>& indices, const F& seen) const {
    std::vector<Tensor> images;
    std::vector<std::int64_t> labels;
    for (const std::int64_t i : indices) {
      images.push_back(seen(picture(of(split).files[static_cast<std::size_t>(i)])));
      labels.push_back(of(split).labels[static_cast<std::size_t>(i)]);
    }
    return {{{"images", normalised(torch::cat(images))}, {"labels", torch::tensor(labels, torch::kInt64)}}, indices};
  }

  /// The folders below, in the order of their names, are the classes.
  void list_classes(const fs::path& folder) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (entry.is_directory()) classes_.push_back(entry.path().filename().string());
    std::sort(classes_.begin(), classes_.end());
    if (classes_.empty()) throw OptionError("path", folder.string() + " holds no folders; expected one for each class");
  }

  Listed list(const fs::path& folder) const {
    Listed listed;
    if (!fs::is_directory(folder)) return listed;
    for (std::size_t c = 0; c < classes_.size(); ++c) {
      std::vector<fs::path> files;
      std::error_code error;
      for (const auto& entry : fs::directory_iterator(folder / classes_[c], error))
        if (is_picture(entry.path())) files.push_back(entry.path());
      std::sort(files.begin(), files.end());
      listed.files.insert(listed.files.end(), files.begin(), files.end());
      listed.labels.insert(listed.labels.end(), files.size(), static_cast<std::int64_t>(c));
    }
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.is_directory() && !std::binary_search(classes_.begin(), classes_.end(), entry.path().filename().string()))
        throw std::runtime_error(entry.path().string() + " is a class that the training pictures do not have");
    if (listed.files.empty()) throw std::runtime_error(folder.string() + " holds no picture (.png, .jpg, .jpeg) in the folders of its classes");
    return listed;
  }

  Tensor middle(const Tensor& pixels) const { return zstar_images::middle(pixels, o_.size, std::max(o_.size, o_.resize > 0 ? o_.resize : o_.size * 256 / 224)); }

  /// A rectangle of a random share of the area and a random shape, anywhere; after ten that do not fit, the middle.
  /// \par Source  Szegedy et al., CVPR 2015, section 6
  Tensor augmented(const Tensor& pixels, at::Generator& draw) const {
    const auto uniform = [&draw](double low, double high) { return low + (high - low) * torch::rand({}, draw, torch::kFloat64).item<double>(); };
    Tensor image;
    const auto h = static_cast<double>(pixels.size(0)), w = static_cast<double>(pixels.size(1));
    for (int attempt = 0; o_.random_resized_crop && attempt < 10 && !image.defined(); ++attempt) {
      const double area = h * w * uniform(o_.scale, 1), shape = std::exp(uniform(std::log(o_.ratio), -std::log(o_.ratio)));
      const std::int64_t width = std::llround(std::sqrt(area * shape)), height = std::llround(std::sqrt(area / shape));
      if (width < 1 || height < 1 || width > pixels.size(1) || height > pixels.size(0)) continue;
      const auto top = static_cast<std::int64_t>(uniform(0, h - static_cast<double>(height) + 1)), left = static_cast<std::int64_t>(uniform(0, w - static_cast<double>(width) + 1));
      image = scaled(pixels.narrow(0, std::min(top, pixels.size(0) - height), height).narrow(1, std::min(left, pixels.size(1) - width), width), o_.size, o_.size);
    }
    if (!image.defined()) image = middle(pixels);
    return o_.flip && uniform(0, 1) < 0.5 ? image.flip({3}) : image;
  }

  Options o_;
  std::vector<std::string> classes_;
  Listed splits_[3];
};

}  // namespace

ZSTAR_DATASET(ImageFolder, "image_folder", "pictures (JPEG, PNG) in one folder for each class")
