#pragma once
/// \file Frames of a video, written one by one.

#include "pictures.hpp"

namespace zstar_signals {
namespace {

/// `frame_0001.png` … \param frames  [T, H, W, C] in [−1, 1] \return the files written
inline std::vector<std::string> write_frames(const Tensor& frames, const fs::path& folder) {
  std::vector<std::string> files;
  for (std::int64_t t = 0; t < frames.size(0); ++t) {
    const std::string number = std::to_string(t + 1);
    files.push_back((folder / ("frame_" + std::string(4 - std::min<std::size_t>(4, number.size()), '0') + number + ".png")).string());
    zstar::formats::write_png(files.back(), frames[t]);
  }
  return files;
}

}  // namespace
}  // namespace zstar_signals
