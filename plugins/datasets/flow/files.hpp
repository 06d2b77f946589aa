#pragma once
/// \file Files of optical flow and their images: .flo, .pfm, .ppm, 16-bit PNG of KITTI. Links PNG::PNG and zlib.
/// Readers take the bytes and throw FormatError; rows come from top to bottom.

#include <png.h>

#include <bit>
#include <cmath>
#include <cstring>

#include <zstar/formats/files.hpp>
#include <zstar/formats/png.hpp>
#include <zstar/sdk.hpp>

namespace zstar_flow_files {
namespace {

using torch::Tensor;
using zstar::formats::Bytes;
using zstar::formats::FormatError;
static_assert(std::endian::native == std::endian::little, "flow files are read as they lie");

constexpr std::int64_t longest_side = 65536;

/// Flow [2, H, W] and where it is known, [H, W].
struct FlowField {
  Tensor flow, valid;
};

/// 202021.25, width, height, then (u, v) row by row, little-endian. \return float32 [H, W, 2]
inline Tensor read_flo(const Bytes& bytes) {
  float magic = 0;
  std::int32_t size[2] = {0, 0};
  if (bytes.size() < 12) throw FormatError("is cut short: " + std::to_string(bytes.size()) + " bytes, at least 12 expected");
  std::memcpy(&magic, bytes.data(), 4), std::memcpy(size, bytes.data() + 4, 8);
  if (magic != 202021.25f) throw FormatError("is no .flo file: it does not begin with 202021.25");
  if (size[0] < 1 || size[1] < 1 || size[0] > longest_side || size[1] > longest_side)
    throw FormatError("is damaged: it names a size of " + std::to_string(size[0]) + " x " + std::to_string(size[1]));
  const std::size_t expected = 12 + std::size_t{8} * static_cast<std::size_t>(size[0]) * static_cast<std::size_t>(size[1]);  // before memory is asked for
  if (bytes.size() != expected)
    throw FormatError("has " + std::to_string(bytes.size()) + " bytes, " + std::to_string(expected) + " expected for " + std::to_string(size[0]) + " x " + std::to_string(size[1]));
  const Tensor flow = torch::empty({size[1], size[0], 2});
  std::memcpy(flow.data_ptr(), bytes.data() + 12, flow.nbytes());
  return flow;
}

/// \param flow  [H, W, 2]
inline std::string flo_bytes(const Tensor& flow) {
  const Tensor f = flow.detach().to(torch::kCPU, torch::kFloat32).contiguous();
  const float magic = 202021.25f;
  const std::int32_t size[2] = {static_cast<std::int32_t>(f.size(1)), static_cast<std::int32_t>(f.size(0))};
  std::string bytes(12 + f.nbytes(), '\0');
  std::memcpy(bytes.data(), &magic, 4), std::memcpy(bytes.data() + 4, size, 8), std::memcpy(bytes.data() + 12, f.data_ptr(), f.nbytes());
  return bytes;
}

/// Words of a text header, comments left out; `at` ends behind the one white space that follows the last of them.
inline std::vector<std::string> header_words(const Bytes& bytes, std::size_t count, std::size_t& at) {
  std::vector<std::string> words;
  while (words.size() < count) {
    while (at < bytes.size() && std::isspace(bytes[at])) ++at;
    if (at < bytes.size() && bytes[at] == '#') {
      while (at < bytes.size() && bytes[at] != '\n') ++at;
      continue;
    }
    std::string word;
    while (at < bytes.size() && !std::isspace(bytes[at]) && word.size() < 32) word += static_cast<char>(bytes[at++]);
    if (word.empty()) throw FormatError("is cut short in its header");
    words.push_back(word);
  }
  ++at;
  return words;
}

inline std::int64_t side_of(const std::string& word) {
  char* end = nullptr;
  const long n = std::strtol(word.c_str(), &end, 10);
  if (*end != '\0' || n < 1 || n > longest_side) throw FormatError("is damaged: '" + word + "' is no height or width");
  return n;
}

/// `PF` (three channels) or `Pf` (one); a negative scale says little-endian; rows bottom first. \return float32 [H, W, C]
inline Tensor read_pfm(const Bytes& bytes) {
  std::size_t at = 0;
  const auto words = header_words(bytes, 4, at);
  if (words[0] != "PF" && words[0] != "Pf") throw FormatError("is no .pfm file: it begins with '" + words[0] + "', PF or Pf expected");
  const std::int64_t channels = words[0] == "PF" ? 3 : 1, w = side_of(words[1]), h = side_of(words[2]);
  char* end = nullptr;
  const double scale = std::strtod(words[3].c_str(), &end);
  if (*end != '\0' || scale == 0 || !std::isfinite(scale)) throw FormatError("is damaged: '" + words[3] + "' is no scale");
  if (const auto expected = static_cast<std::size_t>(4 * h * w * channels); at > bytes.size() || bytes.size() - at != expected)
    throw FormatError("holds " + std::to_string(at > bytes.size() ? 0 : bytes.size() - at) + " bytes of values, " + std::to_string(expected) + " expected");
  const Tensor values = torch::empty({h, w, channels});
  std::memcpy(values.data_ptr(), bytes.data() + at, values.nbytes());
  if (scale > 0) {
    auto* word = static_cast<std::uint32_t*>(values.data_ptr());
    for (std::int64_t i = 0; i < values.numel(); ++i) word[i] = __builtin_bswap32(word[i]);
  }
  return values.flip({0});
}

/// Binary .ppm with 255 levels. \return uint8 [H, W, 3]
inline Tensor read_ppm(const Bytes& bytes) {
  std::size_t at = 0;
  const auto words = header_words(bytes, 4, at);
  if (words[0] != "P6" || words[3] != "255") throw FormatError("is no binary .ppm file of 255 levels (P6)");
  const std::int64_t h = side_of(words[2]), w = side_of(words[1]);
  if (at > bytes.size() || bytes.size() - at < static_cast<std::size_t>(3 * h * w)) throw FormatError("is cut short: " + std::to_string(3 * h * w) + " bytes of pixels expected");
  const Tensor pixels = torch::empty({h, w, 3}, torch::kUInt8);
  std::memcpy(pixels.data_ptr(), bytes.data() + at, pixels.nbytes());
  return pixels;
}

/// A PNG of three channels of 16 bits, as stored. \return int32 [H, W, 3]
inline Tensor read_png16(const Bytes& bytes) {
  struct Source {
    const Bytes& bytes;
    std::size_t at = 0;
    char words[256] = "";
  } source{bytes};
  png_structp png = png_create_read_struct(
      PNG_LIBPNG_VER_STRING, &source,
      [](png_structp p, png_const_charp words) {
        std::strncpy(static_cast<Source*>(png_get_error_ptr(p))->words, words, 255);
        png_longjmp(p, 1);
      },
      [](png_structp, png_const_charp) {});
  png_infop info = png_create_info_struct(png);
  Tensor values;
  std::vector<png_bytep> rows;
  if (setjmp(png_jmpbuf(png)) != 0) {
    png_destroy_read_struct(&png, &info, nullptr);
    throw FormatError(std::string("is no readable PNG: ") + source.words);
  }
  png_set_read_fn(png, &source, [](png_structp p, png_bytep out, png_size_t n) {
    auto* s = static_cast<Source*>(png_get_io_ptr(p));
    if (n > s->bytes.size() - s->at) png_error(p, "it is cut short");
    std::memcpy(out, s->bytes.data() + s->at, n);
    s->at += n;
  });
  png_read_info(png, info);
  const auto w = png_get_image_width(png, info), h = png_get_image_height(png, info);
  if (png_get_bit_depth(png, info) != 16 || png_get_color_type(png, info) != PNG_COLOR_TYPE_RGB || w > longest_side || h > longest_side)
    png_error(png, "three channels of 16 bits expected");
  if (zstar::formats::beyond_deflate(6.0 * w * h, bytes.size())) png_error(png, "it names a size that its bytes cannot hold");
  png_set_swap(png);
  png_set_interlace_handling(png);
  values = torch::empty({static_cast<std::int64_t>(h), static_cast<std::int64_t>(w), 3}, torch::kInt16);
  for (png_uint_32 y = 0; y < h; ++y) rows.push_back(static_cast<png_bytep>(values.data_ptr()) + static_cast<std::size_t>(y) * w * 6);
  png_read_image(png, rows.data());
  png_read_end(png, nullptr);  // a file without its end is cut short
  png_destroy_read_struct(&png, &info, nullptr);
  return values.to(torch::kInt32).bitwise_and(0xffff);
}

/// KITTI's flow: u = (R − 2¹⁵)/64, v = (G − 2¹⁵)/64, valid = B; unknown pixels decode to −512. \return flow [2, H, W], valid [H, W]
inline FlowField read_kitti_flow(const Bytes& bytes) {
  const Tensor values = read_png16(bytes).to(torch::kFloat32);
  return {((values.narrow(2, 0, 2) - 32768) / 64).permute({2, 0, 1}).contiguous(), (values.select(2, 2) > 0).to(torch::kFloat32)};
}

/// The same written: rounded, cut to what 16 bits hold. \param flow  [2, H, W] \param valid  [H, W]
inline void write_kitti_flow(const std::string& file, const Tensor& flow, const Tensor& valid) {
  const Tensor two = (flow.detach().to(torch::kFloat64) * 64 + 32768).round().clamp(0, 65535), all = torch::cat({two, valid.to(torch::kFloat64).unsqueeze(0)}).permute({1, 2, 0});
  const Tensor words = all.to(torch::kInt32).contiguous();
  std::vector<std::uint16_t> pixels(static_cast<std::size_t>(words.numel()));
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = __builtin_bswap16(static_cast<std::uint16_t>(words.data_ptr<std::int32_t>()[i]));
  std::FILE* out = std::fopen(file.c_str(), "wb");
  if (!out) throw std::runtime_error(file + " cannot be written: " + std::strerror(errno));
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  const bool good = setjmp(png_jmpbuf(png)) == 0;
  if (good) {
    png_init_io(png, out);
    png_set_IHDR(png, info, static_cast<png_uint_32>(words.size(1)), static_cast<png_uint_32>(words.size(0)), 16, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (std::int64_t y = 0; y < words.size(0); ++y) png_write_row(png, reinterpret_cast<png_const_bytep>(pixels.data() + y * words.size(1) * 3));
    png_write_end(png, nullptr);
  }
  png_destroy_write_struct(&png, &info);
  if (std::fclose(out) != 0 || !good) throw std::runtime_error(file + " cannot be written");
}

/// An image by its first bytes: .ppm or PNG, grey tripled. \return float32 [3, H, W], 0 … 255
inline Tensor read_image(const Bytes& bytes) {
  Tensor pixels;
  if (bytes.size() > 2 && bytes[0] == 'P') pixels = read_ppm(bytes);
  else try {
      pixels = zstar::formats::decode_png({bytes.begin(), bytes.end()});
    } catch (const std::runtime_error& error) {
      throw FormatError(error.what());
    }
  return pixels.expand({pixels.size(0), pixels.size(1), 3}).permute({2, 0, 1}).to(torch::kFloat32).contiguous();
}

}  // namespace
}  // namespace zstar_flow_files
