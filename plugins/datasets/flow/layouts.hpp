#pragma once
/// \file Where the pairs of FlyingChairs, FlyingThings3D, Sintel, KITTI 2015 and HD1K lie, and the options of these sets.

#include <fstream>
#include <set>

#include "numbered.hpp"

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
      zstar::opt("path", &O::path, "folder of the official layout, or a file of one of its pairs"),
      zstar::choice("passes", &O::passes, "Sintel and FlyingThings3D: which rendering", {"clean", "final", "both"}),
      zstar::opt("split_file", &O::split_file, "FlyingChairs: list of marks, 1 training, 2 validation; empty: all pairs train"),
      zstar::opt("crop", &O::crop, "height and width of training crops, which turn augmentation on; empty: whole images as they are", zstar::at_least(8), "pixels"),
      zstar::opt("min_scale", &O::min_scale, "least scale of the augmentation, as a power of 2", zstar::within(-3.0, 3.0)),
      zstar::opt("max_scale", &O::max_scale, "largest scale of the augmentation, as a power of 2", zstar::within(-3.0, 3.0)),
      zstar::opt("flip", &O::flip, "augmentation mirrors images"),
      zstar::opt("submission", &O::submission, "Sintel and KITTI: the test split are the official test pairs, without truth, for 'zstar render'")};
}

inline std::vector<std::string> passes_of(const OfficialOptions& o) { return o.passes == "both" ? std::vector<std::string>{"clean", "final"} : std::vector{o.passes}; }

/// One mark for each pair: 1 training, 2 validation; without a file all pairs train. \throws OptionError  where the file does not say that
inline std::vector<int> marks_of(const std::string& file, std::size_t pairs) {
  if (file.empty()) return std::vector<int>(pairs, 1);
  const auto wrong = [&file](const std::string& what) { throw OptionError("split_file", file + " " + what); };
  std::ifstream in(file);
  if (!in || !fs::is_regular_file(file)) wrong("cannot be opened");
  std::vector<int> marks;
  for (int mark = 0; in >> mark;) {
    marks.push_back(mark);
    if (mark != 1 && mark != 2) wrong("has mark " + std::to_string(mark) + " for pair " + std::to_string(marks.size()) + ", neither 1 (training) nor 2 (validation)");
  }
  if (!in.eof()) wrong("has something else than a number behind its mark " + std::to_string(marks.size()));
  if (marks.size() != pairs) wrong("has " + std::to_string(marks.size()) + " marks for " + std::to_string(pairs) + " pairs");
  return marks;
}

/// Where the pairs of a set lie; files are matched by their numbers, and one that lacks its partner is refused. `sparse`: flow is known at some pixels only.
struct Chairs {
  static constexpr bool sparse = false;
  static void list(const OfficialOptions& o, std::vector<Sample> (&splits)[3]) {
    const fs::path root = fs::is_directory(fs::path(o.path) / "data") ? fs::path(o.path) / "data" : fs::path(o.path);
    Numbered flows(root, "", "_flow.flo"), first(root, "", "_img1.ppm"), second(root, "", "_img2.ppm");
    if (flows.files().empty() && first.files().empty())  // the samples that were published apart from the set
      flows = {root, "", "-gt.flo"}, first = {root, "", "-img0.ppm"}, second = {root, "", "-img1.ppm"};
    for (const Numbered* images : {&first, &second}) each_has(flows, *images), each_has(*images, flows);
    const std::vector<int> marks = marks_of(o.split_file, flows.files().size());
    std::int64_t i = 0;
    for (const auto& [n, flow] : flows.files()) {
      splits[marks[static_cast<std::size_t>(i)] == 1 ? 0 : 1].push_back({first.at(n, flow), second.at(n, flow), flow, i, 0, bare(flow).stem().string()});
      ++i;
    }
  }
};

struct Things {
  static constexpr bool sparse = false;
  static void list(const OfficialOptions& o, std::vector<Sample> (&splits)[3]) {
    const fs::path root = o.path;
    std::int64_t video = 0;
    for (const std::string& pass : passes_of(o))
      for (const fs::path& letter : folders(root / ("frames_" + pass + "pass/TRAIN")))
        for (const fs::path& scene : folders(letter)) {
          const Numbered images(scene / "left", "", ".png");
          for (const bool future : {true, false}) {
            const fs::path place = fs::path(letter.filename()) / scene.filename();
            const std::string direction = future ? "future" : "past";
            const Numbered flows(root / "optical_flow/TRAIN" / place / ("into_" + direction) / "left", future ? "OpticalFlowIntoFuture_" : "OpticalFlowIntoPast_", "_L.pfm");
            each_has(flows, images);
            each_step(images, [&](std::int64_t n, const fs::path& before, const fs::path& after) {
              const fs::path& flow = future ? flows.at(n, before) : flows.at(n + 1, after);
              splits[0].push_back({future ? before : after, future ? after : before, flow, video, n - images.files().begin()->first,
                                   (fs::path(pass) / place / direction / bare(flow).stem()).string()});
            });
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
    const bool truth = part == "training";
    std::vector<Sample> found;
    std::int64_t video = 0;
    for (const std::string& pass : passes_of(o))
      for (const fs::path& scene : folders(root / pass)) {
        const Numbered images(scene, "frame_", ".png"), flows = truth ? Numbered(root / "flow" / scene.filename(), "frame_", ".flo") : Numbered();
        each_has(flows, images), each_has(flows, images, /*later=*/1);
        each_step(images, [&](std::int64_t n, const fs::path& before, const fs::path& after) {
          found.push_back({before, after, truth ? flows.at(n, before) : fs::path(), video, n - images.files().begin()->first, pass + "/" + scene.filename().string() + "/frame" + digits(n, 4)});
        });
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
    const Numbered first(root / "image_2", "", "_10.png"), second(root / "image_2", "", "_11.png");
    const Numbered flows = truth ? Numbered(root / "flow_occ", "", "_10.png") : Numbered();
    each_has(first, second), each_has(second, first), each_has(flows, first);
    std::vector<Sample> found;
    for (const auto& [n, image] : first.files())
      found.push_back({image, second.at(n, image), truth ? flows.at(n, image) : fs::path(), static_cast<std::int64_t>(found.size()), 0, "flow/" + bare(image).stem().string()});
    return found;
  }
};

struct Hd1k {
  static constexpr bool sparse = true;
  static void list(const OfficialOptions& o, std::vector<Sample> (&splits)[3]) {
    const fs::path of_images = fs::path(o.path) / "hd1k_input/image_2", of_flows = fs::path(o.path) / "hd1k_flow_gt/flow_occ";
    std::set<std::string> sequences;
    for (const fs::path& folder : {of_images, of_flows})
      for (const fs::path& file : listed(folder, ".png")) sequences.insert(bare(file).string().substr(0, 7));  // "000000_"
    std::int64_t video = 0;
    for (const std::string& sequence : sequences) {
      const Numbered images(of_images, sequence, ".png"), flows(of_flows, sequence, ".png");
      each_has(flows, images);
      each_step(images, [&](std::int64_t n, const fs::path& before, const fs::path& after) {
        splits[0].push_back({before, after, flows.at(n, before), video, n - images.files().begin()->first, bare(before).stem().string()});
      });
      ++video;
    }
  }
};

}  // namespace
}  // namespace zstar_flow_files
