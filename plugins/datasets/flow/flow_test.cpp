#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "augment.hpp"
#include "colours.hpp"
#include "files.hpp"
#include "tests/support/parts.hpp"
#include "zstar/abi/dataset.hpp"
#include "zstar/render.hpp"
#include "zstar/testing/matchers.hpp"

namespace {

using namespace zstar;
using namespace zstar_flow_files;
namespace fs = std::filesystem;
using zstar::testing::near;

Bytes bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

TEST(FlowFiles, FloGoesRoundBitForBit) {
  const Tensor flow = torch::randn({3, 5, 2});
  EXPECT_TRUE(read_flo(bytes_of(flo_bytes(flow))).equal(flow));
}

TEST(FlowFiles, DamagedFloSaysWhatIsWrong) {
  const std::string good = flo_bytes(torch::zeros({2, 2, 2}));
  for (const std::size_t n : {0, 3, 11, 12, 43}) EXPECT_THROW(read_flo(bytes_of(good.substr(0, n))), FormatError) << n;
  std::string huge = good;
  huge[7] = 0x7f;
  EXPECT_THROW(read_flo(bytes_of(huge)), FormatError);
  EXPECT_THROW(read_flo(bytes_of("hello, this is no flow")), FormatError);
}

TEST(FlowFiles, PfmIsReadFromTheBottomInBothByteOrders) {
  for (const bool little : {true, false}) {
    std::string file = std::string("Pf\n1 2\n") + (little ? "-1.0\n" : "1.0\n");
    for (const float value : {1.5f, -2.0f}) {  // the bottom row first
      std::uint32_t word = std::bit_cast<std::uint32_t>(value);
      if (!little) word = __builtin_bswap32(word);
      file.append(reinterpret_cast<const char*>(&word), 4);
    }
    EXPECT_TRUE(read_pfm(bytes_of(file)).flatten().equal(torch::tensor({-2.0f, 1.5f})));
    EXPECT_THROW(read_pfm(bytes_of(file.substr(0, file.size() - 1))), FormatError);
  }
  EXPECT_THROW(read_pfm(bytes_of("Pf\n1 2\n0\n")), FormatError);
  EXPECT_THROW(read_pfm(bytes_of("Pf\n1")), FormatError);
}

TEST(FlowFiles, KittiFlowGoesRoundToTheNearestSixtyFourth) {
  const fs::path file = fs::temp_directory_path() / ("zstar-kitti-" + std::to_string(::getpid()) + ".png");
  const Tensor flow = (torch::randn({2, 4, 6}) * 640).round() / 64, valid = (torch::rand({4, 6}) > 0.3).to(torch::kFloat32);
  write_kitti_flow(file.string(), flow, valid);
  const Bytes bytes = zstar::formats::read_file(file);
  const FlowField field = read_kitti_flow(bytes);
  EXPECT_TRUE(field.flow.equal(flow));
  EXPECT_TRUE(field.valid.equal(valid));
  for (std::size_t n = 0; n < bytes.size(); n += 7) EXPECT_THROW(read_kitti_flow({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n)}), FormatError) << n;
  fs::remove(file);
}

TEST(FlowFiles, Y12KittiFlowIsRoundedAndCutInsteadOfWrapped) {
  const fs::path file = fs::temp_directory_path() / ("zstar-kitti-range-" + std::to_string(::getpid()) + ".png");
  write_kitti_flow(file.string(), torch::tensor({{{600.0, -600.0, 0.012}}, {{0.0, 0.0, 0.0}}}), torch::ones({1, 3}));
  const Tensor u = read_kitti_flow(zstar::formats::read_file(file)).flow[0][0];
  EXPECT_TRUE(u.equal(torch::tensor({511.984375f, -512.0f, 0.015625f}))) << u;  // 65535, 0 and the nearest sixty-fourth
  fs::remove(file);
}

TEST(FlowColours, OppositeFlowsHaveOppositeHues) {
  const Tensor flow = torch::tensor({{{5.0, -5.0}}, {{0.0, 0.0}}});
  const Tensor colours = colours_of(flow);

  EXPECT_EQ(colours[0][0][0].item<int>(), 255);  // to the right: red
  EXPECT_EQ(colours[0][1][2].item<int>(), 255);  // to the left: blue
}

TEST(FlowColours, FlowThatIsNotFiniteIsBlack) {
  const Tensor flow = torch::tensor({{{1.0f, NAN, 1.0f, INFINITY}}, {{0.0f, 1.0f, -INFINITY, 1.0f}}}), colours = colours_of(flow);

  EXPECT_TRUE(colours.slice(1, 1).eq(0).all().item<bool>());
  EXPECT_TRUE(colours.slice(1, 0, 1).equal(colours_of(flow.slice(2, 0, 1))));
}

TEST(FlowAugmentation, TurningTheHueByACircleIsNothing) {
  const Tensor image = torch::rand({3, 5, 7});
  EXPECT_THAT(turn_hue(image, 1.0), near(image, 1e-5));  // single precision
  const Tensor red = torch::tensor({1.0f, 0.0f, 0.0f}).view({3, 1, 1});
  EXPECT_THAT(turn_hue(red, 1.0 / 3).flatten(), near(torch::tensor({0.0f, 1.0f, 0.0f}), 1e-5));
}

/// The first channel is the column of the source: its slope says how many pixels of the source one pixel now is, and flow times slope
/// is the flow of the source, mirrored or not.
TEST(FlowAugmentation, FlowStaysTrueUnderScaleFlipsAndCrops) {
  const Tensor ramp = torch::arange(120).to(torch::kFloat32), x = ramp.view({1, 120}).expand({100, 120}), y = ramp.slice(0, 0, 100).view({100, 1}).expand({100, 120});
  const Tensor one = torch::stack({x, y, (x + y) / 2}), flow = torch::stack({torch::full({100, 120}, 4.0f), torch::full({100, 120}, -3.0f)});

  Augmentation o{.crop = {40, 48}, .min_scale = -0.2, .max_scale = 0.4, .jitter = 0, .hue = 0};
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Augmentor augmentor(o, seed);
    const Pair p = augmentor({one, one, flow, torch::ones({100, 120})});
    EXPECT_EQ(p.image1.sizes(), (std::vector<std::int64_t>{3, 40, 48}));
    const Tensor slope = (p.image1[0].slice(1, 2, 46) - p.image1[0].slice(1, 1, 45)).mean();
    EXPECT_NEAR(p.flow[0].mean().item<float>() * slope.item<float>(), 4.0f, 0.5f) << seed;  // colours are rounded to whole steps
  }
}

/// As published: rounded half to even, nothing in row and column 0, of several the last.
TEST(FlowAugmentation, Y13SparseVectorsAreCarriedToTheirPixels) {
  const Tensor flow = torch::zeros({2, 4, 6}), valid = torch::zeros({4, 6});
  const auto know = [&](std::int64_t y, std::int64_t x, double u) { valid[y][x] = 1, flow[0][y][x] = u, flow[1][y][x] = -u; };
  know(0, 4, 1), know(2, 0, 2), know(1, 1, 3), know(2, 5, 4), know(3, 5, 5);

  const auto [carried, known] = resize_sparse(flow, valid, 0.5, 0.5);

  EXPECT_EQ(carried.sizes(), (std::vector<std::int64_t>{2, 2, 3}));
  Tensor want = torch::zeros({2, 3});
  want[1][2] = 1;  // (2, 5) goes to (1, 2.5 → 2); (3, 5) to (1.5 → 2, 2), beyond the image; (1, 1) to (0.5 → 0, 0)
  EXPECT_TRUE(known.equal(want)) << known;
  EXPECT_TRUE(carried[0].equal(2 * want) && carried[1].equal(-2 * want)) << carried;
}

TEST(FlowAugmentation, ErasedRectanglesAreOfTheSecondFrameAloneAndVerticalFlipsTurnV) {
  const Tensor image = torch::rand({3, 200, 200}) * 255, flow = torch::stack({torch::full({200, 200}, 1.0f), torch::full({200, 200}, 2.0f)});
  Augmentation o{.crop = {192, 192}, .min_scale = 0, .max_scale = 0, .jitter = 0, .hue = 0, .flip_horizontal = 0, .flip_vertical = 1, .sparse = true};
  int erased = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Pair p = Augmentor(o, seed)({image, image, flow, torch::ones({200, 200})});
    if (p.valid.sum().item<double>() == 192.0 * 192.0) {  // not scaled
      EXPECT_TRUE(p.flow[0].eq(1).all().item<bool>() && p.flow[1].eq(-2).all().item<bool>()) << seed;
    }
    erased += !p.image1.equal(p.image2);
  }
  EXPECT_GT(erased, 3);  // half of the pairs
  EXPECT_LT(erased, 17);
}

TEST(FlowAugmentation, Y15TheSeedDecides) {
  const Pair p{torch::rand({3, 64, 64}) * 255, torch::rand({3, 64, 64}) * 255, torch::rand({2, 64, 64}), torch::ones({64, 64})};
  const Augmentation o{.crop = {32, 32}};
  EXPECT_TRUE(Augmentor(o, 5)(p).image2.equal(Augmentor(o, 5)(p).image2));
  EXPECT_FALSE(Augmentor(o, 5)(p).image2.equal(Augmentor(o, 6)(p).image2));
}

std::unique_ptr<Dataset> synthetic(Settings more) { return test::make<Dataset>(Kind::dataset, "synthetic_flow", std::move(more)); }

TEST(SyntheticFlow, TheSecondFrameIsTheFirstMovedByTheFlow) {
  const auto data = synthetic({{"shapes", std::int64_t{0}}, {"shift", 0.0}, {"turn", 0.3}, {"height", std::int64_t{48}}, {"width", std::int64_t{48}}});
  const Batch batch = data->load(Split::test, {0, 1}, 0);
  const Tensor flow = batch.at("flow"), base = torch::stack(torch::meshgrid({torch::arange(48), torch::arange(48)}, "ij")).flip({0}).to(torch::kFloat32);
  const Tensor at = (base + flow).permute({0, 2, 3, 1}) / 23.5 - 1;
  const Tensor moved = torch::grid_sampler(batch.at("image2"), at, /*bilinear*/ 0, /*zeros*/ 0, /*align_corners=*/true);
  const Tensor inside = (at.abs() <= 1).all(3).unsqueeze(1), error = (moved - batch.at("image1")).abs().masked_select(inside.expand_as(moved));
  EXPECT_GT(flow.abs().max().item<float>(), 1.0f);
  EXPECT_LT(error.mean().item<float>(), 6.0f);  // of 255: bilinear sampling of a texture that is itself bilinear, twice
  EXPECT_LT(error.mean().item<float>(), 0.5f * (batch.at("image2") - batch.at("image1")).abs().mean().item<float>());
}

TEST(SyntheticFlow, ItemsDependOnTheirIndexAlone) {
  const auto data = synthetic({{"frames", std::int64_t{4}}, {"train", std::int64_t{3}}});
  EXPECT_EQ(data->size(Split::train), 9);
  const Batch all = data->load(Split::train, {3, 4}, 7), again = data->load(Split::train, {4}, 99);
  EXPECT_TRUE(all.at("image1")[1].equal(again.at("image1")[0]));
  EXPECT_TRUE(all.at("image2")[0].equal(all.at("image1")[1]));  // frame 1 of video 1 in both
  EXPECT_TRUE(all.at("sequence").eq(1).all().item<bool>());
}

/// The official samples where they are at hand: a folder with FlyingChairs_examples, Sintel and KITTI-2015 in it.
TEST(OfficialFlow, AFolderWithoutPairsIsRefusedWithItsName) {
  for (const char* name : {"flying_chairs", "flying_things", "sintel", "kitti_flow", "hd1k"}) {
    try {
      test::make<Dataset>(Kind::dataset, name, {{"path", std::string("no/such/folder")}});
      ADD_FAILURE() << name;
    } catch (const std::exception& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("no/such/folder")) << name;
    }
  }
}

TEST(OfficialFlow, ChairsInTheirLayoutAreReadAndCropped) {
  const fs::path folder = fs::temp_directory_path() / ("zstar-chairs-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const auto write = [&](const std::string& name, const std::string& bytes) { std::ofstream(folder / name, std::ios::binary) << bytes; };
  for (int i = 1; i <= 2; ++i) {
    const std::string stem = "0000" + std::to_string(i);
    write(stem + "_img1.ppm", "P6\n64 56\n255\n" + std::string(64 * 56 * 3, static_cast<char>(40 * i)));
    write(stem + "_img2.ppm", "P6\n64 56\n255\n" + std::string(64 * 56 * 3, static_cast<char>(40 * i)));
    write(stem + "_flow.flo", flo_bytes(torch::full({56, 64, 2}, static_cast<float>(i))));
  }
  write("split.txt", "1\n2\n");
  const auto data = test::make<Dataset>(Kind::dataset, "flying_chairs",
                                        {{"path", folder.string()}, {"split_file", (folder / "split.txt").string()}, {"crop", std::vector<std::int64_t>{32, 40}}});
  EXPECT_EQ(data->size(Split::train), 1);
  const fs::path flow = folder / "00002_flow.flo";  // a file stands for the folder of its pair
  EXPECT_EQ(test::make<Dataset>(Kind::dataset, "flying_chairs", {{"path", flow.string()}})->size(Split::train), 2);
  EXPECT_THROW(test::make<Dataset>(Kind::dataset, "flying_chairs", {{"path", (folder / "split.txt").string()}}), std::exception);
  EXPECT_EQ(data->size(Split::validation), 1);
  EXPECT_EQ(data->load(Split::train, {0}, 3).at("flow").sizes(), (std::vector<std::int64_t>{1, 2, 32, 40}));
  const Batch whole = data->load(Split::validation, {0}, 3);
  EXPECT_EQ(whole.at("image1").sizes(), (std::vector<std::int64_t>{1, 3, 56, 64}));
  EXPECT_TRUE(whole.at("flow").eq(2).all().item<bool>());
  for (const auto& [marks, words] : {std::pair("1\n3\n", "has mark 3 for pair 2"), std::pair("1\n", "has 1 marks for 2 pairs"), std::pair("1\ntwo\n", "something else than a number"), std::pair("", "cannot be opened")}) {
    fs::remove(folder / "split.txt");
    if (*marks) write("split.txt", marks);
    try {
      test::make<Dataset>(Kind::dataset, "flying_chairs", {{"path", folder.string()}, {"split_file", (folder / "split.txt").string()}});
      ADD_FAILURE() << words;
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(words));
    }
  }
  write("00002_flow.flo", "cut");
  try {
    data->load(Split::validation, {0}, 3);
    ADD_FAILURE() << "a damaged flow was read";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("00002_flow.flo"));
  }
  fs::remove_all(folder);
}

struct Folder {
  fs::path path = fs::temp_directory_path() / ("zstar-flow-" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  fs::path file(const std::string& name) const {
    fs::create_directories((path / name).parent_path());
    return path / name;
  }
  void ppm(const std::string& name, int level) const {
    std::ofstream(file(name), std::ios::binary) << "P6\n16 8\n255\n" + std::string(16 * 8 * 3, static_cast<char>(level));
  }
  void png(const std::string& name) const { zstar::formats::write_png(file(name).string(), torch::zeros({8, 16, 3})); }
  void flo(const std::string& name, float value) const { std::ofstream(file(name), std::ios::binary) << flo_bytes(torch::full({8, 16, 2}, value)); }
};

/// Files of every layout, empty: they are matched before any is read.
struct Layout {
  const char* name;
  std::vector<std::string> files;
  std::string beyond = {};  ///< a file that no pair is made of
};
const std::vector<Layout> layouts{
    {"flying_chairs", {"data/00001_img1.ppm", "data/00001_img2.ppm", "data/00001_flow.flo", "data/00002_img1.ppm", "data/00002_img2.ppm", "data/00002_flow.flo"}},
    {"flying_things",
     {"frames_cleanpass/TRAIN/A/0000/left/0006.png", "frames_cleanpass/TRAIN/A/0000/left/0007.png", "frames_cleanpass/TRAIN/A/0000/left/0008.png",
      "optical_flow/TRAIN/A/0000/into_future/left/OpticalFlowIntoFuture_0006_L.pfm", "optical_flow/TRAIN/A/0000/into_future/left/OpticalFlowIntoFuture_0007_L.pfm",
      "optical_flow/TRAIN/A/0000/into_past/left/OpticalFlowIntoPast_0007_L.pfm", "optical_flow/TRAIN/A/0000/into_past/left/OpticalFlowIntoPast_0008_L.pfm"}},
    {"sintel",
     {"training/clean/alley_1/frame_0001.png", "training/clean/alley_1/frame_0002.png", "training/clean/alley_1/frame_0003.png", "training/flow/alley_1/frame_0001.flo",
      "training/flow/alley_1/frame_0002.flo"}},
    {"kitti_flow",
     {"training/image_2/000000_10.png", "training/image_2/000000_11.png", "training/flow_occ/000000_10.png", "training/image_2/000001_10.png", "training/image_2/000001_11.png",
      "training/flow_occ/000001_10.png"}},
    {"hd1k",
     {"hd1k_input/image_2/000000_0000.png", "hd1k_input/image_2/000000_0001.png", "hd1k_input/image_2/000000_0002.png", "hd1k_flow_gt/flow_occ/000000_0000.png",
      "hd1k_flow_gt/flow_occ/000000_0001.png"},
     "hd1k_flow_gt/flow_occ/000000_0002.png"}};

TEST(OfficialFlow, AMissingPartnerIsNamedWhicheverItIs) {
  for (const Layout& layout : layouts)
    for (const std::string& gone : layout.files) {
      const Folder folder;
      for (const std::string& file : layout.files)
        if (file != gone) std::ofstream(folder.file(file)) << "";
      if (!layout.beyond.empty()) std::ofstream(folder.file(layout.beyond)) << "";
      fs::create_directories((folder.path / gone).parent_path());
      try {
        test::make<Dataset>(Kind::dataset, layout.name, {{"path", folder.path.string()}});
        ADD_FAILURE() << layout.name << " without " << gone;
      } catch (const std::exception& error) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr((folder.path / gone).string() + " is missing")) << layout.name;
      }
    }
}

TEST(OfficialFlow, ThePairsOfEveryLayoutAreAllThere) {
  for (const Layout& layout : layouts) {
    const Folder folder;
    for (const std::string& file : layout.files) std::ofstream(folder.file(file)) << "";
    std::ofstream(folder.file("data/readme.txt")) << "files of other names are no part of a layout";
    const auto data = test::make<Dataset>(Kind::dataset, layout.name, {{"path", folder.path.string()}});
    EXPECT_EQ(data->size(Split::train), layout.name == std::string("flying_things") ? 4 : 2) << layout.name;
  }
}

TEST(OfficialFlow, WhereTruthIsNotFiniteItIsNotValid) {
  const Folder folder;
  folder.ppm("00001_img1.ppm", 1), folder.ppm("00001_img2.ppm", 2);
  Tensor flow = torch::ones({8, 16, 2});
  flow[3][5][0] = NAN, flow[4][9][1] = INFINITY;
  std::ofstream(folder.file("00001_flow.flo"), std::ios::binary) << flo_bytes(flow);
  const auto data = test::make<Dataset>(Kind::dataset, "flying_chairs", {{"path", folder.path.string()}, {"crop", std::vector<std::int64_t>{8, 8}}});
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const Batch batch = data->load(Split::train, {0}, seed);
    EXPECT_TRUE(batch.at("valid").gt(0).equal(batch.at("flow").isfinite().all(1))) << seed;
  }
}

/// What is written is what was read, bit for bit: the truth handed back as a prediction.
TEST(FlowFiles, TheTruthAsAPredictionGivesTheFilesBack) {
  const Folder folder;
  const Tensor dense = torch::randn({8, 16, 2}) * 50, sparse = (torch::randn({2, 8, 16}) * 640).round() / 64;
  folder.ppm("chairs/1-img0.ppm", 1), folder.ppm("chairs/1-img1.ppm", 2);
  std::ofstream(folder.file("chairs/1-gt.flo"), std::ios::binary) << flo_bytes(dense);
  folder.png("kitti/training/image_2/000007_10.png"), folder.png("kitti/training/image_2/000007_11.png");
  write_kitti_flow(folder.file("kitti/training/flow_occ/000007_10.png").string(), sparse, torch::ones({8, 16}));
  const auto written = [&](const char* name, const char* sub) {
    const auto data = test::make<Dataset>(Kind::dataset, name, {{"path", (folder.path / sub).string()}});
    return query<RendersSamples>(*data)->render(Split::train, 0, data->load(Split::train, {0}, 0).at("flow")[0], (folder.path / "out").string());
  };
  EXPECT_EQ(zstar::formats::read_file(written("flying_chairs", "chairs")[0]), zstar::formats::read_file(folder.path / "chairs/1-gt.flo"));
  const auto kitti = written("kitti_flow", "kitti");
  EXPECT_EQ(fs::relative(kitti[0], folder.path), "out/flow/000007_10.png");
  EXPECT_EQ(zstar::formats::read_file(kitti[0]), zstar::formats::read_file(folder.path / "kitti/training/flow_occ/000007_10.png"));
  const Bytes picture = zstar::formats::read_file(kitti[1]);
  EXPECT_EQ(zstar::formats::decode_png({picture.begin(), picture.end()}).size(1), 48) << "frame, truth, flow";
}

TEST(OfficialFlow, TestPairsAreRenderedUnderTheNamesOfASubmission) {
  const Folder folder;
  for (const char* frame : {"frame_0001.png", "frame_0002.png", "frame_0003.png"}) folder.png(std::string("test/final/market_9/") + frame);
  const auto data = test::make<Dataset>(Kind::dataset, "sintel", {{"path", folder.path.string()}, {"passes", std::string("final")}, {"submission", true}});
  EXPECT_EQ(data->size(Split::test), 2);
  EXPECT_EQ(data->size(Split::validation), 0);
  EXPECT_FALSE(data->load(Split::test, {1}, 0).has("flow")) << "there is no public truth";
  const auto files = query<RendersSamples>(*data)->render(Split::test, 1, torch::ones({2, 8, 16}), folder.path.string());
  EXPECT_EQ(files[0], (folder.path / "final/market_9/frame0002.flo").string());
  EXPECT_TRUE(read_flo(zstar::formats::read_file(files[0])).eq(1).all().item<bool>());
  EXPECT_THROW(test::make<Dataset>(Kind::dataset, "kitti_flow", {{"path", folder.path.string()}, {"submission", true}}), std::runtime_error);
}

TEST(OfficialFlow, AMixHasEveryPairAsOftenAsAsked) {
  const Folder folder;
  for (const char* pass : {"clean", "final"})
    for (const char* frame : {"frame_0001.png", "frame_0002.png"}) folder.png(std::string("sintel/training/") + pass + "/alley_1/" + frame);
  folder.flo("sintel/training/flow/alley_1/frame_0001.flo", 1);
  folder.png("kitti/training/image_2/000000_10.png"), folder.png("kitti/training/image_2/000000_11.png");
  write_kitti_flow(folder.file("kitti/training/flow_occ/000000_10.png").string(), torch::full({2, 8, 16}, 2.0f), torch::ones({8, 16}));
  const auto data = test::make<Dataset>(Kind::dataset, "flow_mix", {{"sintel", (folder.path / "sintel").string()}, {"kitti", (folder.path / "kitti").string()},
                                                                    {"crop", std::vector<std::int64_t>{8, 8}}, {"repeat", std::vector<std::int64_t>{3, 2, 5, 1}}});
  EXPECT_EQ(data->size(Split::train), 2 * 3 + 1 * 2);
  EXPECT_EQ(data->size(Split::validation), 2 + 1);
  EXPECT_FALSE(data->load(Split::train, {0}, 0).has("benchmark"));
  for (std::int64_t i = 0; i < 3; ++i) EXPECT_EQ(data->load(Split::validation, {i}, 0).at("benchmark").item<std::int64_t>(), i) << "clean, final, KITTI";
  const auto sequence = [&](std::int64_t i) { return data->load(Split::train, {i}, 1).at("sequence").item<std::int64_t>(); };
  EXPECT_EQ(sequence(0), sequence(4));
  EXPECT_NE(sequence(0), sequence(1)) << "the other pass";
  EXPECT_EQ(sequence(6), sequence(7));
  EXPECT_NE(sequence(6), sequence(0));
}

std::string refusal_of_mix(Settings settings) {
  try {
    test::make<Dataset>(Kind::dataset, "flow_mix", std::move(settings));
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(OfficialFlow, AMixRefusesToTrainOnNothingAndNamesItsOwnOptions) {
  const Folder folder;
  for (const char* pass : {"clean", "final"})
    for (const char* frame : {"frame_0001.png", "frame_0002.png"}) folder.png(std::string("sintel/training/") + pass + "/alley_1/" + frame);
  folder.flo("sintel/training/flow/alley_1/frame_0001.flo", 1);
  const std::string sintel = (folder.path / "sintel").string();

  EXPECT_THAT(refusal_of_mix({{"sintel", sintel}, {"repeat", std::vector<std::int64_t>{0, 0, 0, 0}}}), ::testing::HasSubstr("nothing to train on"));
  EXPECT_THAT(refusal_of_mix({{"sintel", sintel}, {"repeat", std::vector<std::int64_t>{0, 1, 1, 1}}}), ::testing::HasSubstr("nothing to train on")) << "the others are not given";
  EXPECT_THAT(refusal_of_mix({{"sintel", sintel}, {"hd1k", std::string("no/such/folder")}}), ::testing::HasSubstr("--set dataset.hd1k=FOLDER"));
}

}  // namespace
