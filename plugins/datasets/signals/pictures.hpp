#pragma once
/// \file Pictures: PNG and JPEG to bytes [H, W, C].

#include "points.hpp"
#include "zstar/formats/pictures.hpp"

namespace zstar_signals {
namespace {

using zstar::formats::read_picture;

/// \param channels  as users ask for them: 0 … 3 \throws OptionError  for 2
inline void expect_channels(std::int64_t channels) {
  if (channels == 2) throw OptionError("channels", "channels = 2: a picture has 1 (grey) or 3 (colour); 0 takes it as the file is");
}

/// The middle square, averaged to `size` pixels a side; 0: as it is. \param channels  1, 3, or 0: as they are
inline Tensor fitted(Tensor pixels, std::int64_t size, std::int64_t channels) {
  if (size > 0) {
    const std::int64_t side = std::min(pixels.size(0), pixels.size(1));
    pixels = pixels.narrow(0, (pixels.size(0) - side) / 2, side).narrow(1, (pixels.size(1) - side) / 2, side);
    if (size > side) throw OptionError("size", "size = " + std::to_string(size) + " is more than the " + std::to_string(side) + " pixels of the picture");
    pixels = torch::adaptive_avg_pool2d(pixels.permute({2, 0, 1}).to(torch::kFloat32), {size, size}).round().to(torch::kUInt8).permute({1, 2, 0});
  }
  return zstar::formats::with_channels(pixels, channels).contiguous();
}

}  // namespace
}  // namespace zstar_signals
