#pragma once
/// \file What a model says of images, as pictures: a grid of images with their classes, and the confusion matrix. SVG.

#include <filesystem>
#include <fstream>

#include <zstar/sdk.hpp>

#include "zstar/formats/pictures.hpp"

namespace zstar_images {
namespace {

namespace fs = std::filesystem;
using torch::Tensor;

/// Classes that are true and that were said, [N] each, and names of the classes.
struct Answers {
  Tensor truth, said;
  std::vector<std::string> names;
  std::string name(std::int64_t c) const { return static_cast<std::size_t>(c) < names.size() ? names[static_cast<std::size_t>(c)] : std::to_string(c); }
};

inline std::string base64(const std::string& bytes) {
  constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k) word = word << 8 | (i + k < bytes.size() ? static_cast<std::uint8_t>(bytes[i + k]) : 0);
    for (std::size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : letters[word >> (18 - 6 * k) & 63];
  }
  return text;
}

inline std::string in_xml(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '<' ? std::string("&lt;") : c == '&' ? std::string("&amp;") : std::string(1, c);
  return out;
}

inline std::string svg_text(double x, double y, const std::string& text, const std::string& more) {
  return "<text x=\"" + std::to_string(std::llround(x)) + "\" y=\"" + std::to_string(std::llround(y)) + "\" " + more + ">" + in_xml(text) + "</text>\n";
}

inline std::string svg(std::int64_t width, std::int64_t height, const std::string& inside) {
  const std::string size = std::to_string(width) + "\" height=\"" + std::to_string(height);
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + size + "\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"" + size + "\" fill=\"white\"/>\n" + inside + "</svg>\n";
}

/// The first images in rows of eight, the class that was said below each, and behind it the true one where they differ.
/// \param images  bytes [N, C, H, W], C = 1 or 3
inline std::string grid_svg(const Tensor& images, const Answers& answers) {
  constexpr std::int64_t columns = 8, cell = 104, side = 80, shown = 48;
  const std::int64_t n = std::min(shown, images.size(0));
  std::string inside;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t x = i % columns * cell + 12, y = i / columns * cell + 6, truth = answers.truth[i].item<std::int64_t>(), said = answers.said[i].item<std::int64_t>();
    inside += "<image x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(y) + "\" width=\"" + std::to_string(side) + "\" height=\"" + std::to_string(side) +
              "\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64," + base64(zstar::formats::encode_png(images[i].permute({1, 2, 0}))) + "\"/>\n";
    const bool right = truth == said;  // colours that most colour-blind readers can tell apart
    inside += svg_text(static_cast<double>(x), static_cast<double>(y + side + 12), answers.name(said) + (right ? "" : " (" + answers.name(truth) + ")"),
                       right ? "fill=\"#0072B2\"" : "fill=\"#D55E00\" font-weight=\"bold\"");
  }
  return svg(columns * cell, (n + columns - 1) / columns * cell, inside);
}

/// Rows are true classes, columns those that were said; a cell is the darker, the larger its share of the row.
inline std::string confusion_svg(const Answers& answers, std::int64_t classes) {
  const Tensor counts = (answers.truth * classes + answers.said).bincount({}, classes * classes).reshape({classes, classes});
  const auto count = counts.accessor<std::int64_t, 2>();
  constexpr std::int64_t cell = 40, left = 90, top = 30;
  std::string inside = svg_text(left, 14, "said by the model (columns) of the true class (rows)", "");
  for (std::int64_t r = 0; r < classes; ++r) {
    const double y = static_cast<double>(top + r * cell), total = std::max(1.0, counts[r].sum().item<double>());
    inside += svg_text(left - 6, y + cell / 2 + 4, answers.name(r), "text-anchor=\"end\"");
    inside += svg_text(static_cast<double>(left + r * cell + cell / 2), static_cast<double>(top + classes * cell + 14), answers.name(r), "text-anchor=\"middle\" font-size=\"8\"");
    for (std::int64_t c = 0; c < classes; ++c) {
      const double share = static_cast<double>(count[r][c]) / total, x = static_cast<double>(left + c * cell);
      inside += "<rect x=\"" + std::to_string(left + c * cell) + "\" y=\"" + std::to_string(top + r * cell) + "\" width=\"" + std::to_string(cell) + "\" height=\"" + std::to_string(cell) +
                "\" fill=\"#0072B2\" stroke=\"#dddddd\" fill-opacity=\"" + std::to_string(share).substr(0, 5) + "\"/>\n";
      if (count[r][c] > 0) inside += svg_text(x + cell / 2, y + cell / 2 + 4, std::to_string(count[r][c]), std::string("text-anchor=\"middle\"") + (share > 0.5 ? " fill=\"white\"" : ""));
    }
  }
  return svg(left + classes * cell + 10, top + classes * cell + 24, inside);
}

/// \throws std::runtime_error  naming the file
inline std::string written(const fs::path& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary);
  if (!(out << text).flush()) throw std::runtime_error(file.string() + " cannot be written");
  return file.string();
}

}  // namespace
}  // namespace zstar_images
