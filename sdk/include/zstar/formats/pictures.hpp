#pragma once
/// \file Pictures in PNG and JPEG files. A plugin that includes this links zstar_formats, PNG::PNG and libturbojpeg.

#include <turbojpeg.h>

#include "zstar/formats/files.hpp"
#include "zstar/formats/png.hpp"

namespace zstar::formats {

/// \param bytes  of a JPEG file \return bytes [H, W, C], C = 1 (grey) or 3
/// \throws std::runtime_error  saying what is wrong, without the name of the file
inline torch::Tensor decode_jpeg(std::string_view bytes) {
  const std::unique_ptr<void, int (*)(tjhandle)> decoder(tjInitDecompress(), tjDestroy);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  int width = 0, height = 0, sampling = 0, space = 0;
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &width, &height, &sampling, &space) != 0 || width <= 0 || height <= 0)
    throw std::runtime_error(std::string("is no readable JPEG: ") + tjGetErrorStr2(decoder.get()));
  if (static_cast<double>(width) * height / 64 > 8.0 * static_cast<double>(bytes.size()))  // a block of 64 pixels takes at least a bit
    throw std::runtime_error("is damaged: it names a size of " + std::to_string(width) + " x " + std::to_string(height) + " that its bytes cannot hold");
  const bool grey = space == TJCS_GRAY;
  const torch::Tensor pixels = torch::empty({height, width, grey ? 1 : 3}, torch::kUInt8);
  if (tjDecompress2(decoder.get(), data, bytes.size(), pixels.data_ptr<std::uint8_t>(), width, 0, height, grey ? TJPF_GRAY : TJPF_RGB, 0) != 0)
    throw std::runtime_error(std::string("is damaged: ") + tjGetErrorStr2(decoder.get()));
  return pixels;
}

/// \param bytes  of a PNG or JPEG file \return bytes [H, W, C], C = 1 or 3 \throws FormatError
inline torch::Tensor decode_picture(std::string_view bytes) {
  try {
    if (bytes.substr(0, 4) == "\x89PNG") return decode_png(std::string(bytes));
    if (bytes.substr(0, 2) == "\xff\xd8") return decode_jpeg(bytes);
  } catch (const std::runtime_error& error) {
    throw FormatError(error.what());
  } catch (const c10::Error&) {  // of the tensor for its pixels
    throw FormatError("says that it has more pixels than memory can hold");
  }
  throw FormatError("is neither PNG nor JPEG");
}

/// The same of a file. \throws std::runtime_error  naming the file
inline torch::Tensor read_picture(const fs::path& file) {
  if (!fs::is_regular_file(file)) errno = EINVAL, not_opened(file);
  return about(file, [&] { return decode_picture(as_text(read_file(file))); });
}

/// Grey from colour by luma of ITU-R BT.601, or colour from grey. \param pixels  [H, W, C] \param channels  1, 3, or 0: as they are
inline torch::Tensor with_channels(const torch::Tensor& pixels, std::int64_t channels) {
  if (channels == 1 && pixels.size(2) == 3)
    return pixels.to(torch::kFloat32).matmul(torch::tensor({0.299f, 0.587f, 0.114f})).round().to(torch::kUInt8).unsqueeze(2);
  if (channels == 3 && pixels.size(2) == 1) return pixels.expand({pixels.size(0), pixels.size(1), 3});
  return pixels;
}

}  // namespace zstar::formats
