#pragma once
/// \file Pictures in PNG files. A plugin that includes this links PNG::PNG.

#include <png.h>

#include <memory>
#include <stdexcept>
#include <string>

#include <torch/types.h>

namespace zstar::formats {

/// Whether no more than `stored` compressed bytes can hold `raw` ones: deflate saves at most a factor of 1032.
inline bool beyond_deflate(double raw, std::size_t stored) { return raw > 1032.0 * static_cast<double>(stored); }

/// \param bytes  of a PNG file \return bytes [H, W, C], C = 1 (grey) or 3; alpha is laid on black, 16 bits become 8
/// \throws std::runtime_error  saying what is wrong, without the name of the file
inline torch::Tensor decode_png(const std::string& bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, void (*)(png_image*)> owner(&image, png_image_free);
  if (!png_image_begin_read_from_memory(&image, bytes.data(), bytes.size())) throw std::runtime_error(std::string("is no readable PNG: ") + image.message);
  const bool colour = image.format & PNG_FORMAT_FLAG_COLOR;
  if (beyond_deflate(static_cast<double>(image.width) * image.height / 8, bytes.size()))  // at least a bit for every pixel
    throw std::runtime_error("is damaged: it names a size of " + std::to_string(image.width) + " x " + std::to_string(image.height) + " that its bytes cannot hold");
  image.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  const torch::Tensor pixels = torch::empty({image.height, image.width, colour ? 3 : 1}, torch::kUInt8);
  const png_color black{};
  if (!png_image_finish_read(&image, &black, pixels.data_ptr(), 0, nullptr)) throw std::runtime_error(std::string("is damaged: ") + image.message);
  return pixels;
}

/// libpng's words for bytes [H, W, C], C = 1 or 3.
inline png_image image_of(const torch::Tensor& bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.height = static_cast<png_uint_32>(bytes.size(0)), image.width = static_cast<png_uint_32>(bytes.size(1));
  image.format = bytes.size(2) == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  return image;
}

/// \param pixels  bytes [H, W, C], C = 1 or 3 \return  of a PNG file \throws std::runtime_error
inline std::string encode_png(const torch::Tensor& pixels) {
  const torch::Tensor bytes = pixels.contiguous();
  png_image image = image_of(bytes);
  std::string file(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
  png_alloc_size_t size = file.size();
  if (!png_image_write_to_memory(&image, file.data(), &size, 0, bytes.data_ptr(), 0, nullptr)) throw std::runtime_error(std::string("no PNG was made: ") + image.message);
  file.resize(size);
  return file;
}

/// \param values  in [−1, 1], clamped, [H, W, C], C = 1 or 3 \throws std::runtime_error  naming the file that cannot be written
inline void write_png(const std::string& file, const torch::Tensor& values) {
  const torch::Tensor bytes = ((values + 1) * 127.5).round().clamp(0, 255).to(torch::kUInt8).contiguous();
  png_image image = image_of(bytes);
  if (!png_image_write_to_file(&image, file.c_str(), 0, bytes.data_ptr(), 0, nullptr)) throw std::runtime_error(file + " cannot be written: " + image.message);
}

}  // namespace zstar::formats
