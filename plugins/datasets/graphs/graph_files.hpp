#pragma once
/// \file What tests of sets of graphs share: a folder to write files to, and a host that keeps the warnings.

#include <unistd.h>
#include <zlib.h>

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/parts.hpp"
#include "zstar/abi/dataset.hpp"
#include "zstar/formats/torch_file.hpp"

namespace {

using namespace zstar;
using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// A host that keeps the warnings.
class Listening final : public Host {
 public:
  Products& products() override { return test::host().products(); }
  std::unique_ptr<Solver> solver(const Part& p) override { return test::host().solver(p); }
  std::shared_ptr<EquilibriumLayer> layer() override { throw std::logic_error("no layer"); }
  std::shared_ptr<Norm> norm() override { return nullptr; }
  const Description& data() override { return test::host().data(); }
  void warn(std::string_view sentence) override { said += sentence; }
  std::string said;
};

class Graphs : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((folder / name).parent_path());
    std::ofstream(folder / name) << text;
  }
  void write_gz(const std::string& name, const std::string& text) const {
    const gzFile out = gzopen((folder / name).c_str(), "wb");
    ASSERT_EQ(gzwrite(out, text.data(), static_cast<unsigned>(text.size())), static_cast<int>(text.size()));
    gzclose(out);
  }
  void write_npz(const std::string& name, const std::vector<std::pair<std::string, Tensor>>& arrays) const {
    std::vector<std::pair<std::string, std::string>> entries;
    for (const auto& [key, t] : arrays) entries.emplace_back(key + ".npy", formats::npy_bytes(t));
    fs::create_directories((folder / name).parent_path());
    formats::write_zip(folder / name, entries);
  }
  std::unique_ptr<Dataset> open(const std::string& name, Settings settings = {}) {
    settings.push_back({"path", folder.string()});
    return test::catalogue().create<Dataset>(Kind::dataset, name, settings, host);
  }
  std::string refusal(const std::string& name, const Settings& settings = {}) {
    try {
      open(name, settings);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "not refused";
  }
  static Batch all(const Dataset& data, Split split) { return data.load(split, data.batches(split, 1000, 0).at(0), 0); }

  fs::path folder = fs::temp_directory_path() / ("zstar-graphs-" + std::to_string(::getpid()));
  Listening host;
};

}  // namespace
