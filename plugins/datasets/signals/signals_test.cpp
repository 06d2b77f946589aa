#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <sndfile.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/parts.hpp"
#include "zstar/abi/dataset.hpp"
#include "zstar/render.hpp"

namespace {

using namespace zstar;
using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::unique_ptr<Dataset> make(const std::string& name, const Settings& s = {}) { return test::make<Dataset>(Kind::dataset, name, s); }

Batch whole(const Dataset& data, Split split) {
  const auto batches = data.batches(split, data.size(split), 1);
  EXPECT_EQ(batches.size(), 1u);
  return data.load(split, batches[0], 1);
}

class SignalFiles : public ::testing::Test {
 protected:
  SignalFiles() : folder(fs::temp_directory_path() / ("zstar_signals_" + std::to_string(::getpid()))) { fs::create_directories(folder); }
  ~SignalFiles() override { fs::remove_all(folder); }
  std::string refusal(const std::string& name, const Settings& s) const {
    try {
      make(name, s);
    } catch (const std::exception& e) {
      return e.what();
    }
    return "accepted";
  }
  void cut(const fs::path& from, const fs::path& to, double share) const {
    std::ifstream in(from, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    std::ofstream(to, std::ios::binary) << bytes.substr(0, static_cast<std::size_t>(share * static_cast<double>(bytes.size())));
  }
  fs::path folder;
};

TEST(Signals, CoordinatesRunOverColumnsThenRows) {
  const auto data = make("image", {{"size", std::int64_t{5}}});
  EXPECT_EQ(data->describe().at("coordinates"), 2);
  EXPECT_EQ(data->describe().at("values"), 1);
  EXPECT_EQ(data->describe().at("points"), 25);
  const Tensor x = whole(*data, Split::train).at("coordinates");
  EXPECT_TRUE(x[0].equal(torch::tensor({-1.0f, -1.0f})));
  EXPECT_TRUE(x[1].equal(torch::tensor({-0.5f, -1.0f}))) << "the second pixel is one column on";
  EXPECT_TRUE(x[24].equal(torch::tensor({1.0f, 1.0f})));
  const auto video = make("video_frames", {{"frames", std::int64_t{3}}, {"size", std::int64_t{5}}});
  const Tensor t = whole(*video, Split::train).at("coordinates");
  EXPECT_TRUE(t[1].equal(torch::tensor({-1.0f, -1.0f, -0.5f}))) << "time, row, column";
  EXPECT_TRUE(t[25].equal(torch::tensor({0.0f, -1.0f, -1.0f})));
}

TEST(Signals, TheZonePlateIsItsFormula) {
  const Batch b = whole(*make("image", {{"size", std::int64_t{33}}}), Split::train);
  const Tensor x = b.at("coordinates").to(torch::kFloat64).select(1, 0), y = b.at("coordinates").to(torch::kFloat64).select(1, 1);
  const Tensor plateau = x.abs().lt(0.4).logical_and(y.abs().lt(0.25));
  const Tensor want = 2 * (0.7 * (0.5 + 0.5 * torch::cos(18 * (x * x + y * y))) + 0.3 * plateau) - 1;
  EXPECT_TRUE(b.at("values").squeeze(1).to(torch::kFloat64).allclose(want, 0, 2e-5));  // float32 coordinates, times the slope 36
}

TEST(Signals, EveryOtherPlaceIsHeldOut) {
  const auto data = make("image", {{"size", std::int64_t{9}}, {"hold_out", std::string("every_other")}}), all = make("image", {{"size", std::int64_t{9}}});
  EXPECT_EQ(data->size(Split::train), 25);
  EXPECT_EQ(data->size(Split::test), 16);
  const Tensor values = whole(*all, Split::train).at("values").reshape({9, 9});
  EXPECT_TRUE(whole(*data, Split::train).at("values").reshape({5, 5}).equal(values.slice(0, 0, 9, 2).slice(1, 0, 9, 2)));
  EXPECT_TRUE(whole(*data, Split::test).at("values").reshape({4, 4}).equal(values.slice(0, 1, 9, 2).slice(1, 1, 9, 2)));
  EXPECT_EQ(whole(*data, Split::test).at("coordinates")[0][0].item<float>(), -0.75f);
}

TEST(Signals, SmallBatchesAreShuffledAndCoverEveryPoint) {
  const auto data = make("image", {{"size", std::int64_t{8}}});
  const auto batches = data->batches(Split::train, 10, 3);
  EXPECT_EQ(batches, data->batches(Split::train, 10, 3));
  EXPECT_NE(batches, data->batches(Split::train, 10, 4));
  std::set<std::int64_t> seen;
  for (const auto& batch : batches) seen.insert(batch.begin(), batch.end());
  EXPECT_EQ(seen.size(), 64u);
  const Batch all = whole(*data, Split::train), some = data->load(Split::train, batches[0], 1);
  for (std::size_t i = 0; i < batches[0].size(); ++i) EXPECT_TRUE(some.at("values")[static_cast<std::int64_t>(i)].equal(all.at("values")[batches[0][i]]));
}

TEST_F(SignalFiles, PicturesComeBackAsTheyWere) {
  const auto video = make("video_frames", {{"frames", std::int64_t{2}}, {"size", std::int64_t{12}}});
  const auto files = query<Renders>(*video)->render(Split::train, whole(*video, Split::train).at("values"), folder.string());
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(fs::path(files[1]).filename(), "frame_0002.png");
  const auto read = make("video_frames", {{"path", folder.string()}});
  const Batch first = whole(*read, Split::train);
  fs::create_directories(folder / "again");
  query<Renders>(*read)->render(Split::train, first.at("values"), (folder / "again").string());
  const Batch second = whole(*make("video_frames", {{"path", (folder / "again").string()}}), Split::train);
  EXPECT_TRUE(first.at("values").equal(second.at("values"))) << "bytes survive reading and writing";
  EXPECT_EQ(make("image", {{"path", files[0]}, {"channels", std::int64_t{3}}})->describe().at("values"), 3);
  EXPECT_EQ(make("image", {{"path", files[0]}, {"size", std::int64_t{6}}})->size(Split::train), 36);
}

/// A WAV file of raw samples.
void write_sound(const fs::path& file, int subtype, const void* data, std::size_t bytes) {
  SF_INFO info{};
  info.samplerate = 8000, info.channels = 1, info.format = SF_FORMAT_WAV | subtype;
  SNDFILE* out = sf_open(file.c_str(), SFM_WRITE, &info);
  ASSERT_EQ(sf_write_raw(out, data, static_cast<sf_count_t>(bytes)), static_cast<sf_count_t>(bytes));
  sf_close(out);
}

/// The bytes of the samples of a WAV file, with its subtype in front.
std::string raw(const fs::path& file) {
  SF_INFO info{};
  SNDFILE* in = sf_open(file.c_str(), SFM_READ, &info);
  std::string bytes(1 << 16, '\0');
  bytes.resize(static_cast<std::size_t>(sf_read_raw(in, bytes.data(), static_cast<sf_count_t>(bytes.size()))));
  sf_close(in);
  return std::to_string(info.format & SF_FORMAT_SUBMASK) + " " + bytes;
}

TEST_F(SignalFiles, SoundsComeBackBitForBitInEverySampleFormat) {
  const fs::path file = folder / "in.wav";
  const auto comes_back = [&](int subtype) {
    const auto data = make("audio", {{"path", file.string()}});
    const Tensor values = whole(*data, Split::train).at("values");
    EXPECT_EQ(values.abs().max().item<float>(), 1.0f);
    const std::string again = query<Renders>(*data)->render(Split::train, values, folder.string())[0];
    EXPECT_EQ(raw(again), raw(file)) << subtype;
  };
  std::string bytes;  // of all values, the least ones of all formats among them
  for (unsigned i = 0; i < 12 * 300; ++i) bytes += static_cast<char>((i * 2654435761u) >> 13);
  bytes.replace(0, 12, std::string("\x00\x00\x00\x80\x00\x80\x00\x00\x80\xff\xff\x7f", 12));
  for (const int subtype : {SF_FORMAT_PCM_U8, SF_FORMAT_PCM_16, SF_FORMAT_PCM_24, SF_FORMAT_PCM_32, SF_FORMAT_ALAW, SF_FORMAT_ULAW}) {
    if (subtype == SF_FORMAT_ULAW) std::replace(bytes.begin(), bytes.end(), '\x7f', '\x00');  // a second zero
    write_sound(file, subtype, bytes.data(), bytes.size());
    comes_back(subtype);
  }
  const Tensor floats = 3 * test::randn({500}, 1).to(torch::kFloat64) / 7, singles = floats.to(torch::kFloat32);
  write_sound(file, SF_FORMAT_DOUBLE, floats.data_ptr(), 8 * 500);
  comes_back(SF_FORMAT_DOUBLE);
  write_sound(file, SF_FORMAT_FLOAT, singles.data_ptr(), 4 * 500);
  comes_back(SF_FORMAT_FLOAT);
}

TEST_F(SignalFiles, HalfOfTheSamplesLastAsLongAsAll) {
  const auto data = make("audio", {{"hold_out", std::string("every_other")}});
  const std::string half = query<Renders>(*data)->render(Split::test, whole(*data, Split::test).at("values"), folder.string())[0];
  EXPECT_EQ(make("audio", {{"path", half}, {"seconds", 1.0}})->size(Split::train), 4000);
}

TEST_F(SignalFiles, SoundsAreCutWhereTheyAreToBe) {
  const std::vector<std::int16_t> samples(1000, 77);
  const fs::path file = folder / "in.wav";
  write_sound(file, SF_FORMAT_PCM_16, samples.data(), 2 * samples.size());
  const std::string path = file.string();
  EXPECT_EQ(make("audio", {{"path", path}, {"start", 0.025}, {"seconds", 0.05}})->size(Split::train), 400);
  EXPECT_EQ(make("audio", {{"path", path}, {"seconds", 0.125}})->size(Split::train), 1000);
  EXPECT_THAT(refusal("audio", {{"path", path}, {"seconds", 0.13}}), HasSubstr("lasts 0.125000 s from start on, less than seconds"));
  EXPECT_THAT(refusal("audio", {{"path", path}, {"seconds", 1e300}}), HasSubstr("less than seconds"));
  EXPECT_THAT(refusal("audio", {{"path", path}, {"seconds", 1e-5}}), HasSubstr("less than a sample"));
  EXPECT_THAT(refusal("audio", {{"path", path}, {"start", 1e300}}), HasSubstr("none is left after start"));
  EXPECT_THAT(refusal("audio", {{"seconds", 1e300}}), HasSubstr("take fewer seconds"));
}

TEST_F(SignalFiles, DamagedSoundsAreSaid) {
  const std::vector<std::int16_t> noise{1, -2, 3, 4}, silence(100, 0);
  std::vector<float> numbers(100, 0.5f);
  const fs::path file = folder / "in.wav", part = folder / "part.wav";
  for (const int container : {SF_FORMAT_WAV, SF_FORMAT_RF64, SF_FORMAT_AIFF}) {
    SF_INFO info{};
    info.samplerate = 8000, info.channels = 1, info.format = container | SF_FORMAT_PCM_16;
    SNDFILE* out = sf_open(file.c_str(), SFM_WRITE, &info);
    for (int i = 0; i < 500; ++i) sf_write_short(out, noise.data(), 4);
    sf_close(out);
    EXPECT_EQ(refusal("audio", {{"path", file.string()}}), "accepted");
    for (const double share : {0.5, 0.999}) {
      cut(file, part, share);
      EXPECT_THAT(refusal("audio", {{"path", part.string()}}), AllOf(HasSubstr("part.wav is cut short"), HasSubstr("remedy"))) << container << ' ' << share;
    }
  }
  write_sound(file, SF_FORMAT_PCM_16, silence.data(), 2 * silence.size());
  EXPECT_THAT(refusal("audio", {{"path", file.string()}}), HasSubstr("in.wav is silent"));
  for (const float wrong : {NAN, INFINITY}) {
    numbers[40] = wrong;
    write_sound(file, SF_FORMAT_FLOAT, numbers.data(), 4 * numbers.size());
    EXPECT_THAT(refusal("audio", {{"path", file.string()}}), HasSubstr("in.wav has samples that are not finite numbers"));
  }
}

TEST_F(SignalFiles, WhatAFileDoesNotHaveIsRefused) {
  const auto picture = make("image", {{"size", std::int64_t{8}}});
  query<Renders>(*picture)->render(Split::train, whole(*picture, Split::train).at("values"), folder.string());
  EXPECT_THAT(refusal("video_frames", {{"path", folder.string()}, {"frames", std::int64_t{2}}}), HasSubstr("has 1 frames, frames = 2 asks for more"));
  for (const char* name : {"image", "video_frames"}) {
    EXPECT_THAT(refusal(name, {{"channels", std::int64_t{2}}}), HasSubstr("channels = 2: a picture has 1 (grey) or 3 (colour)"));
    EXPECT_EQ(make(name, {{"channels", std::int64_t{3}}})->describe().at("values"), 3);
  }
}

TEST_F(SignalFiles, DamagedFilesAreSaid) {
  const auto picture = make("image", {{"size", std::int64_t{40}}});
  const std::string png = query<Renders>(*picture)->render(Split::train, whole(*picture, Split::train).at("values"), folder.string())[0];
  EXPECT_THAT(refusal("image", {{"path", (folder / "none.png").string()}}), AllOf(HasSubstr("none.png cannot be opened"), HasSubstr("remedy")));
  for (const double share : {0.02, 0.5, 0.9}) {
    cut(png, folder / "cut.png", share);
    EXPECT_THAT(refusal("image", {{"path", (folder / "cut.png").string()}}), HasSubstr("cut.png is ")) << share;
  }
  std::ofstream(folder / "text.png") << "hello";
  EXPECT_THAT(refusal("image", {{"path", (folder / "text.png").string()}}), HasSubstr("neither PNG nor JPEG"));
  std::ofstream(folder / "broken.jpg") << "\xff\xd8\xff\xe0 and nothing else";
  EXPECT_THAT(refusal("image", {{"path", (folder / "broken.jpg").string()}}), HasSubstr("no readable JPEG"));
  EXPECT_THAT(refusal("image", {{"path", png}, {"size", std::int64_t{41}}}), HasSubstr("more than the 40 pixels"));
  EXPECT_THAT(refusal("audio", {{"path", png}}), HasSubstr("cannot be read as a sound"));
  EXPECT_THAT(refusal("video_frames", {{"path", png}}), HasSubstr("is no folder"));
}

}  // namespace
