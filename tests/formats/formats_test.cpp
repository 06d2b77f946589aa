/// \file Files of other programs: what is written is read back, what was written elsewhere is understood, damage is said.
#include <unistd.h>

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "zstar/formats/safetensors.hpp"

namespace {

using namespace zstar::formats;
using ::testing::HasSubstr;

Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

std::vector<std::pair<std::string, Tensor>> some_tensors() {
  return {{"layer.weight", torch::arange(6, torch::kFloat64).view({2, 3})}, {"layer.bias", torch::tensor({1.5f, -2.0f})},
          {"steps", torch::tensor(7, torch::kInt64)}, {"half", torch::ones({3}, torch::kFloat16)}, {"empty", torch::zeros({0, 4})},
          {"mask", torch::tensor({true, false})}};
}

void expect_same(const Tensors& got, const std::vector<std::pair<std::string, Tensor>>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, t] : want) {
    ASSERT_TRUE(got.count(name)) << name;
    EXPECT_EQ(got.at(name).scalar_type(), t.scalar_type()) << name;
    EXPECT_TRUE(got.at(name).equal(t)) << name;
  }
}

class Folder {
 public:
  Folder() { fs::create_directories(path_); }
  ~Folder() { fs::remove_all(path_); }
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_ = fs::temp_directory_path() / ("zstar-formats-" + std::to_string(::getpid()));
};

std::string fault(const std::function<void()>& read) {
  try {
    read();
  } catch (const FormatError& error) {
    return error.what();
  }
  return "no fault";
}

TEST(Formats, SafetensorsComeBackAsTheyWere) {
  expect_same(read_tensors(bytes_of(safetensors_bytes(some_tensors()))), some_tensors());
}

TEST(Formats, AStateDictComesBackAsItWas) {
  const Folder folder;
  write_state_dict(folder / "state.pth", some_tensors());
  expect_same(read_tensors(read_file(folder / "state.pth")), some_tensors());
}

TEST(Formats, ArraysComeBackAsTheyWere) {
  const Folder folder;
  std::vector<std::pair<std::string, std::string>> entries;
  for (const auto& [name, t] : some_tensors()) entries.emplace_back(name + ".npy", npy_bytes(t));
  write_zip(folder / "arrays.npz", entries);
  expect_same(read_tensors(read_file(folder / "arrays.npz")), some_tensors());
}

TEST(Formats, ArraysInFortransOrderBigEndianAndUnsignedAreRead) {
  EXPECT_TRUE(array_of(std::string_view("\0\1\0\2\0\3\0\4\0\5\0\6", 12), ">i2", {2, 3}, /*columns_first=*/true)
                  .equal(torch::tensor({{1, 3, 5}, {2, 4, 6}}, torch::kInt16)));
  EXPECT_TRUE(array_of(std::string_view("\xff\xff\x01\x00", 4), "<u2", {2}, false).equal(torch::tensor({65535, 1}, torch::kInt32)));
}

TEST(Formats, AnArrayWhoseHeaderEndsTooSoonIsRefused) {
  const auto with = [](std::string header) { return std::string("\x93NUMPY\1\0", 8) + static_cast<char>(header.size()) + '\0' + header + std::string(8, '\0'); };
  const std::string whole = "{'descr': '<f8', 'shape': (1,), 'fortran_order': False}";
  EXPECT_TRUE(read_npy(with(whole)).equal(torch::zeros({1}, torch::kDouble)));
  for (const char* header : {"{'descr': '<f8', 'shape': (1,), 'fortran_order':  ", "{'shape': (1,), 'fortran_order': False, 'descr': ", "{'descr': '<f8', 'fortran_order': False, 'shape': "})
    EXPECT_THROW(read_npy(with(header)), FormatError) << header;
}

/// OrderedDict([('w', tensor)]) with a metadata attribute, as a class of its own, wrapped in a dict: what training programs save.
std::string training_checkpoint(bool evil) {
  PickleWriter w;
  w.raw("\x80\x02}(").text("epoch").integer(3).text("model").global("collections", "OrderedDict").raw(")R(");
  w.text("module.w").global("torch._utils", "_rebuild_parameter").raw("(").global("torch._utils", "_rebuild_tensor_v2").raw("((");
  w.text("storage").global("torch", "FloatStorage").text("0").text("cuda:3").integer(4).raw("tQ").integer(0).tuple({2, 2}).tuple({1, 2}).raw("\x89NtR\x88NtRu}");
  w.text("_metadata").integer(1).raw("sb");
  if (evil) w.text("payload").global("os", "system").raw("(").text("touch /tmp/zstar-was-here").raw("tR");
  return w.raw("u.").bytes();
}

TEST(Formats, ANestedCheckpointIsReadUnderItsKeyAndItsCodeIsNeverRun) {
  const Folder folder;
  const Tensor numbers = torch::tensor({1.f, 2.f, 3.f, 4.f});
  write_zip(folder / "c.pth", {{"x/data.pkl", training_checkpoint(/*evil=*/true)}, {"x/data/0", std::string(static_cast<const char*>(numbers.data_ptr()), 16)}});
  const TorchFile file(read_file(folder / "c.pth"));

  const Tensors tensors = file.named("model");

  EXPECT_TRUE(tensors.at("module.w").equal(torch::tensor({{1.f, 3.f}, {2.f, 4.f}})));
  EXPECT_EQ(file.root().find("payload")->text, "os.system");  // a name and nothing else
  EXPECT_THAT(fault([&] { file.named(""); }), HasSubstr("its keys are 'epoch', 'model' (1 objects)"));
  EXPECT_THAT(fault([&] { file.named("models"); }), HasSubstr("has no key 'models'"));
  EXPECT_THAT(fault([&] { file.named("models"); }), HasSubstr("\n  did you mean: 'model'?\n  remedy: name a dict that holds tensors: --key model"));
  EXPECT_THAT(fault([&] { file.named(""); }), HasSubstr("\n  remedy: name a dict that holds tensors: --key model"));
}

TEST(Formats, AKeyOfAFormWithoutNestedDictsIsRefused) {
  const Folder folder;
  write_zip(folder / "a.npz", {{"w.npy", npy_bytes(torch::ones({2}))}});
  write_state_dict(folder / "a.pth", some_tensors());
  EXPECT_THAT(fault([&] { read_tensors(read_file(folder / "a.npz"), "foo"); }), HasSubstr("is npz, a form without nested dicts, in which there is no key 'foo'\n  remedy: leave --key out"));
  EXPECT_THAT(fault([&] { read_tensors(bytes_of(safetensors_bytes(some_tensors())), "no/such"); }), HasSubstr("is safetensors, a form without"));
  EXPECT_THAT(fault([&] { read_tensors(read_file(folder / "a.pth"), "foo"); }), HasSubstr("\n  remedy: leave --key out: the outermost dict holds 6 tensors"));
}

TEST(Formats, WhatCannotBeOpenedIsSaidWithItsReason) {
  const Folder folder;
  const auto said = [](const fs::path& file) -> std::string {
    try {
      return read_file(file), "no fault";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  };
  EXPECT_THAT(said(folder / "none.npz"), HasSubstr("cannot be opened: it does not exist\n  remedy: look at the path"));
  EXPECT_THAT(said((folder / "none.npz").parent_path()), HasSubstr("cannot be opened: it is a folder\n  remedy: name a file"));
}

TEST(Formats, AnArchiveThatIsCutShortIsSaidSoInOwnWords) {
  const Folder folder;
  write_state_dict(folder / "a.pth", some_tensors());
  const Bytes whole = read_file(folder / "a.pth");
  EXPECT_EQ(fault([&] { read_tensors(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(whole.size() / 2))); }), "is no sound zip archive, or is cut short");
}

TEST(Formats, TensorsOutsideOfTheirStorageAreRefused) {
  const Folder folder;
  write_zip(folder / "c.pth", {{"x/data.pkl", training_checkpoint(false)}, {"x/data/0", std::string(12, '\0')}});
  EXPECT_THAT(fault([&] { TorchFile(read_file(folder / "c.pth")).named("model"); }), HasSubstr("larger than its data"));
  write_zip(folder / "d.pth", {{"x/data.pkl", training_checkpoint(false)}});
  EXPECT_THAT(fault([&] { TorchFile(read_file(folder / "d.pth")).named("model"); }), HasSubstr("lacks the data of storage '0'"));
}

TEST(Formats, EveryCutOfAFileIsAFaultAndNoCrash) {
  const Folder folder;
  write_state_dict(folder / "state.pth", some_tensors());
  const Bytes whole = read_file(folder / "state.pth");
  const std::string safe = safetensors_bytes(some_tensors());
  for (std::size_t n = 0; n + 1 < whole.size(); n += 7) EXPECT_NE(fault([&] { read_tensors(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n))); }), "no fault") << n;
  for (std::size_t n = 0; n + 1 < safe.size(); n += 7) EXPECT_NE(fault([&] { read_tensors(bytes_of(safe.substr(0, n))); }), "no fault") << n;
}

TEST(Pickle, ReadsThePrimitiveValuesOfAllProtocols) {
  const Pickle old("(lp0\nI1\naL-5L\naF2.5\naS'a\\x41\\n'\nag0\na.");
  EXPECT_EQ(old.root().items[0]->integer, 1);
  EXPECT_EQ(old.root().items[1]->integer, -5);
  EXPECT_EQ(old.root().items[2]->real, 2.5);
  EXPECT_EQ(old.root().items[3]->text, "aA\n");
  EXPECT_EQ(old.root().items[4], &old.root());  // a list that holds itself
  using namespace std::literals;
  EXPECT_EQ(Pickle("\x80\x02\x8a\x02\x00\xff."sv).root().integer, -256);
  EXPECT_EQ(Pickle("G\x40\x04\x00\x00\x00\x00\x00\x00."sv).root().real, 2.5);
}

TEST(Pickle, SaysWhatIsWrong) {
  EXPECT_THAT(fault([] { Pickle("(1"); }), HasSubstr("cut short"));
  EXPECT_THAT(fault([] { Pickle("."); }), HasSubstr("a value that is not there"));
  EXPECT_THAT(fault([] { Pickle("h\x05."); }), HasSubstr("was not kept"));
  EXPECT_THAT(fault([] { Pickle("\x82\x01."); }), HasSubstr("instruction 0x82"));
  EXPECT_THAT(fault([] { Pickle("X\xff\xff\xff\xff."); }), HasSubstr("cut short"));
}

}  // namespace
