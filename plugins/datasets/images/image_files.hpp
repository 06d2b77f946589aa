#pragma once
/// \file What tests of data sets of images share: a folder to write files to, and records of CIFAR.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "tests/support/parts.hpp"
#include "zstar/abi/dataset.hpp"

namespace {

using namespace zstar;
namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Bytes = std::string;

/// A folder of its own for each test, removed after it.
struct ImageFiles : ::testing::Test {
  const fs::path folder = fs::temp_directory_path() / ("zstar_images_" + std::to_string(::getpid()) + "_" +
                                                       ::testing::UnitTest::GetInstance()->current_test_info()->name());
  ImageFiles() { fs::create_directories(folder); }
  ~ImageFiles() override { fs::remove_all(folder); }

  void write(const std::string& name, const Bytes& bytes) const { std::ofstream(folder / name, std::ios::binary) << bytes; }
  void write_gz(const std::string& name, const Bytes& bytes) const {
    const gzFile out = gzopen((folder / name).c_str(), "wb");
    ASSERT_EQ(gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size())), static_cast<int>(bytes.size()));
    gzclose(out);
  }
  std::unique_ptr<Dataset> make(const std::string& name, Settings more = {}) const {
    more.push_back({"path", folder.string()});
    const auto counts = [](const auto& setting) { return setting.name == "files"; };
    if (name == "cifar10" && std::none_of(more.begin(), more.end(), counts)) more.push_back({"files", std::int64_t{1}});
    return test::make<Dataset>(Kind::dataset, name, more);
  }
  /// The message of the refusal.
  std::string refusal(const std::string& name, const Settings& more = {}) const {
    try {
      make(name, more);
    } catch (const std::exception& e) {
      return e.what();
    }
    return "accepted";
  }
};

/// Record r of a CIFAR file: its label and pixels r, r + 1, … modulo 251.
Bytes cifar(std::int64_t first, std::int64_t count, std::int64_t labels = 1) {
  Bytes bytes;
  for (std::int64_t r = first; r < first + count; ++r) {
    if (labels == 2) bytes += static_cast<char>(r % 20);
    bytes += static_cast<char>(labels == 2 ? r % 100 : r % 10);
    for (std::int64_t k = 0; k < 3072; ++k) bytes += static_cast<char>((r + k) % 251);
  }
  return bytes;
}

Tensor first_image(const Dataset& data, Split split = Split::test) { return data.load(split, {0}, 1).at("images"); }

}  // namespace
