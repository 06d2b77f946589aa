/// \file CIFAR-10 and CIFAR-100 in their binary form. Layout and source: README.md.
#include "images.hpp"

namespace {

using namespace zstar_images;

constexpr std::int64_t pixels = 3 * 32 * 32;

class Cifar final : public Images {
 public:
  struct Options : ImageOptions {
    std::string labels = "ten";
    std::int64_t files = 5;
  };
  static auto options() {
    return std::tuple_cat(
        image_options<Options>("folder of data_batch_1.bin … test_batch.bin (or train.bin, test.bin), or the one above it",
                               "subtracted from the channels, on the scale 0 … 1; empty: that of the published programs"),
        std::tuple{zstar::choice("labels", &Options::labels, "ten: CIFAR-10; fine, coarse: the 100 classes or 20 superclasses of CIFAR-100",
                                 {"ten", "fine", "coarse"}),
                   zstar::opt("files", &Options::files, "of the five files of training images of CIFAR-10, the first so many", zstar::within(1, 5))});
  }

  Cifar(const Options& o, zstar::Host&) : Images(o), label_bytes_(o.labels == "ten" ? 1 : 2), label_at_(o.labels == "fine" ? 1 : 0) {
    const bool ten = o.labels == "ten";
    const fs::path folder = locate(o.path, ten);
    const fs::path test = find_file(folder, ten ? "test_batch.bin" : "test.bin");
    std::vector<Tensor> images, labels;
    for (std::int64_t k = 1; k <= (ten ? o.files : 1); ++k) {
      const Labelled part = read(needed(folder, ten ? "data_batch_" + std::to_string(k) + ".bin" : "train.bin"));
      images.push_back(part.images), labels.push_back(part.labels);
    }
    set({torch::cat(images), torch::cat(labels)}, test.empty() ? Labelled() : read(test), ten ? 10 : o.labels == "fine" ? 100 : 20,
        ten ? std::vector{0.4914, 0.4822, 0.4465} : std::vector{0.5071, 0.4867, 0.4408},
        ten ? std::vector{0.2023, 0.1994, 0.2010} : std::vector{0.2675, 0.2565, 0.2761},
        names(folder, ten ? "batches.meta.txt" : o.labels == "fine" ? "fine_label_names.txt" : "coarse_label_names.txt"));
  }

 private:
  static fs::path locate(const fs::path& path, bool ten) {
    const std::string first = ten ? "data_batch_1.bin" : "train.bin";
    for (const fs::path& folder : {path, path / (ten ? "cifar-10-batches-bin" : "cifar-100-binary")})
      if (!find_file(folder, first).empty()) return folder;
    throw OptionError("path", path.string() + " holds no " + first + " (or .gz), nor a folder " + (ten ? "cifar-10-batches-bin" : "cifar-100-binary") +
                                  " with it; name the folder of the binary version of the data");
  }

  static fs::path needed(const fs::path& folder, const std::string& name) {
    const fs::path file = find_file(folder, name);
    if (file.empty()) throw std::runtime_error(folder.string() + " holds no " + name + " (or .gz)\n  remedy: fetch that file, or train on the first files alone: --set dataset.files=1 … 4");
    return file;
  }

  /// A line for each class; none where the file is not there.
  static std::vector<std::string> names(const fs::path& folder, const std::string& file) {
    std::vector<std::string> lines;
    std::ifstream in(folder / file);
    for (std::string line; std::getline(in, line);)
      if (!line.empty()) lines.push_back(line);
    return lines;
  }

  /// Records of one or two label bytes and 3072 pixels in planes; as many as the file holds.
  Labelled read(const fs::path& file) const {
    const Bytes bytes = read_file(file);
    const std::int64_t record = label_bytes_ + pixels, size = static_cast<std::int64_t>(bytes.size());
    if (size == 0 || size % record != 0)
      damaged(file, "has " + std::to_string(size) + " bytes, no multiple of " + std::to_string(record) + ", the size of a record: it is cut short, or of another data set");
    const Tensor records = torch::from_blob(const_cast<std::uint8_t*>(bytes.data()), {size / record, record}, torch::kUInt8);
    return {records.narrow(1, label_bytes_, pixels).reshape({-1, 3, 32, 32}).clone(), records.select(1, label_at_).to(torch::kInt64)};
  }

  std::int64_t label_bytes_, label_at_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.images", "0.1.0", "data sets of classified images")
ZSTAR_DATASET(Cifar, "cifar10", "CIFAR-10 or CIFAR-100, binary version")
