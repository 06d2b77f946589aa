/// \file One picture as a signal, or frames of a video. Layouts: README.md.
#include <algorithm>

#include "frames.hpp"

namespace {

using namespace zstar_signals;

/// The zone plate with a plateau, 64 pixels a side unless said otherwise.
Tensor zone_plate(std::int64_t size) {
  const Tensor axis = torch::linspace(-1, 1, size > 0 ? size : 64, torch::kFloat64), x = axis.unsqueeze(0), y = axis.unsqueeze(1);
  const Tensor plateau = x.abs().lt(0.4).logical_and(y.abs().lt(0.25)).to(torch::kFloat64);
  return (2 * (0.7 * (0.5 + 0.5 * torch::cos(18 * (x.square() + y.square()))) + 0.3 * plateau) - 1).to(torch::kFloat32).unsqueeze(2);
}

class Image final : public Points {
 public:
  struct Options : SignalOptions {
    std::int64_t size = 0, channels = 0;
  };
  static auto options() {
    return std::tuple_cat(signal_options<Options>("a PNG or JPEG file; empty: a zone plate with a plateau"),
                          std::tuple{zstar::opt("size", &Options::size, "the middle square is averaged to this; 0: as the file is", zstar::at_least(0), "pixels"),
                                     zstar::opt("channels", &Options::channels, "1: grey, 3: colour; 0: as the file is", zstar::within(0, 3))});
  }
  Image(const Options& o, zstar::Host&) : Points(o) {
    expect_channels(o.channels);
    set(o.path.empty() ? zone_plate(o.size).expand({-1, -1, o.channels == 3 ? 3 : 1}) : fitted(read_picture(o.path), o.size, o.channels), /*columns_first=*/true);
  }

  std::vector<std::string> render(Split split, const Tensor& predictions, const std::string& folder) const override {
    const fs::path file = fs::path(folder) / "image.png";
    zstar::formats::write_png(file.string(), on_grid(split, predictions));
    return {file.string()};
  }
};

/// A disc that goes round in a circle.
Tensor moving_disc(std::int64_t frames, std::int64_t size) {
  const Tensor axis = torch::linspace(-1, 1, size, torch::kFloat64), x = axis.view({1, 1, -1}), y = axis.view({1, -1, 1});
  const Tensor phase = torch::arange(frames, torch::kFloat64).view({-1, 1, 1}) * (2 * M_PI / static_cast<double>(frames));
  const Tensor distance = ((x - 0.5 * phase.cos()).square() + (y - 0.5 * phase.sin()).square()).sqrt();
  return torch::tanh(20 * (0.3 - distance)).to(torch::kFloat32).unsqueeze(3);
}

class VideoFrames final : public Points {
 public:
  struct Options : SignalOptions {
    std::int64_t size = 0, channels = 0, frames = 0;
  };
  static auto options() {
    return std::tuple_cat(signal_options<Options>("a folder of PNG or JPEG frames, in the order of their names; empty: a moving disc"),
                          std::tuple{zstar::opt("size", &Options::size, "the middle square of each frame is averaged to this; 0: as the files are", zstar::at_least(0), "pixels"),
                                     zstar::opt("channels", &Options::channels, "1: grey, 3: colour; 0: as the files are", zstar::within(0, 3)),
                                     zstar::opt("frames", &Options::frames, "so many frames from the first on; 0: all", zstar::at_least(0))});
  }
  VideoFrames(const Options& o, zstar::Host&) : Points(o) {
    expect_channels(o.channels);
    set(o.path.empty() ? moving_disc(o.frames > 0 ? o.frames : 16, o.size > 0 ? o.size : 32).expand({-1, -1, -1, o.channels == 3 ? 3 : 1}) : read(o), /*columns_first=*/false);
  }

  std::vector<std::string> render(Split split, const Tensor& predictions, const std::string& folder) const override {
    return write_frames(on_grid(split, predictions), folder);
  }

 private:
  static Tensor read(const Options& o) {
    if (!fs::is_directory(o.path)) throw OptionError("path", o.path + " is no folder; name the folder of the frames");
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(o.path))
      if (const auto e = entry.path().extension(); e == ".png" || e == ".jpg" || e == ".jpeg") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    if (files.empty()) throw OptionError("path", o.path + " has no frame (.png, .jpg, .jpeg)");
    if (o.frames > static_cast<std::int64_t>(files.size()))
      throw OptionError("frames", o.path + " has " + std::to_string(files.size()) + " frames, frames = " + std::to_string(o.frames) + " asks for more; 0 takes all");
    if (o.frames > 0) files.resize(static_cast<std::size_t>(o.frames));
    std::vector<Tensor> frames;
    for (const fs::path& file : files) {
      frames.push_back(fitted(read_picture(file), o.size, o.channels));
      if (frames.back().sizes() != frames[0].sizes()) damaged(file, "has another size, or other channels, than the frame before it");
    }
    return torch::stack(frames);
  }
};

}  // namespace

ZSTAR_PLUGIN("zstar.signals", "0.1.0", "one image, sound or video as points of a function")
ZSTAR_DATASET(Image, "image", "the pixels of one picture (PNG, JPEG)")
ZSTAR_DATASET(VideoFrames, "video_frames", "the pixels of a folder of frames")
