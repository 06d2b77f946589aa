#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/parts.hpp"
#include "zstar/abi/dataset.hpp"
#include "zstar/render.hpp"

namespace {

using namespace zstar;
namespace fs = std::filesystem;

/// Grey frames of W × 8 pixels as YUV4MPEG2, luma at full size, chroma neutral; frame k has luma 16 + 40 k.
std::string y4m(int frames, std::size_t width = 16, bool full_chroma = true) {
  std::string text = "YUV4MPEG2 W" + std::to_string(width) + " H8 F25:1 Ip A1:1 " + (full_chroma ? "C444" : "C420mpeg2") + "\n";
  const std::size_t chroma = full_chroma ? width * 8 : (width + 1) / 2 * 4;
  for (int k = 0; k < frames; ++k) text += "FRAME\n" + std::string(width * 8, static_cast<char>(16 + 40 * k)) + std::string(2 * chroma, static_cast<char>(128));
  return text;
}

TEST(Video, FramesOfAFileAreASignal) {
  const fs::path file = fs::temp_directory_path() / ("zstar-video-" + std::to_string(::getpid()) + ".y4m");
  std::ofstream(file, std::ios::binary) << y4m(4);
  const Settings path{{"path", file.string()}};
  const auto data = test::make<Dataset>(Kind::dataset, "video", {{"path", file.string()}, {"first", std::int64_t{1}}, {"frames", std::int64_t{2}}});
  EXPECT_EQ(data->describe().at("coordinates"), 3);
  EXPECT_EQ(data->size(Split::train), 2 * 8 * 16);
  const Batch all = data->load(Split::train, data->batches(Split::train, 256, 1)[0], 1);
  const Tensor values = all.at("values").reshape({2, 8 * 16 * 3});
  for (int k = 0; k < 2; ++k)  // luma 16 … 235 is 0 … 255
    EXPECT_NEAR(values[k].mean().item<double>(), 2 * (40.0 * (k + 1) * 255 / 219) / 255 - 1, 0.02) << "two of 255 levels for the rounding of the conversion";
  const auto files = query<Renders>(*data)->render(Split::train, all.at("values"), file.parent_path().string());
  EXPECT_EQ(files.size(), 2u);
  for (const std::string& written : files) fs::remove(written);
  EXPECT_THROW(test::make<Dataset>(Kind::dataset, "video", {{"path", file.string()}, {"first", std::int64_t{9}}}), std::invalid_argument);
  EXPECT_EQ(test::make<Dataset>(Kind::dataset, "video", path)->size(Split::train), 4 * 8 * 16) << "all there are, where no number is asked for";
  EXPECT_THROW(test::make<Dataset>(Kind::dataset, "video", {{"path", file.string()}, {"frames", std::int64_t{5}}}), std::invalid_argument);
  EXPECT_THROW(test::make<Dataset>(Kind::dataset, "video", {{"path", file.string()}, {"channels", std::int64_t{2}}}), std::invalid_argument);
  std::string damaged = y4m(4);
  damaged[damaged.rfind("FRAME")] = 'X';
  std::ofstream(file, std::ios::binary) << damaged;
  try {
    test::make<Dataset>(Kind::dataset, "video", {{"path", file.string()}, {"frames", std::int64_t{0}}});
    ADD_FAILURE() << "a damaged file was read as a shorter one";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(file.string() + " is damaged or cut short"));
  }
  std::ofstream(file, std::ios::binary) << "no video";
  try {
    test::make<Dataset>(Kind::dataset, "video", path);
    ADD_FAILURE() << "what is no video was read";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(file.string() + " cannot be read as a video"));
  }
  fs::remove(file);
}

/// libswscale writes rows in whole vectors, or leaves out what does not fill one.
TEST(Video, NarrowFramesStayInTheirRows) {
  const fs::path file = fs::temp_directory_path() / ("zstar-narrow-video-" + std::to_string(::getpid()) + ".y4m");
  const auto check = [&](std::int64_t width, bool full_chroma) {
    std::ofstream(file, std::ios::binary) << y4m(3, static_cast<std::size_t>(width), full_chroma);
    const auto data = test::make<Dataset>(Kind::dataset, "video", {{"path", file.string()}});
    ASSERT_EQ(data->size(Split::train), 3 * 8 * width);
    const Tensor values = data->load(Split::train, data->batches(Split::train, 3 * 8 * width, 1)[0], 1).at("values").reshape({3, 8 * width * 3});
    for (int k = 0; k < 3; ++k) EXPECT_LT((values[k] - (2 * (40.0 * k * 255 / 219) / 255 - 1)).abs().max().item<double>(), 0.02) << width << ", frame " << k;
  };
  for (const std::int64_t width : {1, 2, 3, 5, 11, 17, 18, 19, 20, 21, 33, 43, 81, 82, 83, 84, 85, 852})
    for (const bool full_chroma : {true, false}) check(width, full_chroma);
  fs::remove(file);
}

}  // namespace
