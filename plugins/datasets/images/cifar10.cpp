/// \file CIFAR-10 and CIFAR-100, binary or Python version. Layout and source: README.md.
#include <zstar/formats/arrays.hpp>

#include "images.hpp"

namespace {

using namespace zstar_images;
using zstar::formats::FormatError;
using zstar::formats::Value;

constexpr std::int64_t pixels = 3 * 32 * 32;

class Cifar final : public Images {
 public:
  struct Options : ImageOptions {
    std::string labels = "ten";
    std::int64_t files = 5;
  };
  static auto options() {
    return std::tuple_cat(
        image_options<Options>("folder of data_batch_1.bin … test_batch.bin (CIFAR-100: train.bin, test.bin), or of the Python version, data_batch_1 … (train, test), or the one above it, or one of these files",
                               "subtracted from the channels, on the scale 0 … 1; empty: that of the published programs"),
        std::tuple{zstar::choice("labels", &Options::labels, "ten: CIFAR-10; fine, coarse: the 100 classes or 20 superclasses of CIFAR-100",
                                 {"ten", "fine", "coarse"}),
                   zstar::opt("files", &Options::files, "of the five files of training images of CIFAR-10, the first so many", zstar::within(1, 5))});
  }

  Cifar(const Options& o, zstar::Host&) : Images(o), labels_(o.labels) {
    const bool ten = o.labels == "ten";
    locate(o.path);
    std::vector<Tensor> images, labels;
    for (std::int64_t k = 1; k <= (ten ? o.files : 1); ++k) {
      const Labelled part = read(needed(ten ? "data_batch_" + std::to_string(k) : "train"));
      images.push_back(part.images), labels.push_back(part.labels);
    }
    const fs::path test = find_file(folder_, (ten ? "test_batch" : "test") + ending());
    set({torch::cat(images), torch::cat(labels)}, test.empty() ? Labelled() : read(test), count_of_classes(),
        ten ? std::vector{0.4914, 0.4822, 0.4465} : std::vector{0.5071, 0.4867, 0.4408},
        ten ? std::vector{0.2023, 0.1994, 0.2010} : std::vector{0.2675, 0.2565, 0.2761}, names());
  }

 private:
  std::string ending() const { return python_ ? "" : ".bin"; }

  /// Finds the folder, and which of the two versions it holds.
  void locate(const fs::path& named) {
    const fs::path path = folder_of(named, {".bin", "data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch", "train", "test"});
    const bool ten = labels_ == "ten";
    const std::string first = ten ? "data_batch_1" : "train", folders[] = {ten ? "cifar-10-batches-bin" : "cifar-100-binary", ten ? "cifar-10-batches-py" : "cifar-100-python"};
    for (const bool python : {false, true})
      for (const fs::path& folder : {path, path / folders[python ? 1 : 0]})
        if (!find_file(folder, first + (python ? "" : ".bin")).empty()) {
          folder_ = folder, python_ = python;
          return;
        }
    const std::string other = ten ? "train" : "data_batch_1";
    for (const char* ending : {"", ".bin"})
      if (!find_file(path, other + ending).empty())
        throw OptionError("labels", path.string() + " holds " + find_file(path, other + ending).filename().string() + " of the other of the two data sets: " + other_labels());
    throw OptionError("path", path.string() + " holds neither " + first + ".bin of the binary version nor " + first + " of the Python version (or .gz), nor a folder " + folders[0] + " or " +
                                  folders[1] + " with it; name the folder of the data");
  }

  /// The values of the option that read the other of the two data sets.
  std::string other_labels() const { return labels_ == "ten" ? "labels = \"fine\" (100 classes) or \"coarse\" (20) reads CIFAR-100" : "labels = \"ten\" reads CIFAR-10"; }

  fs::path needed(const std::string& name) const {
    const fs::path file = find_file(folder_, name + ending());
    if (file.empty()) throw std::runtime_error(folder_.string() + " holds no " + name + ending() + " (or .gz)\n  remedy: fetch that file, or train on the first files alone: --set dataset.files=1 … 4");
    return file;
  }

  /// Of the classes; none where the file is not there.
  std::vector<std::string> names() const {
    const bool ten = labels_ == "ten";
    const std::string list = ten ? "label_names" : labels_ + "_label_names";
    std::vector<std::string> lines;
    if (python_) {
      if (const fs::path file = find_file(folder_, ten ? "batches.meta" : "meta"); !file.empty())
        unpickled(file, [&](const Value& root) {
          if (const Value* found = root.find(list))
            for (const Value* name : found->items) lines.push_back(name->text);
        });
      return lines;
    }
    std::ifstream in(folder_ / (ten ? "batches.meta.txt" : list + ".txt"));
    for (std::string line; std::getline(in, line);)
      if (!line.empty()) lines.push_back(line);
    return lines;
  }

  std::int64_t count_of_classes() const { return labels_ == "ten" ? 10 : labels_ == "fine" ? 100 : 20; }

  Labelled read(const fs::path& file) const {
    Labelled found = python_ ? read_python(file) : read_binary(file);
    const Tensor wrong = (found.labels.lt(0) | found.labels.ge(count_of_classes())).nonzero();
    if (wrong.numel() == 0) return found;
    const std::int64_t at = wrong[0].item<std::int64_t>();
    throw std::runtime_error(file.string() + " has the label " + std::to_string(found.labels[at].item<std::int64_t>()) + " in record " + std::to_string(at) + ", counted from 0; expected one below " +
                             std::to_string(count_of_classes()) + ", as labels = \"" + labels_ + "\" says\n  remedy: " + other_labels() + "; else fetch the file again, or name another one");
  }

  /// Records of one or two label bytes and 3072 pixels in planes; as many as the file holds.
  Labelled read_binary(const fs::path& file) const {
    const std::int64_t label_bytes = labels_ == "ten" ? 1 : 2, label_at = labels_ == "fine" ? 1 : 0;
    const Bytes bytes = read_file(file);
    const std::int64_t record = label_bytes + pixels, size = static_cast<std::int64_t>(bytes.size());
    if (size == 0 || size % record != 0)
      damaged(file, "has " + std::to_string(size) + " bytes, no multiple of " + std::to_string(record) + ", the size of a record: it is cut short, or of another data set");
    const Tensor records = torch::from_blob(const_cast<std::uint8_t*>(bytes.data()), {size / record, record}, torch::kUInt8);
    return {records.narrow(1, label_bytes, pixels).reshape({-1, 3, 32, 32}).clone(), records.select(1, label_at).to(torch::kInt64)};
  }

  /// A pickled dict: `data`, bytes [N, 3072] in planes, and a list of N labels.
  Labelled read_python(const fs::path& file) const {
    Labelled found;
    unpickled(file, [&](const Value& root) {
      const std::string key = labels_ == "ten" ? "labels" : labels_ + "_labels";
      const Value *data = root.find("data"), *labels = root.find(key);
      if (!data || !labels) throw FormatError("holds no '" + std::string(data ? key : "data") + "'; " + other_labels());
      const Tensor records = zstar::formats::array_of(*data);
      found.labels = torch::tensor(zstar::formats::integers_of(*labels), torch::kInt64);
      if (records.scalar_type() != torch::kUInt8 || records.dim() != 2 || records.size(1) != pixels || records.size(0) != found.labels.numel() || records.size(0) == 0)
        throw FormatError("holds no image of " + std::to_string(pixels) + " bytes for each of its " + std::to_string(found.labels.numel()) + " labels");
      found.images = records.reshape({-1, 3, 32, 32}).clone();
    });
    return found;
  }

  template <class F>
  static void unpickled(const fs::path& file, const F& use) {
    const Bytes bytes = read_file(file);
    zstar::formats::about(file, [&] { use(zstar::formats::Pickle(zstar::formats::as_text(bytes)).root()); });
  }

  const std::string labels_;
  fs::path folder_;
  bool python_ = false;
};

}  // namespace

ZSTAR_PLUGIN("zstar.images", "0.1.0", "data sets of classified images")
ZSTAR_DATASET(Cifar, "cifar10", "CIFAR-10 or CIFAR-100, binary or Python version")
