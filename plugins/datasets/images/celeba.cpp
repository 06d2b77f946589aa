/// \file CelebA, aligned and cropped. Layout and source: README.md.
#include <fstream>

#include "decoded.hpp"

namespace {

using namespace zstar_images;

class Celeba final : public Unlabelled {
 public:
  using Options = Unlabelled::Options;
  static auto options() { return unlabelled_options<Options>("folder of img_align_celeba and list_eval_partition.txt, or the one above it (celeba)"); }

  Celeba(const Options& o, zstar::Host&) : Unlabelled(o), root_(locate(o.path)) {
    const fs::path list = root_ / "list_eval_partition.txt";
    std::ifstream in(list);
    std::string name;
    for (int part = 0; in >> name >> part;) {
      if (part < 0 || part > 2) damaged(list, "names part " + std::to_string(part) + " of " + name + "; 0 (training), 1 (validation) or 2 (test) expected");
      if (name == ".." || name == "." || name.find('/') != std::string::npos) damaged(list, "names " + name + ", which is no name of a file in img_align_celeba");
      names_[part].push_back(name);
    }
    if (!in.eof()) damaged(list, "is no list of 'NAME.jpg PART' from the line behind " + (name.empty() ? "its beginning" : name) + " on");
    if (names_[0].empty() && names_[1].empty() && names_[2].empty()) damaged(list, "names no picture");
  }

  std::int64_t size(Split split) const override { return static_cast<std::int64_t>(names_[static_cast<std::size_t>(split)].size()); }

 protected:
  /// The face: 128 pixels a side around row 121, column 89, as published for diffusion.
  Tensor square(Split split, std::int64_t index) const override {
    const fs::path file = root_ / "img_align_celeba" / names_[static_cast<std::size_t>(split)][static_cast<std::size_t>(index)];
    const Tensor pixels = zstar::formats::with_channels(zstar::formats::read_picture(file), channels());
    if (pixels.size(0) < 185 || pixels.size(1) < 153)
      damaged(file, "has " + std::to_string(pixels.size(0)) + " x " + std::to_string(pixels.size(1)) + " pixels; aligned pictures have 218 x 178");
    return scaled(pixels.narrow(0, 121 - 64, 128).narrow(1, 89 - 64, 128), chosen().size, chosen().size);
  }

 private:
  static fs::path locate(const fs::path& path) {
    for (const fs::path& folder : {path, path / "celeba"})
      if (fs::is_directory(folder / "img_align_celeba") && fs::is_regular_file(folder / "list_eval_partition.txt")) return folder;
    throw OptionError("path", path.string() + " holds no img_align_celeba with list_eval_partition.txt beside it, nor does a folder celeba in it");
  }

  fs::path root_;
  std::vector<std::string> names_[3];
};

}  // namespace

ZSTAR_DATASET(Celeba, "celeba", "faces of CelebA, aligned and cropped, to be generated")
