/// \file Images in IDX files: MNIST and its family. Layout and source: README.md.
#include "images.hpp"

namespace {

using namespace zstar_images;

/// An IDX file of bytes: 0, 0, 8, rank, the sizes as big-endian 32-bit numbers, the data.
Tensor read_idx(const fs::path& file, std::size_t rank) {
  const Bytes bytes = read_file(file);
  const std::size_t header = 4 + 4 * rank;
  const auto whole = [&](std::size_t n) {
    if (bytes.size() < n) damaged(file, "is cut short: " + std::to_string(bytes.size()) + " bytes, its header alone has " + std::to_string(header));
  };
  whole(4);
  if (bytes[0] != 0 || bytes[1] != 0) damaged(file, "is no IDX file: its first two bytes are not zero");
  if (bytes[2] != 8) damaged(file, "holds numbers of type " + std::to_string(bytes[2]) + ", expected 8 (bytes)");
  if (bytes[3] != rank) damaged(file, "has rank " + std::to_string(bytes[3]) + ", expected " + std::to_string(rank) + (rank == 1 ? " (labels)" : " (images)"));
  whole(header);
  std::vector<std::int64_t> sizes;
  const std::size_t present = bytes.size() - header;
  std::size_t expected = 1;
  for (std::size_t k = 0; k < rank; ++k) {
    const std::uint8_t* at = bytes.data() + 4 + 4 * k;
    sizes.push_back(std::int64_t{at[0]} << 24 | std::int64_t{at[1]} << 16 | std::int64_t{at[2]} << 8 | std::int64_t{at[3]});
    const auto size = static_cast<std::size_t>(sizes.back());
    if (size == 0) damaged(file, "is empty: size " + std::to_string(k) + " is zero");
    if (expected > present / size) damaged(file, "is cut short, or its header is wrong: it announces more numbers than the " + std::to_string(present) + " it has");
    expected *= size;
  }
  if (expected != present) damaged(file, "has " + std::to_string(present) + " numbers, its header announces " + std::to_string(expected));
  return torch::from_blob(const_cast<std::uint8_t*>(bytes.data()) + header, sizes, torch::kUInt8).clone();
}

class IdxImages final : public Images {
 public:
  struct Options : ImageOptions {
    std::string prefix;
  };
  static auto options() {
    return std::tuple_cat(
        image_options<Options>("folder of train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-…, each plain or .gz, or one of these files",
                               "subtracted from the one channel, on the scale 0 … 1; empty: that of the training images"),
        std::tuple{zstar::opt("prefix", &Options::prefix, "of the names of the files: emnist-letters-, …")});
  }

  IdxImages(const Options& given, zstar::Host&) : Images(given), o_(resolved(given)) {
    const Options& o = o_;
    Labelled train = pair({"train"}), test = pair({"t10k", "test"});
    if (train.size() + test.size() == 0)
      throw OptionError("path", o.path + " holds neither " + o.prefix + "train-images-idx3-ubyte nor " + o.prefix +
                                    "t10k-images-idx3-ubyte (or .gz); name the folder of the files");
    std::int64_t classes = 0;
    for (const Labelled* part : {&train, &test})
      if (part->size() > 0) classes = std::max(classes, part->labels.max().item<std::int64_t>() + 1);
    const Tensor& measured = train.size() > 0 ? train.images : test.images;
    const Tensor counts = measured.flatten().bincount({}, 256).to(torch::kFloat64), value = torch::arange(256, torch::kFloat64) / 255;
    const double mean = ((counts * value).sum() / counts.sum()).item<double>(), square = ((counts * value * value).sum() / counts.sum()).item<double>();
    set(std::move(train), std::move(test), classes, {mean}, {std::sqrt(std::max(square - mean * mean, 1e-12))});
  }

 private:
  /// One of the files stands for all in its folder whose names begin as its own does.
  static Options resolved(Options o) {
    const fs::path folder = folder_of(o.path, {"idx3-ubyte", "idx1-ubyte"});
    const std::string name = fs::path(o.path).filename().string();
    for (const char* sort : {"train-", "t10k-", "test-"})
      if (const auto at = name.find(sort); folder != fs::path(o.path) && at != std::string::npos && o.prefix.empty()) o.prefix = name.substr(0, at);
    o.path = folder.string();
    return o;
  }

  /// The images of one sort and their labels; nothing where neither file is there.
  Labelled pair(const std::vector<std::string>& sorts) const {
    for (const std::string& sort : sorts)
      for (const char* separator : {"-", "."}) {
        const std::string stem = o_.prefix + sort;
        const fs::path images = find_file(o_.path, stem + "-images" + separator + "idx3-ubyte"), labels = find_file(o_.path, stem + "-labels" + separator + "idx1-ubyte");
        if (images.empty() && labels.empty()) continue;
        if (images.empty() || labels.empty())
          throw std::runtime_error(o_.path + " holds only the " + (images.empty() ? "labels" : "images") + " of " + stem + "; both files are needed");
        Labelled part{read_idx(images, 3).unsqueeze(1), read_idx(labels, 1).to(torch::kInt64)};
        if (part.images.size(0) != part.size())
          damaged(labels, "has " + std::to_string(part.size()) + " labels for " + std::to_string(part.images.size(0)) + " images of " + images.filename().string());
        return part;
      }
    return {};
  }

  Options o_;
};

}  // namespace

ZSTAR_DATASET(IdxImages, "idx_images", "grey images in IDX files: MNIST, Fashion-MNIST, KMNIST, EMNIST")
