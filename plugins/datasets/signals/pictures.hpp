#pragma once
/// \file Pictures: PNG and JPEG to bytes [H, W, C].

#include <turbojpeg.h>

#include <fstream>
#include <iterator>
#include <memory>

#include <zstar/formats/png.hpp>

#include "points.hpp"

namespace zstar_signals {
namespace {

inline std::string contents(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in || fs::is_directory(file)) damaged(file, "cannot be opened");
  return {std::istreambuf_iterator<char>(in), {}};
}

inline Tensor read_jpeg(const fs::path& file, const std::string& bytes) {
  const std::unique_ptr<void, int (*)(tjhandle)> decoder(tjInitDecompress(), tjDestroy);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  int width = 0, height = 0, sampling = 0, space = 0;
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &width, &height, &sampling, &space) != 0 || width <= 0 || height <= 0)
    damaged(file, std::string("is no readable JPEG: ") + tjGetErrorStr2(decoder.get()));
  const bool grey = space == TJCS_GRAY;
  const Tensor pixels = torch::empty({height, width, grey ? 1 : 3}, torch::kUInt8);
  if (tjDecompress2(decoder.get(), data, bytes.size(), pixels.data_ptr<std::uint8_t>(), width, 0, height, grey ? TJPF_GRAY : TJPF_RGB, 0) != 0)
    damaged(file, std::string("is damaged: ") + tjGetErrorStr2(decoder.get()));
  return pixels;
}

/// \return bytes [H, W, C], C = 1 or 3 \throws std::runtime_error  naming the file
inline Tensor read_picture(const fs::path& file) {
  const std::string bytes = contents(file);
  try {
    if (bytes.compare(0, 4, "\x89PNG") == 0) return zstar::formats::decode_png(bytes);
  } catch (const std::runtime_error& e) {
    damaged(file, e.what());
  }
  if (bytes.compare(0, 2, "\xff\xd8") == 0) return read_jpeg(file, bytes);
  damaged(file, "is neither PNG nor JPEG");
}

/// The middle square, averaged to `size` pixels a side; 0: as it is. \param channels  1, 3, or 0: as they are
inline Tensor fitted(Tensor pixels, std::int64_t size, std::int64_t channels) {
  if (size > 0) {
    const std::int64_t side = std::min(pixels.size(0), pixels.size(1));
    pixels = pixels.narrow(0, (pixels.size(0) - side) / 2, side).narrow(1, (pixels.size(1) - side) / 2, side);
    if (size > side) throw OptionError("size", "size = " + std::to_string(size) + " is more than the " + std::to_string(side) + " pixels of the picture");
    pixels = torch::adaptive_avg_pool2d(pixels.permute({2, 0, 1}).to(torch::kFloat32), {size, size}).round().to(torch::kUInt8).permute({1, 2, 0});
  }
  if (channels == 1 && pixels.size(2) == 3)  // luma of ITU-R BT.601
    pixels = pixels.to(torch::kFloat32).matmul(torch::tensor({0.299f, 0.587f, 0.114f})).round().to(torch::kUInt8).unsqueeze(2);
  if (channels == 3 && pixels.size(2) == 1) pixels = pixels.expand({pixels.size(0), pixels.size(1), 3});
  return pixels.contiguous();
}

}  // namespace
}  // namespace zstar_signals
