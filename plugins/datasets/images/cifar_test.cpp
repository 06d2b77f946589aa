#include "image_files.hpp"
#include "zstar/formats/torch_file.hpp"

namespace {

TEST_F(ImageFiles, CifarCountsRecordsByTheSizeOfTheFile) {
  write("data_batch_1.bin", cifar(0, 7)), write("data_batch_2.bin", cifar(7, 5)), write("test_batch.bin", cifar(100, 3));
  const auto data = make("cifar10", {{"files", std::int64_t{2}}});
  EXPECT_EQ(data->size(Split::train), 12);
  EXPECT_EQ(data->size(Split::validation), 0);
  EXPECT_EQ(data->size(Split::test), 3);
  EXPECT_EQ(data->describe().at("classes"), 10);
  const Batch batch = data->load(Split::test, {2, 0}, 1);
  EXPECT_EQ(batch.at("labels")[0].item<std::int64_t>(), 2);
  const double mean[] = {0.4914, 0.4822, 0.4465}, std[] = {0.2023, 0.1994, 0.2010};
  for (std::int64_t c = 0; c < 3; ++c)  // pixel (c, 5, 6) of record 102
    EXPECT_NEAR(batch.at("images")[0][c][5][6].item<double>(), ((102 + c * 1024 + 5 * 32 + 6) % 251 / 255.0 - mean[c]) / std[c], 1e-5);
}

TEST_F(ImageFiles, CifarHundredHasTwoLabels) {
  write("train.bin", cifar(0, 30, 2)), write_gz("test.bin.gz", cifar(57, 2, 2));
  const auto fine = make("cifar10", {{"labels", std::string("fine")}}), coarse = make("cifar10", {{"labels", std::string("coarse")}});
  EXPECT_EQ(fine->describe().at("classes"), 100);
  EXPECT_EQ(coarse->describe().at("classes"), 20);
  EXPECT_EQ(fine->load(Split::test, {1}, 1).at("labels").item<std::int64_t>(), 58);
  EXPECT_EQ(coarse->load(Split::test, {1}, 1).at("labels").item<std::int64_t>(), 18);
  EXPECT_TRUE(first_image(*fine).equal(first_image(*coarse)));
  EXPECT_THAT(refusal("cifar10"), HasSubstr("holds train.bin of the other of the two data sets: labels = \"fine\" (100 classes) or \"coarse\" (20) reads CIFAR-100"));
  Bytes wrong = cifar(0, 2, 2);
  wrong[0] = 20;
  write("train.bin", wrong);
  EXPECT_THAT(refusal("cifar10", {{"labels", std::string("coarse")}}), HasSubstr("has the label 20 in record 0, counted from 0; expected one below 20, as labels = \"coarse\" says\n  remedy: labels = \"ten\" reads CIFAR-10"));
}

/// The same records as Python pickles them: planes of bytes in an array, labels in lists.
Bytes cifar_pickle(std::int64_t first, std::int64_t count, const std::vector<std::pair<std::string, std::int64_t>>& labels, std::int64_t width = 3072) {
  Bytes pixels;
  for (std::int64_t r = first; r < first + count; ++r)
    for (std::int64_t k = 0; k < width; ++k) pixels += static_cast<char>((r + k) % 251);
  formats::PickleWriter w;
  w.raw("\x80\x02}(").text("data").global("numpy.core.multiarray", "_reconstruct").raw("(").global("numpy", "ndarray").tuple({0}).text("b").raw("tR(").integer(1).tuple({count, width});
  w.global("numpy", "dtype").raw("(").text("u1").integer(0).integer(1).raw("tR(").integer(3).text("|").raw("NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff").integer(0).raw("tb\x89");
  w.raw("T").raw({reinterpret_cast<const char*>(std::array{static_cast<std::uint32_t>(pixels.size())}.data()), 4}).raw(pixels).raw("tb");
  for (const auto& [name, classes] : labels) {
    w.text(name).raw("](");
    for (std::int64_t r = first; r < first + count; ++r) w.integer(r % classes);
    w.raw("e");
  }
  return w.raw("u.").bytes();
}

TEST_F(ImageFiles, ThePythonVersionOfCifarIsTheBinaryOne) {
  write("data_batch_1.bin", cifar(0, 7)), write("test_batch.bin", cifar(7, 5)), write("batches.meta.txt", "a\nb\n");
  const auto binary = make("cifar10");
  fs::remove_all(folder), fs::create_directories(folder / "cifar-10-batches-py");
  write("cifar-10-batches-py/data_batch_1", cifar_pickle(0, 7, {{"labels", 10}})), write_gz("cifar-10-batches-py/test_batch.gz", cifar_pickle(7, 5, {{"labels", 10}}));
  const auto python = make("cifar10");
  for (const Split split : {Split::train, Split::test}) {
    ASSERT_EQ(python->size(split), binary->size(split));
    const Batch a = python->load(split, {4, 1}, 1), b = binary->load(split, {4, 1}, 1);
    EXPECT_TRUE(a.at("images").equal(b.at("images")) && a.at("labels").equal(b.at("labels")));
  }
  write("cifar-10-batches-py/data_batch_1", cifar_pickle(0, 7, {{"labels", 10}}, 3000));
  EXPECT_THAT(refusal("cifar10"), HasSubstr("holds no image of 3072 bytes for each of its 7 labels"));
  write("cifar-10-batches-py/data_batch_1", cifar_pickle(0, 7, {{"fine_labels", 100}}));
  EXPECT_THAT(refusal("cifar10"), AllOf(HasSubstr("data_batch_1 holds no 'labels'; labels = \"fine\""), HasSubstr("remedy")));
  write("cifar-10-batches-py/data_batch_1", cifar_pickle(0, 7, {{"labels", 10}}).substr(0, 900));
  EXPECT_THAT(refusal("cifar10"), HasSubstr("data_batch_1 is no sound pickle: it is cut short"));
  write("train", cifar_pickle(57, 2, {{"fine_labels", 100}, {"coarse_labels", 20}})), write("test", cifar_pickle(57, 2, {{"fine_labels", 100}, {"coarse_labels", 20}}));
  EXPECT_EQ(make("cifar10", {{"labels", std::string("fine")}})->load(Split::test, {1}, 1).at("labels").item<std::int64_t>(), 58);
  EXPECT_EQ(make("cifar10", {{"labels", std::string("coarse")}})->load(Split::test, {1}, 1).at("labels").item<std::int64_t>(), 18);
}

TEST_F(ImageFiles, DamagedCifarFilesAreSaid) {
  EXPECT_THAT(refusal("cifar10"), AllOf(HasSubstr("data_batch_1.bin"), HasSubstr("cifar-10-batches-bin")));
  write("data_batch_1.bin", cifar(0, 3).substr(0, 9000));
  EXPECT_THAT(refusal("cifar10"), AllOf(HasSubstr("data_batch_1.bin has 9000 bytes"), HasSubstr("3073"), HasSubstr("remedy")));
  write("data_batch_1.bin", "");
  EXPECT_THAT(refusal("cifar10"), HasSubstr("has 0 bytes"));
  Bytes wrong = cifar(0, 2);
  wrong[0] = 77;
  write("data_batch_1.bin", wrong);
  EXPECT_THAT(refusal("cifar10"), HasSubstr("data_batch_1.bin has the label 77 in record 0, counted from 0; expected one below 10"));
  EXPECT_THAT(refusal("cifar10"), HasSubstr("remedy: labels = \"fine\" (100 classes) or \"coarse\" (20) reads CIFAR-100; else fetch the file again"));
  EXPECT_THAT(refusal("cifar10", {{"labels", std::string("coarse")}}), HasSubstr("holds data_batch_1.bin of the other of the two data sets: labels = \"ten\" reads CIFAR-10"));
  write("data_batch_1.bin", cifar(0, 3)), write("data_batch_2.bin", cifar(0, 3));
  EXPECT_THAT(refusal("cifar10", {{"files", std::int64_t{5}}}), AllOf(HasSubstr("holds no data_batch_3.bin (or .gz)"), HasSubstr("dataset.files=")));
  EXPECT_THAT(refusal("cifar10", {{"validation", std::int64_t{3}}}), HasSubstr("there are 3 training images"));
  EXPECT_THAT(refusal("cifar10", {{"mean", std::vector<double>{0.5}}}), HasSubstr("the images have 3 channels"));
}

}  // namespace
