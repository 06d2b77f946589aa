#include <lmdb.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/parts.hpp"
#include "zstar/abi/dataset.hpp"
#include "zstar/formats/png.hpp"

namespace {

using namespace zstar;
namespace fs = std::filesystem;

std::string png_of(const fs::path& folder, double level, std::int64_t height, std::int64_t width) {
  const fs::path file = folder / "one.png";
  formats::write_png(file.string(), torch::full({height, width, 3}, level));
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_database(const fs::path& folder, const std::vector<std::string>& values) {
  fs::create_directories(folder);
  MDB_env* environment = nullptr;
  MDB_txn* transaction = nullptr;
  MDB_dbi table = 0;
  mdb_env_create(&environment);
  mdb_env_set_mapsize(environment, 1 << 26);
  ASSERT_EQ(mdb_env_open(environment, folder.c_str(), 0, 0644), 0);
  ASSERT_EQ(mdb_txn_begin(environment, nullptr, 0, &transaction), 0);
  ASSERT_EQ(mdb_dbi_open(transaction, nullptr, 0, &table), 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::string name = "key" + std::to_string(i), text = values[i];
    MDB_val key{name.size(), name.data()}, value{text.size(), text.data()};
    ASSERT_EQ(mdb_put(transaction, table, &key, &value, 0), 0);
  }
  ASSERT_EQ(mdb_txn_commit(transaction), 0);
  mdb_env_close(environment);
}

TEST(Lsun, ADatabaseCutAnywhereIsRefused) {
  const fs::path folder = fs::temp_directory_path() / ("zstar-lsun-cut-" + std::to_string(::getpid())), file = folder / "bedroom_train_lmdb/data.mdb";
  write_database(file.parent_path(), std::vector<std::string>(12, std::string(9000, 'p')));
  std::ifstream in(file, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  const Settings s{{"path", folder.string()}, {"category", std::string("bedroom")}};
  EXPECT_EQ(test::make<Dataset>(Kind::dataset, "lsun", s)->size(Split::train), 12);
  for (std::size_t bytes = 0; bytes < whole.size(); bytes += 499) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << whole.substr(0, bytes);
    try {
      test::make<Dataset>(Kind::dataset, "lsun", s);
      ADD_FAILURE() << bytes << " of " << whole.size() << " bytes of a database were read";
    } catch (const std::exception& error) {
      EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr("bedroom_train_lmdb"), ::testing::HasSubstr("remedy"))) << bytes;
      if (bytes > whole.size() / 2) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr("data.mdb is cut short")) << bytes;
      }
    }
  }
  fs::remove_all(folder);
}

/// Page sizes, roots, depths, numbers of pages, places of nodes, lengths of values: whatever a byte of the file says is checked before it is followed.
TEST(Lsun, ADamagedDatabaseIsReadOrRefused) {
  const fs::path folder = fs::temp_directory_path() / ("zstar-lsun-damage-" + std::to_string(::getpid())), file = folder / "bedroom_train_lmdb/data.mdb";
  std::vector<std::string> values(12, std::string(9000, 'p'));  // a value longer than a quarter of a page has pages of its own
  values.resize(300, "short");
  write_database(file.parent_path(), values);
  std::ifstream in(file, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  const auto damage = [&](std::size_t begin, std::size_t end, std::size_t step) {
    int refused = 0;
    for (std::size_t at = begin; at < end; at += step)
      for (const int value : {0x00, 0x7f, 0xff}) {
        std::string changed = whole;
        changed[at] = static_cast<char>(value);
        std::ofstream(file, std::ios::binary | std::ios::trunc) << changed;
        try {
          const auto data = test::make<Dataset>(Kind::dataset, "lsun", {{"path", folder.string()}, {"category", std::string("bedroom")}});
          EXPECT_EQ(data->size(Split::train), 300);
          for (const std::int64_t i : {0, 1, 299}) EXPECT_THROW(data->load(Split::train, {i}, 1), std::runtime_error) << "no picture";
        } catch (const std::exception& error) {
          ++refused;
          EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr("bedroom_train_lmdb"), ::testing::HasSubstr("remedy"))) << at;
        }
      }
    return refused;
  };
  EXPECT_GT(damage(16, 144, 1), 20) << "the first header, the older one";
  EXPECT_GT(damage(4096 + 16, 4096 + 144, 1), 50) << "the second header";
  EXPECT_GT(damage(8192, whole.size(), 61), 50) << "pages";
  fs::remove_all(folder);
}

TEST(Lsun, EntriesOfAllLengthsAndLevelsAreFound) {
  const fs::path folder = fs::temp_directory_path() / ("zstar-lsun-levels-" + std::to_string(::getpid()));
  std::vector<std::string> values;
  for (int i = 0; i < 4000; ++i) values.push_back("no picture " + std::string(static_cast<std::size_t>(i * 7 % 5000), 'x'));  // three levels
  write_database(folder / "bedroom_train_lmdb", values);
  write_database(folder / "bedroom_val_lmdb", {});
  const auto data = test::make<Dataset>(Kind::dataset, "lsun", {{"path", folder.string()}, {"category", std::string("bedroom")}});
  EXPECT_EQ(data->size(Split::train), 4000);
  EXPECT_EQ(data->size(Split::validation), 0);
  fs::remove_all(folder);
}

TEST(Lsun, PicturesOfADatabaseComeInTheOrderOfTheirKeys) {
  const fs::path folder = fs::temp_directory_path() / ("zstar-lsun-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  write_database(folder / "church_outdoor_val_lmdb", {png_of(folder, -1, 20, 32), png_of(folder, 1, 33, 16), "no picture"});
  const Settings s{{"path", folder.string()}, {"size", std::int64_t{8}}};
  const auto data = test::make<Dataset>(Kind::dataset, "lsun", s);
  EXPECT_EQ(data->size(Split::train), 0);
  EXPECT_EQ(data->size(Split::validation), 3);
  const Tensor images = data->load(Split::validation, {0, 1}, 1).at("images");
  EXPECT_EQ(images.sizes(), (std::vector<std::int64_t>{2, 3, 8, 8}));
  EXPECT_TRUE(images[0].allclose(-torch::ones_like(images[0]), 0, 1e-5));
  EXPECT_TRUE(images[1].allclose(torch::ones_like(images[1]), 0, 1e-5)) << "weights of the mean sum to one up to rounding";
  try {
    data->load(Split::validation, {2}, 1);
    ADD_FAILURE() << "what is no picture was read";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr("church_outdoor_val_lmdb"), ::testing::HasSubstr("neither PNG nor JPEG")));
  }
  std::ofstream(folder / "church_outdoor_val_lmdb/data.mdb", std::ios::trunc) << "damaged";
  EXPECT_THROW(test::make<Dataset>(Kind::dataset, "lsun", s), std::runtime_error);
  fs::remove_all(folder);
  EXPECT_THROW(test::make<Dataset>(Kind::dataset, "lsun", s), std::invalid_argument);
}

}  // namespace
