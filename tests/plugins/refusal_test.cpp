/// \file Every refusal by a file that has that one fault, beside its twin that loads. The files are a good plugin with some
/// bytes changed.
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <random>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/plugins/elf.hpp"
#include "tests/support/parts.hpp"
#include "tests/support/process.hpp"

namespace {

namespace fs = std::filesystem;
using namespace zstar;
using plugins::Catalogue;
using plugins::Discovery;
using ::testing::HasSubstr;

const std::string& good_bytes() {
  static const std::string bytes = test::read_file(fs::path(ZSTAR_PLUGIN_DIR) / "zstar-fixed_point.so");
  return bytes;
}

struct Folder : test::TemporaryFolder {
  Catalogue scan(std::optional<std::vector<std::string>> allowed = std::nullopt) const {
    Discovery d;
    d.folders = {path};
    d.user_folders = false;
    d.allowed = std::move(allowed);
    return Catalogue(d);
  }
};

/// The good plugin with all of `from` replaced by `to`, of the same length.
std::string with(const std::string& from, const std::string& to) {
  std::string bytes = good_bytes();
  EXPECT_EQ(from.size(), to.size());
  std::size_t at = bytes.find(from), count = 0;
  for (; at != std::string::npos; at = bytes.find(from, at + 1), ++count) bytes.replace(at, from.size(), to);
  EXPECT_GT(count, 0u) << from;
  return bytes;
}

std::string with_byte(std::size_t at, char value) {
  std::string bytes = good_bytes();
  bytes[at] = value;
  return bytes;
}

/// The value of a key in the tag of the good plugin.
std::string tagged(const std::string& key) {
  const std::size_t at = good_bytes().find("\n" + key + "=") + key.size() + 2;
  return good_bytes().substr(at, good_bytes().find('\n', at) - at);
}

std::string with_tag(const std::string& key, const std::string& value) {
  return with("\n" + key + "=" + tagged(key) + "\n", "\n" + key + "=" + value + "\n");
}

void expect_refused(const std::string& bytes, const std::string& code, const std::string& words) {
  const Folder folder;
  const fs::path file = folder.write("x.so", bytes);
  const Catalogue catalogue = folder.scan();
  ASSERT_EQ(catalogue.files().size(), 1u);
  EXPECT_EQ(catalogue.files()[0].refused_code, code) << words;
  EXPECT_THAT(catalogue.files()[0].refused, HasSubstr(file.string() + ": error: "));
  EXPECT_THAT(catalogue.files()[0].refused, HasSubstr(words));
  EXPECT_THAT(catalogue.files()[0].refused, HasSubstr("\n  remedy: "));
}

TEST(Refusal, TheTwinWithoutAFaultLoads) {
  const Folder folder;
  folder.write("x.so", good_bytes());
  Catalogue catalogue = folder.scan();
  ASSERT_EQ(catalogue.files().size(), 1u);
  EXPECT_EQ(catalogue.files()[0].refused, "");
  EXPECT_EQ(catalogue.options(Kind::solver, "fixed_point").size(), 1u);
}

TEST(Refusal, Fixture21FilesThatAreNoPlugins) {  // M21
  expect_refused("hellohellohellohellohellohellohellohellohellohellohellohellohellohellohello", "Z105", "not a shared library");
  for (const std::size_t size : {0, 3, 40}) expect_refused(good_bytes().substr(0, size), "Z104", "less than an ELF header");
  for (const std::size_t size : {std::size_t{832}, std::size_t{8192}, good_bytes().size() / 2, good_bytes().size() - 1})
    expect_refused(good_bytes().substr(0, size), "Z109", "the file is cut short: " + std::to_string(size) + " bytes of at least ");
  expect_refused(with_byte(18, static_cast<char>(183)), "Z106", "built for another processor (machine 183, this one is 62)");
  expect_refused(with_byte(4, 1), "Z106", "32-bit");
  expect_refused(with_byte(5, 2), "Z106", "big-endian");
  expect_refused(with_byte(16, 1), "Z107", "an object file");
  expect_refused(with_byte(16, 2), "Z111", "without a zstar tag");
  expect_refused(with_byte(56, 0), "Z108", "the program header table is damaged");
  expect_refused(with_byte(39, 1), "Z108", "the program header table is damaged");
  expect_refused(with(std::string("zstar\0\0\0", 8), std::string("other\0\0\0", 8)), "Z111", "ZSTAR_PLUGIN(");
  expect_refused(with(std::string("\2\0\0\0zstar", 9), std::string("\1\0\0\0zstar", 9)), "Z112", "two identities in one file");
  expect_refused(with("\nversion=", "\nversion "), "Z113", "the zstar tag is damaged");
}

TEST(Refusal, Fixture21FoldersFifosAndLinkLoops) {
  const Folder folder;
  fs::create_directory(folder.path / "folder.so");
  ASSERT_EQ(::mkfifo((folder.path / "fifo.so").c_str(), 0600), 0);
  fs::create_symlink("b.so", folder.path / "a.so");
  fs::create_symlink("a.so", folder.path / "b.so");
  const Catalogue catalogue = folder.scan();
  ASSERT_EQ(catalogue.files().size(), 4u);
  EXPECT_EQ(catalogue.files()[0].refused_code, "Z101");
  EXPECT_EQ(catalogue.files()[1].refused_code, "Z101");
  EXPECT_EQ(catalogue.files()[2].refused_code, "Z103");
  EXPECT_EQ(catalogue.files()[3].refused_code, "Z103");
}

/// The tag of a file as someone reads it who is not root, to whom modes mean nothing.
std::variant<plugins::FileTag, plugins::Refusal> read_unprivileged(const fs::path& file) {
  const bool root = ::geteuid() == 0;
  if (root && ::seteuid(65534) != 0) throw std::runtime_error("cannot become another user");
  auto tag = plugins::read_tag(file);
  if (root && ::seteuid(0) != 0) throw std::runtime_error("cannot become root again");
  return tag;
}

TEST(Refusal, Fixture21AFileThatMayNotBeRead) {
  const Folder folder;
  const fs::path file = folder.write("x.so", good_bytes());
  fs::permissions(folder.path, fs::perms::owner_all | fs::perms::others_exec);
  if (!std::holds_alternative<plugins::FileTag>(read_unprivileged(file))) GTEST_SKIP() << "no other user reaches the temporary folder";
  fs::permissions(file, fs::perms::none);
  const auto refused = read_unprivileged(file);
  ASSERT_TRUE(std::holds_alternative<plugins::Refusal>(refused));
  EXPECT_EQ(std::get<plugins::Refusal>(refused).code, "Z102");
  EXPECT_EQ(std::get<plugins::Refusal>(refused).what, "permission denied");
}

TEST(Refusal, Fixture31AnExecutableStack) {
  std::string bytes = good_bytes();
  const std::string header("\x51\xe5\x74\x64\x06\0\0\0", 8);  // PT_GNU_STACK, read and write
  const std::size_t at = bytes.find(header);
  ASSERT_NE(at, std::string::npos);
  bytes[at + 4] = 7;
  expect_refused(bytes, "Z114", "executable stack");
}

TEST(Refusal, BuildsThatDoNotFit) {
  expect_refused(with("tag=1\n", "tag=9\n"), "Z121", "tag of format 9");
  expect_refused(with_tag("abi", "1.9"), "Z122", "needs SDK 1.9, this zstar has 1.0");
  expect_refused(with_tag("abi", "2.0"), "Z122", "needs SDK 2.0");
  expect_refused(with_tag("sdk", "0c0900000000ffff"), "Z123", "built against other SDK headers (0c0900000000ffff) that call themselves 1.0");
  expect_refused(with_tag("layout", "0123456789abcdef"), "Z124", "plugin 0123456789abcdef");
  std::string torch = tagged("torch");
  torch[0] = '7';
  expect_refused(with_tag("torch", torch), "Z125", "built for LibTorch " + torch);
  expect_refused(with_tag("stdlib", "libstdc++-cxx11abi0"), "Z126", "built with libstdc++-cxx11abi0");
  expect_refused(with_tag("stddbg", "debug"), "Z126", "(debug)");
  expect_refused(with_tag("cuda", "13.0"), "Z129", "needs CUDA 13.0");
  if (tagged("sanitizer") == "none") expect_refused(with_tag("sanitizer", "leak"), "Z127", "built with the leak sanitizer");
  if (tagged("cpu") == "baseline") expect_refused(with_tag("cpu", "avx9,fma"), "Z128", "instruction set avx9");
}

TEST(Refusal, Fixture11And23And25Libraries) {
  expect_refused(with("libstdc++.so.6", "libstdcxx.so.6"), "Z135", "carries its own C++ runtime");
  expect_refused(with("libgcc_s.so.1", "libomp.so.555"), "Z134", "brings libomp.so.555 beside");
  const std::size_t at = good_bytes().find("libtorch_cpu.so");
  const std::string torch = good_bytes().substr(at, good_bytes().find('\0', at) - at);
  if (torch.size() > 16) expect_refused(with(torch, torch.substr(0, torch.size() - 1) + "9"), "Z133", "this process uses " + torch);
}

TEST(Refusal, DuplicatesAreNamedWithBothFiles) {
  const Folder one;
  one.write("a.so", good_bytes());
  one.write("b.so", good_bytes());
  const Catalogue catalogue = one.scan();
  EXPECT_EQ(catalogue.files()[0].refused_code, "Z131");
  EXPECT_THAT(catalogue.files()[0].refused, HasSubstr("b.so"));
  EXPECT_THAT(catalogue.files()[1].refused, HasSubstr("a.so"));
}

TEST(Discovery, CopiesAreDuplicates) {  // M26: another name of the file is the same file, a copy is not
  const Folder folder;
  const fs::path file = folder.write("a.so", good_bytes());
  fs::create_symlink(file, folder.path / "b.so");
  fs::create_hard_link(file, folder.path / "c.so");
  const Catalogue same = folder.scan();
  ASSERT_EQ(same.files().size(), 1u);
  EXPECT_EQ(same.files()[0].refused, "");
  folder.write("d.so", good_bytes());
  const Catalogue copied = folder.scan();
  ASSERT_EQ(copied.files().size(), 2u);
  EXPECT_EQ(copied.files()[1].refused_code, "Z131");
}

TEST(Discovery, LinksAreFollowedOnceAndTheirPlaceIsShown) {
  const Folder folder, other;
  const fs::path file = other.write("a.so", good_bytes());
  fs::create_symlink(file, folder.path / "link.so");
  const Catalogue catalogue = folder.scan();
  EXPECT_EQ(catalogue.files()[0].path, folder.path / "link.so");
  EXPECT_EQ(catalogue.files()[0].resolved, fs::canonical(file));
  fs::permissions(other.path, fs::perms::all);
  EXPECT_EQ(folder.scan().files()[0].refused_code, "Z142");  // others may change where it leads
}

TEST(Refusal, TheEarlierFolderShadowsTheLater) {
  const Folder one, two;
  one.write("a.so", good_bytes());
  two.write("a.so", good_bytes());
  Discovery d;
  d.folders = {one.path, two.path};
  d.user_folders = false;
  const Catalogue catalogue(d);
  EXPECT_EQ(catalogue.files()[1].shadowed_by, (one.path / "a.so").string());
  EXPECT_EQ(catalogue.names(Kind::solver), std::vector<std::string>{"fixed_point"});
}

TEST(Refusal, ARefusedFileShadowsNoGoodOne) {
  const Folder copies, open, good;
  copies.write("a.so", good_bytes());
  copies.write("b.so", good_bytes());
  fs::permissions(open.write("a.so", good_bytes()), fs::perms::all);
  good.write("a.so", good_bytes());
  Discovery d;
  d.folders = {copies.path, open.path, good.path};
  d.user_folders = false;
  const Catalogue catalogue(d);
  ASSERT_EQ(catalogue.files().size(), 4u);
  EXPECT_EQ(catalogue.files()[1].refused_code, "Z131");
  EXPECT_EQ(catalogue.files()[2].refused_code, "Z142");
  EXPECT_EQ(catalogue.files()[2].shadowed_by, "");
  EXPECT_EQ(catalogue.files()[3].shadowed_by, "");
  EXPECT_EQ(catalogue.names(Kind::solver), std::vector<std::string>{"fixed_point"});
}

TEST(Refusal, ARefusedFileIsNoSecondOfAGoodOneInItsFolder) {
  const Folder folder;
  folder.write("a.so", good_bytes());
  fs::permissions(folder.write("b.so", good_bytes()), fs::perms::all);
  const Catalogue catalogue = folder.scan();
  EXPECT_EQ(catalogue.files()[0].refused, "");
  EXPECT_EQ(catalogue.files()[1].refused_code, "Z142");
}

TEST(Refusal, APartOfTwoPluginsNeedsAnId) {
  const Folder folder;
  folder.write("a.so", good_bytes());
  folder.write("b.so", with("zstar.fixed-point", "other.fixed-point"));
  Catalogue catalogue = folder.scan();
  try {
    catalogue.options(Kind::solver, "fixed_point");
    FAIL() << "the bare name was accepted";
  } catch (const plugins::PluginError& error) {
    EXPECT_EQ(error.code(), "Z132");
    EXPECT_THAT(error.what(), HasSubstr("'zstar.fixed-point:fixed_point'"));
  }
  EXPECT_EQ(catalogue.options(Kind::solver, "zstar.fixed-point:fixed_point").size(), 1u);
}

TEST(Refusal, UnknownNamesGetTheNearest) {
  const Folder folder;
  folder.write("a.so", good_bytes());
  Catalogue catalogue = folder.scan();
  try {
    catalogue.options(Kind::solver, "fixed_pont");
    FAIL();
  } catch (const plugins::PluginError& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean: 'fixed_point'?"));
  }
}

TEST(Refusal, FilesThatOthersMayChangeAndFilesOffTheList) {
  const Folder folder;
  const fs::path file = folder.write("a.so", good_bytes());
  Catalogue allowed = folder.scan(std::vector<std::string>{std::string(64, '0')});
  EXPECT_THROW(allowed.options(Kind::solver, "fixed_point"), plugins::PluginError);
  fs::permissions(file, fs::perms::all);
  EXPECT_EQ(folder.scan().files()[0].refused_code, "Z142");
}

TEST(Refusal, DamagedFilesNeverCrashTheReader) {
  const Folder folder;
  std::mt19937 random(1);
  for (int round = 0; round < 400; ++round) {
    std::string bytes = good_bytes();
    for (int k = 0; k < 1 + round % 8; ++k) bytes[random() % (round % 2 ? 4096 : bytes.size())] = static_cast<char>(random());
    if (round % 5 == 0) bytes.resize(random() % bytes.size());
    folder.write("x.so", bytes);
    EXPECT_LE(folder.scan().files().size(), 1u);
  }
}

TEST(Scan, AHundredPluginsTakeLessThan50Milliseconds) {
  const Folder folder;
  for (int i = 0; i < 100; ++i) folder.write(std::to_string(i) + ".so", with("zstar.fixed-point", "zstar.fixed-p" + std::to_string(1000 + i)));
  const std::clock_t before = std::clock();
  const Catalogue catalogue = folder.scan();
  const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_EQ(catalogue.files().size(), 100u);
  EXPECT_LT(seconds, 0.05);  // CPU time; 1 to 3 ms where it was measured
}

}  // namespace
