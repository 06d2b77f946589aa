#include <turbojpeg.h>

#include <iterator>
#include <set>

#include "image_files.hpp"
#include "zstar/formats/png.hpp"
#include "zstar/predict.hpp"
#include "zstar/render.hpp"
#include "zstar/unaugmented.hpp"

namespace {

Bytes idx(const std::vector<std::uint32_t>& sizes, char type = 8) {
  Bytes bytes{0, 0, type, static_cast<char>(sizes.size())};
  std::uint32_t total = 1;
  for (const std::uint32_t n : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(n >> shift & 255);
    total *= n;
  }
  for (std::uint32_t k = 0; k < total; ++k) bytes += static_cast<char>(sizes.size() == 1 ? k % 4 : k % 253);
  return bytes;
}

TEST_F(ImageFiles, AFileAndItsGzAreTheSame) {
  write("data_batch_1.bin", cifar(0, 3)), write("test_batch.bin", cifar(3, 2));
  const Tensor plain = make("cifar10")->load(Split::test, {0, 1}, 1).at("images");
  fs::remove(folder / "test_batch.bin"), write_gz("test_batch.bin.gz", cifar(3, 2));
  EXPECT_TRUE(make("cifar10")->load(Split::test, {0, 1}, 1).at("images").equal(plain));
}

TEST_F(ImageFiles, AugmentationIsASeededWindowOrMirror) {
  write("data_batch_1.bin", cifar(0, 64)), write("test_batch.bin", cifar(0, 64));
  const Settings raw{{"mean", std::vector<double>{0, 0, 0}}, {"std", std::vector<double>{1, 1, 1}}};
  const auto with = [&](const char* name, const OptValue& value) {
    Settings s = raw;
    s.push_back({name, value});
    return make("cifar10", s);
  };
  const auto plain = make("cifar10", raw), cut = with("padding", std::int64_t{4}), mirrored = with("flip", true);
  std::vector<std::int64_t> all(64);
  for (std::int64_t i = 0; i < 64; ++i) all[static_cast<std::size_t>(i)] = i;
  const Tensor x = plain->load(Split::train, all, 1).at("images"), y = cut->load(Split::train, all, 1).at("images");
  EXPECT_TRUE(y.equal(cut->load(Split::train, all, 1).at("images")));
  EXPECT_FALSE(y.equal(cut->load(Split::train, all, 2).at("images")));
  EXPECT_TRUE(cut->load(Split::test, all, 1).at("images").equal(x)) << "only training images are changed";
  const Tensor padded = torch::constant_pad_nd(x, {4, 4, 4, 4}, 0);
  std::set<std::pair<int, int>> corners;
  for (int b = 0; b < 64; ++b)
    for (int dy = 0; dy <= 8; ++dy)
      for (int dx = 0; dx <= 8; ++dx)
        if (padded[b].narrow(1, dy, 32).narrow(2, dx, 32).equal(y[b])) corners.insert({dy, dx}), dy = dx = 9;
  EXPECT_GT(corners.size(), 30u);  // of 81, 64 draws: 45 expected
  const Tensor z = mirrored->load(Split::train, all, 1).at("images");
  int turned = 0;
  for (int b = 0; b < 64; ++b) {
    EXPECT_TRUE(z[b].equal(x[b]) || z[b].equal(x[b].flip({2})));
    turned += z[b].equal(x[b].flip({2}));
  }
  EXPECT_GT(turned, 16);  // 32 ± 4
  EXPECT_LT(turned, 48);
}

/// An image to be inverted is the same whatever the seed, though the options mirror those to be trained on.
TEST_F(ImageFiles, Y39AnImageThatIsNotTrainedOnIsNeverMirrored) {
  write("data_batch_1.bin", cifar(0, 4)), write("test_batch.bin", cifar(0, 4));
  fs::create_directories(folder / "celeba/img_align_celeba"), fs::create_directories(folder / "train/a");
  const Tensor picture = torch::linspace(-1, 1, 178).view({1, 178, 1}).expand({218, 178, 3});
  formats::write_png((folder / "celeba/img_align_celeba/000001.jpg").string(), picture), formats::write_png((folder / "train/a/1.png").string(), picture);
  std::ofstream(folder / "celeba/list_eval_partition.txt") << "000001.jpg 0\n";
  for (const char* name : {"cifar10", "celeba", "image_folder"}) {
    const auto still = make(name, {{"flip", false}}), mirrored = make(name, {{"flip", true}});
    const Tensor plain = query<Unaugmented>(*still)->load_unaugmented(Split::train, {0}).at("images");
    EXPECT_FALSE(plain.flip({3}).equal(plain)) << name;
    for (int k = 0; k < 8; ++k) EXPECT_TRUE(query<Unaugmented>(*mirrored)->load_unaugmented(Split::train, {0}).at("images").equal(plain)) << name;
  }
}

TEST_F(ImageFiles, SplitsAndBatchesCoverEverySampleOnce) {
  write("data_batch_1.bin", cifar(0, 50));
  const auto data = make("cifar10", {{"validation", std::int64_t{10}}});
  EXPECT_EQ(data->size(Split::train), 40);
  EXPECT_EQ(data->size(Split::validation), 10);
  EXPECT_EQ(data->size(Split::test), 0);
  std::set<double> pixels;  // pixel 0 of record r is r
  for (const Split split : {Split::train, Split::validation})
    for (std::int64_t i = 0; i < data->size(split); ++i) pixels.insert(data->load(split, {i}, 1).at("images")[0][0][0][0].item<double>());
  EXPECT_EQ(pixels.size(), 50u);
  const auto batches = data->batches(Split::train, 16, 5);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[2].size(), 8u) << "the last, partial batch is kept";
  std::set<std::int64_t> seen;
  for (const auto& batch : batches) seen.insert(batch.begin(), batch.end());
  EXPECT_EQ(seen.size(), 40u);
  EXPECT_EQ(batches, data->batches(Split::train, 16, 5));
  EXPECT_NE(batches, data->batches(Split::train, 16, 6));
  EXPECT_EQ(data->batches(Split::validation, 4, 5), data->batches(Split::validation, 4, 6));
}

TEST_F(ImageFiles, IdxReadsPlainAndCompressedWithItsOwnMoments) {
  write("train-images-idx3-ubyte", idx({6, 5, 4})), write_gz("train-labels-idx1-ubyte.gz", idx({6}));
  write_gz("t10k-images-idx3-ubyte.gz", idx({2, 5, 4})), write("t10k-labels-idx1-ubyte", idx({2}));
  const auto data = make("idx_images");
  EXPECT_EQ(data->size(Split::train), 6);
  EXPECT_EQ(data->describe().at("channels"), 1);
  EXPECT_EQ(data->describe().at("height"), 5);
  EXPECT_EQ(data->describe().at("width"), 4);
  EXPECT_EQ(data->describe().at("classes"), 4);
  const Batch batch = data->load(Split::train, {0, 1, 2, 3, 4, 5}, 1);
  EXPECT_NEAR(batch.at("images").mean().item<double>(), 0, 1e-5);
  EXPECT_NEAR(batch.at("images").std(/*unbiased=*/false).item<double>(), 1, 1e-5);
  const Tensor raw = torch::arange(120, torch::kFloat64).remainder(253);
  EXPECT_TRUE(batch.at("images").flatten().to(torch::kFloat64).allclose((raw - raw.mean()) / raw.std(false), 1e-5, 1e-5));
}

TEST_F(ImageFiles, ATestSetAloneIsEnoughForEvaluation) {
  write("t10k-images-idx3-ubyte", idx({2, 5, 4})), write("t10k-labels-idx1-ubyte", idx({2}));
  const auto data = make("idx_images");
  EXPECT_EQ(data->size(Split::train), 0);
  EXPECT_TRUE(data->batches(Split::train, 8, 1).empty());
  EXPECT_EQ(data->size(Split::test), 2);
}

TEST_F(ImageFiles, DamagedIdxFilesAreSaid) {
  const std::string images = "train-images-idx3-ubyte";
  EXPECT_THAT(refusal("idx_images"), AllOf(HasSubstr("holds neither"), HasSubstr("name the folder")));
  write(images, idx({6, 5, 4}));
  EXPECT_THAT(refusal("idx_images"), HasSubstr("only the images of train"));
  write("train-labels-idx1-ubyte", idx({5}));
  EXPECT_THAT(refusal("idx_images"), HasSubstr("5 labels for 6 images"));
  write("train-labels-idx1-ubyte", idx({6}));
  EXPECT_EQ(refusal("idx_images"), "accepted");
  write(images, idx({6, 5, 4}).substr(0, 100));
  EXPECT_THAT(refusal("idx_images"), HasSubstr("cut short"));
  write(images, idx({6, 5, 4}).substr(0, 10));
  EXPECT_THAT(refusal("idx_images"), HasSubstr("its header alone has 16"));
  write(images, idx({6, 5, 4}) + "x");
  EXPECT_THAT(refusal("idx_images"), HasSubstr("has 121 numbers, its header announces 120"));
  write(images, idx({6, 5, 4}, 13));
  EXPECT_THAT(refusal("idx_images"), HasSubstr("type 13, expected 8"));
  write(images, idx({6}));
  EXPECT_THAT(refusal("idx_images"), HasSubstr("rank 1, expected 3"));
  write(images, "not an idx file, some text");
  EXPECT_THAT(refusal("idx_images"), HasSubstr("no IDX file"));
  Bytes hostile = idx({6, 5, 4});
  hostile.replace(4, 12, Bytes(12, '\xff'));  // 2^96 numbers
  write(images, hostile);
  EXPECT_THAT(refusal("idx_images"), HasSubstr("announces more numbers"));
  fs::remove(folder / images), write_gz(images + ".gz", idx({60, 28, 28}));
  fs::resize_file(folder / (images + ".gz"), fs::file_size(folder / (images + ".gz")) / 2);
  EXPECT_THAT(refusal("idx_images"), HasSubstr("in the middle of its compressed data"));
  write_gz(images + ".gz", idx({60, 28, 28})), std::ofstream(folder / (images + ".gz"), std::ios::binary | std::ios::app) << "garbage";
  EXPECT_THAT(refusal("idx_images"), AllOf(HasSubstr(images + ".gz"), HasSubstr("7 bytes that are not compressed follow"), HasSubstr("remedy")));
}

TEST_F(ImageFiles, PredictionsAreDrawnAsAGridAndAConfusionMatrix) {
  write("data_batch_1.bin", cifar(0, 3)), write("test_batch.bin", cifar(100, 4));  // true classes 0, 1, 2, 3
  write("batches.meta.txt", "plane\ncar\nbird\n<cat>\n\n");
  const auto data = make("cifar10");
  auto* drawing = query<Renders>(*data);
  ASSERT_NE(drawing, nullptr);
  const Tensor said = torch::tensor({0, 1, 1, 1}, torch::kInt64);

  const auto files = drawing->render(Split::test, torch::one_hot(said, 10).to(torch::kFloat32), folder.string());

  ASSERT_EQ(files.size(), 2u);
  const auto contents = [](const std::string& file) {
    std::ifstream in(file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const auto count = [](const std::string& text, const std::string& part) {
    int n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
  };
  const std::string grid = contents(files[0]), matrix = contents(files[1]);
  EXPECT_EQ(count(grid, "base64,iVBORw0KGgo"), 4);  // how every PNG begins
  EXPECT_THAT(grid, AllOf(HasSubstr(">plane<"), HasSubstr(">car (bird)<"), HasSubstr(">car (&lt;cat>)<")));
  EXPECT_EQ(count(matrix, "fill-opacity=\"1.000\""), 4);  // every class that was tested was taken for one class alone
  EXPECT_EQ(count(matrix, "fill-opacity=\"0.000\""), 96);
  EXPECT_THAT(refusal("cifar10", {{"names", std::vector<std::string>{"one"}}}), HasSubstr("names has 1 entries, there are 10 classes"));
}

/// Two classes of colour pictures, one of one colour each, of different sizes.
struct PictureFolders : ImageFiles {
  PictureFolders() {
    for (const char* part : {"train", "val"})
      for (const auto& [name, level] : {std::pair("cat", -1.0), std::pair("dog", 1.0)}) {
        fs::create_directories(folder / part / name);
        for (const std::int64_t n : {20, 33}) formats::write_png((folder / part / name / (std::to_string(n) + ".png")).string(), torch::full({n, n + 7, 3}, level));
      }
  }
};

TEST_F(PictureFolders, FoldersAreClassesAndPicturesComeInOneSize) {
  const auto data = make("image_folder", {{"size", std::int64_t{16}}, {"mean", std::vector<double>{0, 0, 0}}, {"std", std::vector<double>{1, 1, 1}}});

  const Batch train = data->load(Split::train, {0, 1, 2, 3}, 5), validation = data->load(Split::validation, {1, 2}, 0);

  EXPECT_EQ(data->describe().at("classes"), 2);
  EXPECT_EQ(data->size(Split::test), 0);
  EXPECT_EQ(train.at("images").sizes(), (at::IntArrayRef{4, 3, 16, 16}));
  EXPECT_TRUE(train.at("labels").equal(torch::tensor({0, 0, 1, 1}, torch::kInt64)));
  EXPECT_TRUE(validation.at("images")[0].equal(torch::zeros({3, 16, 16})));
  EXPECT_LT((validation.at("images")[1] - 1).abs().max().item<double>(), 1e-6);  // ε of weights that sum to 1
}

TEST_F(PictureFolders, AugmentationDependsOnTheSeedAlone) {
  Tensor ramp = torch::arange(30 * 40 * 3, torch::kFloat32).reshape({30, 40, 3}) / 1800 - 1;
  formats::write_png((folder / "train/cat/ramp.png").string(), ramp);
  const auto data = make("image_folder", {{"size", std::int64_t{8}}});
  const auto once = [&](std::uint64_t seed) { return data->load(Split::train, {2}, seed).at("images"); };
  EXPECT_TRUE(once(3).equal(once(3)));
  EXPECT_FALSE(once(3).equal(once(4)));
  const auto still = make("image_folder", {{"size", std::int64_t{8}}, {"flip", false}, {"random_resized_crop", false}});
  EXPECT_TRUE(query<Unaugmented>(*data)->load_unaugmented(Split::train, {2}).at("images").equal(still->load(Split::train, {2}, 3).at("images")));
}

TEST_F(PictureFolders, PicturesFromElsewhereAreReadAndDamagedOnesSaid) {
  const auto data = make("image_folder", {{"size", std::int64_t{16}}});
  auto* reader = query<ReadsInputs>(*data);
  ASSERT_NE(reader, nullptr);
  EXPECT_EQ(reader->classes(), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(reader->read({(folder / "val/dog").string()}).size(), 2u);
  write("train/cat/20.png", "no picture");
  const std::string said = [&] {
    try {
      data->load(Split::train, {0}, 1);
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string("not refused");
  }();
  EXPECT_THAT(said, AllOf(HasSubstr("20.png"), HasSubstr("neither PNG nor JPEG")));
  fs::create_directories(folder / "val/cow");
  EXPECT_THAT(refusal("image_folder"), HasSubstr("a class that the training pictures do not have"));
}

/// A JPEG of one colour.
Bytes jpeg(int width, int height, std::uint8_t level) {
  const std::unique_ptr<void, int (*)(tjhandle)> coder(tjInitCompress(), tjDestroy);
  const std::vector<std::uint8_t> pixels(static_cast<std::size_t>(3 * width * height), level);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  EXPECT_EQ(tjCompress2(coder.get(), pixels.data(), width, 0, height, TJPF_RGB, &out, &size, TJSAMP_444, 90, 0), 0);
  const Bytes bytes(reinterpret_cast<const char*>(out), size);
  tjFree(out);
  return bytes;
}

TEST_F(PictureFolders, JpegIsReadAndACutOneIsSaid) {
  const Bytes whole = jpeg(50, 40, 204);
  write("val/cat/a.jpg", whole), write("val/dog/b.JPEG", whole.substr(0, whole.size() / 2));
  const auto data = make("image_folder", {{"size", std::int64_t{16}}, {"mean", std::vector<double>{0, 0, 0}}, {"std", std::vector<double>{1, 1, 1}}});
  auto* reader = query<ReadsInputs>(*data);
  ASSERT_NE(reader, nullptr);

  const auto inputs = reader->read({(folder / "val/cat/a.jpg").string()});

  EXPECT_LT((inputs.at(0).batch.at("images") - 0.8).abs().max().item<double>(), 0.5 / 255);  // 204/255; a flat block survives the transform but for rounding
  EXPECT_EQ(inputs.at(0).names, (std::vector<std::string>{(folder / "val/cat/a.jpg").string()}));
  try {
    reader->read({(folder / "val/dog/b.JPEG").string()});
    FAIL() << "a picture that is cut short was read";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("b.JPEG"), HasSubstr("remedy")));
  }
}

TEST(RealImages, FashionMnistHasItsPublishedCountsAndMoments) {
  const fs::path folder = fs::path(ZSTAR_SOURCE_DIR) / ".." / "shared" / "data" / "fashion-mnist";
  if (!fs::exists(folder)) GTEST_SKIP() << "the data are not beside the source tree";
  const auto data = test::make<Dataset>(Kind::dataset, "idx_images", {{"path", folder.string()}, {"mean", std::vector<double>{0}}, {"std", std::vector<double>{1}}});
  EXPECT_EQ(data->size(Split::train), 60000);
  EXPECT_EQ(data->size(Split::test), 10000);
  EXPECT_EQ(data->describe().at("classes"), 10);
  std::vector<std::int64_t> some(2000);
  for (std::size_t i = 0; i < some.size(); ++i) some[i] = static_cast<std::int64_t>(i) * 30;
  EXPECT_NEAR(data->load(Split::train, some, 1).at("images").mean().item<double>(), 0.286, 0.01);
}

TEST(RealImages, CifarSubsetIsBalanced) {
  const fs::path folder = fs::path(ZSTAR_SOURCE_DIR) / ".." / "shared" / "data" / "cifar10";
  if (!fs::exists(folder)) GTEST_SKIP() << "the data are not beside the source tree";
  const auto data = test::make<Dataset>(Kind::dataset, "cifar10", {{"path", folder.string()}});
  ASSERT_GT(data->size(Split::train), 0);
  std::vector<std::int64_t> first(10);
  for (std::size_t i = 0; i < first.size(); ++i) first[i] = static_cast<std::int64_t>(i);
  const Tensor labels = data->load(Split::train, first, 1).at("labels");
  EXPECT_TRUE(labels.equal(torch::tensor({6, 9, 9, 4, 1, 1, 2, 7, 8, 3}, torch::kInt64))) << labels;  // the official order
}

TEST_F(ImageFiles, CelebaIsCutAroundTheFaceAndSplitByItsList) {
  fs::create_directories(folder / "celeba/img_align_celeba");
  const Tensor picture = torch::full({218, 178, 3}, -1.0);
  picture.narrow(0, 57, 128).narrow(1, 25, 128).fill_(1.0);  // what shall be seen
  for (const char* name : {"000001.jpg", "000002.jpg"}) formats::write_png((folder / "celeba/img_align_celeba" / name).string(), picture);
  formats::write_png((folder / "celeba/img_align_celeba/000003.jpg").string(), torch::zeros({100, 178, 3}));
  std::ofstream(folder / "celeba/list_eval_partition.txt") << "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n";
  const auto data = make("celeba", {{"size", std::int64_t{32}}});
  EXPECT_EQ(data->size(Split::validation), 1);
  const Tensor images = data->load(Split::train, {0}, 1).at("images");
  EXPECT_EQ(images.sizes(), (std::vector<std::int64_t>{1, 3, 32, 32}));
  EXPECT_TRUE(images.allclose(torch::ones_like(images), 0, 1e-5)) << "nothing but the middle; weights of the mean sum to one up to rounding";
  const auto mirrored = make("celeba", {{"size", std::int64_t{32}}, {"flip", true}});
  const Tensor plain = query<Unaugmented>(*mirrored)->load_unaugmented(Split::train, {0, 0, 0, 0, 0, 0, 0, 0}).at("images");
  EXPECT_TRUE(plain.equal(images.expand_as(plain))) << "never mirrored";
  EXPECT_THROW(data->load(Split::test, {0}, 1), std::runtime_error) << "too small";
  std::ofstream(folder / "celeba/list_eval_partition.txt") << "000001.jpg 0\n000002.jpg seven\n";
  EXPECT_THAT(refusal("celeba"), HasSubstr("list_eval_partition.txt is no list"));
  std::ofstream(folder / "celeba/list_eval_partition.txt") << "000001.jpg 5\n";
  EXPECT_THAT(refusal("celeba"), HasSubstr("names part 5"));
  for (const char* outside : {"/000001.jpg", "../000001.jpg", "..", "a/000001.jpg"}) {
    std::ofstream(folder / "celeba/list_eval_partition.txt") << "000002.jpg 1\n" << outside << " 0\n";
    EXPECT_THAT(refusal("celeba"), HasSubstr(std::string("list_eval_partition.txt names ") + outside + ", which is no name of a file")) << "no list leads out of its folder";
  }
}

}  // namespace
