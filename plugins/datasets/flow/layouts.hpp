#pragma once
/// \file Where the pairs of FlyingChairs, FlyingThings3D, Sintel, KITTI 2015 and HD1K lie, and the options of these sets.

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <zstar/sdk.hpp>

namespace zstar_flow_files {
namespace {

namespace fs = std::filesystem;
using zstar::OptionError;

struct Sample {
  fs::path image1, image2, flow;  ///< no flow: a pair of a test set without public truth
  std::int64_t sequence = 0, frame = 0;
  std::string name;  ///< of its files in a submission, without their ending
};

struct OfficialOptions {
  std::string path, passes = "clean", split_file;
  std::vector<std::int64_t> crop;
  double min_scale = -0.1, max_scale = 1.0;
  bool flip = true, submission = false;
};

inline auto official_options() {
  using O = OfficialOptions;
  return std::tuple{
      zstar::opt("path", &O::path, "folder of the official layout"),
      zstar::choice("passes", &O::passes, "Sintel and FlyingThings3D: which rendering", {"clean", "final", "both"}),
      zstar::opt("split_file", &O::split_file, "FlyingChairs: list of marks, 1 training, 2 validation; empty: all pairs train"),
      zstar::opt("crop", &O::crop, "height and width of training crops, which turn augmentation on; empty: whole images as they are", zstar::at_least(8), "pixels"),
      zstar::opt("min_scale", &O::min_scale, "least scale of the augmentation, as a power of 2", zstar::within(-3.0, 3.0)),
      zstar::opt("max_scale", &O::max_scale, "largest scale of the augmentation, as a power of 2", zstar::within(-3.0, 3.0)),
      zstar::opt("flip", &O::flip, "augmentation mirrors images"),
      zstar::opt("submission", &O::submission, "Sintel and KITTI: the test split are the official test pairs, without truth, for 'zstar render'")};
}

/// A number with at least this many digits.
inline std::string digits(std::int64_t n, std::size_t least) {
  const std::string text = std::to_string(n);
  return std::string(text.size() < least ? least - text.size() : 0, '0') + text;
}

/// The name of a file, `.gz` left out.
inline fs::path bare(const fs::path& file) { return file.extension() == ".gz" ? file.stem() : file.filename(); }

/// Files of a folder with this ending, compressed or not, or without an ending its folders; sorted. \throws std::runtime_error  if there is no such folder
inline std::vector<fs::path> listed(const fs::path& folder, const std::string& ending) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (const std::string name = bare(entry->path()).string(); ending.empty() ? entry->is_directory() : name.size() > ending.size() && name.ends_with(ending)) files.push_back(entry->path());
  if (error) throw std::runtime_error(folder.string() + " cannot be listed: " + error.message() + "\n  remedy: name the folder above it: --set dataset.path=FOLDER");
  std::sort(files.begin(), files.end());
  return files;
}

inline std::vector<std::string> passes_of(const OfficialOptions& o) { return o.passes == "both" ? std::vector<std::string>{"clean", "final"} : std::vector{o.passes}; }

/// Where the pairs of a set lie. `sparse`: flow is known at some pixels only.
struct Chairs {
  static constexpr bool sparse = false;
  static void list(const OfficialOptions& o, std::vector<Sample> (&splits)[3]) {
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
    for (std::size_t i = 0; i < flows.size(); ++i) splits[marks[i] == 1 ? 0 : 1].push_back({images[2 * i], images[2 * i + 1], flows[i], static_cast<std::int64_t>(i), 0, bare(flows[i]).stem().string()});
  }
};

struct Things {
  static constexpr bool sparse = false;
  static void list(const OfficialOptions& o, std::vector<Sample> (&splits)[3]) {
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
              const fs::path& flow = flows[future ? i : i + 1];
              splits[0].push_back({images[future ? i : i + 1], images[future ? i + 1 : i], flow, video, static_cast<std::int64_t>(i),
                                   (fs::path(pass) / letter.filename() / scene.filename() / direction / bare(flow).stem()).string()});
            }
            ++video;
          }
        }
  }
};

struct Sintel {
  static constexpr bool sparse = false;
  static void list(const OfficialOptions& o, std::vector<Sample> (&splits)[3]) {
    std::vector<Sample> known;  // the test set has no public truth: training pairs validate
    if (!o.submission || fs::is_directory(fs::path(o.path) / "training")) known = pairs(o, "training");
    splits[0] = splits[1] = known;
    if (o.submission) splits[2] = pairs(o, "test");
  }

 private:
  static std::vector<Sample> pairs(const OfficialOptions& o, const std::string& part) {
    const fs::path root = fs::path(o.path) / part;
    std::vector<Sample> found;
    std::int64_t video = 0;
    for (const std::string& pass : passes_of(o))
      for (const fs::path& scene : listed(root / pass, "")) {
        const auto images = listed(scene, ".png"), flows = part == "test" ? std::vector<fs::path>(images.size()) : listed(root / "flow" / scene.filename(), ".flo");
        for (std::size_t i = 0; i + 1 < images.size() && i < flows.size(); ++i)
          found.push_back({images[i], images[i + 1], flows[i], video, static_cast<std::int64_t>(i), pass + "/" + scene.filename().string() + "/frame" + digits(static_cast<std::int64_t>(i) + 1, 4)});
        ++video;
      }
    return found;
  }
};

struct Kitti {
  static constexpr bool sparse = true;
  static void list(const OfficialOptions& o, std::vector<Sample> (&splits)[3]) {
    std::vector<Sample> known;
    if (!o.submission || fs::is_directory(fs::path(o.path) / "training")) known = pairs(fs::path(o.path) / "training", /*truth=*/true);
    splits[0] = splits[1] = known;
    if (o.submission) splits[2] = pairs(fs::path(o.path) / "testing", /*truth=*/false);
  }

 private:
  static std::vector<Sample> pairs(const fs::path& root, bool truth) {
    const auto first = listed(root / "image_2", "_10.png"), second = listed(root / "image_2", "_11.png");
    const auto flows = truth ? listed(root / "flow_occ", "_10.png") : std::vector<fs::path>(first.size());
    std::vector<Sample> found;
    for (std::size_t i = 0; i < std::min({first.size(), second.size(), flows.size()}); ++i)
      found.push_back({first[i], second[i], flows[i], static_cast<std::int64_t>(i), 0, "flow/" + bare(first[i]).stem().string()});
    return found;
  }
};

struct Hd1k {
  static constexpr bool sparse = true;
  static void list(const OfficialOptions& o, std::vector<Sample> (&splits)[3]) {
    const fs::path images = fs::path(o.path) / "hd1k_input/image_2";
    std::int64_t video = -1;
    std::string before;
    const auto flows = listed(fs::path(o.path) / "hd1k_flow_gt/flow_occ", ".png");
    for (std::size_t i = 0; i + 1 < flows.size(); ++i) {
      const std::string sequence = flows[i].filename().string().substr(0, 6), next = flows[i + 1].filename().string();
      video += sequence != before;
      before = sequence;
      if (next.substr(0, 6) == sequence) splits[0].push_back({images / flows[i].filename(), images / next, flows[i], video, static_cast<std::int64_t>(i), flows[i].stem().string()});
    }
  }
};

}  // namespace
}  // namespace zstar_flow_files
