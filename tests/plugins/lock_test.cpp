/// \file Lock files, pins, the user's configuration; what the program makes of them.
#include <regex>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/experiment/experiment.hpp"
#include "core/plugins/discovery.hpp"
#include "core/training/plugin_files.hpp"
#include "core/training/session.hpp"
#include "tests/support/parts.hpp"
#include "tests/support/process.hpp"

namespace {

namespace fs = std::filesystem;
using namespace zstar;
using experiment::Experiment;
using plugins::Catalogue;
using plugins::PluginError;
using test::shell;
using test::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Not;

const std::string program = ZSTAR_BINARY_DIR "/bin/zstar", quickstart = ZSTAR_SOURCE_DIR "/experiments/quickstart.toml";

Catalogue tree() {
  plugins::Discovery d;
  d.user_folders = false;
  d.folders = {ZSTAR_PLUGIN_DIR};
  return Catalogue(d);
}

/// Reads the quickstart with overrides. \return what is wrong
std::string refusal(const std::vector<std::string>& overrides, const fs::path& lock = {}) {
  Catalogue catalogue = tree();
  try {
    Experiment::read(quickstart, overrides, training::schema(), training::CatalogueTables(catalogue, lock));
  } catch (const experiment::Refused& refused) {
    return refused.what();
  }
  return "";
}

/// The lock of the quickstart in a folder.
fs::path locked(const TemporaryFolder& folder) {
  Catalogue catalogue = tree();
  Experiment::read(quickstart, {}, training::schema(), training::CatalogueTables(catalogue));
  training::update_lock(folder.path / plugins::lock_name, catalogue);
  return folder.path / plugins::lock_name;
}

TEST(Lock, WhatWasLockedRuns) {
  const TemporaryFolder folder;
  const fs::path lock = locked(folder);
  EXPECT_EQ(refusal({"plugins.locked=true"}, lock), "");
  const plugins::Lock read = training::read_lock(lock);
  EXPECT_EQ(read.torch.name.compare(0, 15, "libtorch_cpu.so"), 0);
  EXPECT_GE(read.plugins.size(), 7u);
  for (const auto& p : read.plugins) EXPECT_EQ(p.sha256.size(), 64u) << p.id;
}

TEST(Lock, EveryDifferenceIsRefusedAndNamed) {
  const TemporaryFolder folder;
  const std::string good = test::read_file(locked(folder));
  const auto with = [&](const std::string& pattern, const std::string& value) {
    const std::string text = std::regex_replace(good, std::regex(pattern), value, std::regex_constants::format_first_only);
    EXPECT_NE(text, good) << pattern;
    return refusal({"plugins.locked=true"}, folder.write("other.toml", text));
  };
  EXPECT_THAT(with("version = \"[^\"]*\"", "version = \"7.0\""), HasSubstr("version differs from the lock"));
  EXPECT_THAT(with("\nabi = \"[^\"]*\"", "\nabi = \"7.0\""), HasSubstr("ABI differs from the lock"));
  EXPECT_THAT(with("sdk = \"[^\"]*\"", "sdk = \"0\""), HasSubstr("SDK hash differs from the lock"));
  EXPECT_THAT(with("\ntorch = \"[^\"]*\"", "\ntorch = \"7.0.0\""), HasSubstr("LibTorch version differs from the lock"));
  EXPECT_THAT(with("sha256 = \"[^\"]*\"", "sha256 = \"00\""), HasSubstr(": the library was rebuilt since [Z141]"));
  EXPECT_THAT(with("size = [0-9]*", "size = 1"), HasSubstr("size differs from the lock"));
  EXPECT_THAT(with("file = \"[^\"]*\"", "file = \"x.so\""), HasSubstr("file name differs from the lock"));
  EXPECT_THAT(with("id = \"zstar.anderson\"", "id = \"zstar.other\""), HasSubstr("the plugin 'zstar.anderson' is not in the lock"));
  EXPECT_THAT(with("name = \"libtorch", "name = \"x"), HasSubstr("LibTorch's file differs from the lock"));
  EXPECT_THAT(with("build_id = \"", "build_id = \"0"), HasSubstr("LibTorch's build id differs from the lock"));
}

TEST(Lock, IsCheckedLikeAnExperiment) {
  const TemporaryFolder folder;
  EXPECT_THAT(refusal({"plugins.locked=true"}, folder.path / "none.toml"), HasSubstr("there is no lock file"));
  EXPECT_THAT(refusal({"plugins.locked=true"}, folder.write("a.toml", "[libtorch]\nnmae = 'x'\n")), HasSubstr("did you mean: 'name'"));
  EXPECT_THAT(refusal({"plugins.locked=true"}, folder.write("b.toml", "[libtorch]\n[[plugins]]\nsize = -1\n")), HasSubstr("b.toml:3:8: error: option 'size': -1 is out of range"));
}

TEST(Lock, ADamagedOneIsNamedAndWrittenAnew) {
  const TemporaryFolder folder;
  EXPECT_THAT(refusal({"plugins.locked=true"}, folder.path), HasSubstr("there is no lock file"));
  const fs::path lock = folder.write(plugins::lock_name, "");
  EXPECT_THAT(refusal({"plugins.locked=true"}, lock), HasSubstr("the lock file holds no [libtorch]\n  expected: one written by 'zstar lock FILE', or that of a run folder\n  remedy: 'zstar lock FILE' writes it anew"));
  Catalogue catalogue = tree();
  catalogue.options(Kind::solver, "anderson");
  EXPECT_THAT(training::update_lock(lock, catalogue), HasSubstr("holds no [libtorch]"));
  EXPECT_EQ(training::read_lock(lock).plugins.size(), 1u);
  EXPECT_EQ(training::update_lock(lock, catalogue), "");
}

TEST(Lock, ServesAllExperimentsOfAFolder) {
  const TemporaryFolder folder;
  const fs::path lock = locked(folder);
  Catalogue catalogue = tree();
  catalogue.options(Kind::solver, "broyden");
  training::update_lock(lock, catalogue);
  EXPECT_THAT(test::read_file(lock), HasSubstr("\"zstar.broyden\""));
  EXPECT_EQ(refusal({"plugins.locked=true"}, lock), "");  // what was locked before is still there
}

TEST(Lock, TheProgramWritesAndKeepsIt) {
  const TemporaryFolder folder;
  const std::string file = folder.write("x.toml", test::read_file(quickstart)).string();
  const std::string run = program + " run " + file + " --smoke -s experiment.runs=" + folder.path.string() + "/runs";
  EXPECT_EQ(shell(run + " --locked").status, 2);  // there is none yet
  EXPECT_EQ(shell(program + " lock " + file).status, 0);
  EXPECT_THAT(test::read_file(folder.path / plugins::lock_name), Not(HasSubstr("phantom")));  // of sampled states, and there are none
  const auto good = shell(run + " --locked");
  EXPECT_EQ(good.status, 0) << good.text;
  const fs::path of_run = folder.path / "runs/quickstart/latest" / plugins::lock_name;
  EXPECT_EQ(training::read_lock(of_run).plugins.size(), training::read_lock(folder.path / plugins::lock_name).plugins.size());
  folder.write(plugins::lock_name, std::regex_replace(test::read_file(folder.path / plugins::lock_name), std::regex("sha256 = \"."), "sha256 = \"x"));
  const auto bad = shell(run + " --locked");
  EXPECT_EQ(bad.status, 2);
  EXPECT_THAT(bad.text, HasSubstr("SHA-256 differs from the lock"));
}

TEST(Pin, NamesAVersionOrAFile) {
  EXPECT_EQ(refusal({"plugins.pin=[\"zstar.anderson@0.1.0\"]"}), "");
  EXPECT_THAT(refusal({"plugins.pin=[\"zstar.anderson@0.2.0\"]"}), HasSubstr("version 0.1.0 is not the one that [plugins] pin asks for [Z141]"));
  const std::string zeros(64, '0');
  EXPECT_THAT(refusal({"plugins.pin=[\"zstar.anderson@sha256:" + zeros + "\"]"}), HasSubstr("is not the one that [plugins] pin asks for"));
  EXPECT_THAT(refusal({"plugins.pin=[\"zstar.anderson\"]"}), HasSubstr("expected: \"ID@VERSION\" or \"ID@sha256:HEX\""));
  EXPECT_THAT(refusal({"plugins.folders=[\"/tmp\"]"}), HasSubstr("unknown option 'folders'"));  // an experiment never says where
}

/// What a configuration does to a discovery, or why it is refused.
std::string configured(const std::string& text, plugins::Discovery& discovery) {
  const TemporaryFolder folder;
  try {
    training::apply_configuration(folder.write("config.toml", text), discovery);
  } catch (const experiment::Refused& refused) {
    return refused.what();
  }
  return "";
}

TEST(Configuration, SaysWhereAndWhich) {
  plugins::Discovery d;
  const std::string zeros(64, '0');
  EXPECT_EQ(configured("[plugins]\nfolders = ['/a', '~/b']\ntrust = ['/a']\nallow = ['sha256:" + zeros + "']\n", d), "");
  EXPECT_EQ(d.configured.size(), 2u);
  EXPECT_TRUE(d.configured[1].is_absolute());
  EXPECT_EQ(d.trusted, std::vector<fs::path>{"/a"});
  EXPECT_EQ(d.allowed, std::vector<std::string>{zeros});
}

TEST(Configuration, IsCheckedLikeAnExperiment) {
  plugins::Discovery d;
  EXPECT_THAT(configured("[plugins]\nfolder = ['/a']\n", d), HasSubstr("config.toml:2:1: error: unknown option 'folder'"));
  EXPECT_THAT(configured("[plugin]\n", d), HasSubstr("did you mean: 'plugins'"));
  EXPECT_THAT(configured("[plugins]\nfolders = ['a/b']\n", d), HasSubstr("[plugins] folders holds 'a/b'\n  expected: an absolute folder"));
  EXPECT_THAT(configured("[plugins]\nallow = ['sha256:12']\n", d), HasSubstr("expected: \"sha256:\" and 64 hexadecimal digits"));
  plugins::Discovery untouched;
  EXPECT_EQ(configured("", untouched), "");
  EXPECT_FALSE(untouched.allowed.has_value());
}

TEST(Configuration, AnEmptyAllowListAllowsNothing) {
  plugins::Discovery d;
  ASSERT_EQ(configured("[plugins]\nallow = []\n", d), "");
  d.user_folders = false;
  d.folders = {ZSTAR_PLUGIN_DIR};
  try {
    Catalogue(d).options(Kind::solver, "anderson");
    FAIL() << "it was loaded";
  } catch (const PluginError& error) {
    EXPECT_EQ(error.code(), "Z141");
  }
}

TEST(Configuration, TheProgramReadsIt) {
  const TemporaryFolder home;
  fs::copy_file(ZSTAR_FIXTURE_DIR "/plain.so", home.path / "plain.so");
  home.write("zstar/config.toml", "[plugins]\nfolders = ['" + home.path.string() + "']\n");
  const std::string with = "XDG_CONFIG_HOME=" + home.path.string() + " XDG_CACHE_HOME=" + home.path.string() + " " + program + " plugins list";
  EXPECT_THAT(shell(with).text, HasSubstr("made by hand"));
  EXPECT_THAT(shell(with + " --no-plugins user").text, Not(HasSubstr("made by hand")));
  EXPECT_THAT(shell(with + " --no-plugins user").text, HasSubstr("anderson"));
}

TEST(Installation, WhoeverMayChangeIt) {  // an installation of a group, or of another user: who may change its plugins may change its program
  const TemporaryFolder prefix;
  for (const char* folder : {"bin", "lib/zstar/plugins"}) fs::create_directories(prefix.path / folder);
  fs::copy_file(program, prefix.path / "bin/zstar");
  fs::copy_file(ZSTAR_PLUGIN_DIR "/zstar-anderson.so", prefix.path / "lib/zstar/plugins/zstar-anderson.so");
  ASSERT_EQ(shell("chmod -R g+w " + prefix.path.string()).status, 0);
  const std::string show = "env -u ZSTAR_PLUGIN_PATH XDG_CONFIG_HOME=/nowhere XDG_DATA_HOME=/nowhere " + (prefix.path / "bin/zstar").string() + " plugins show anderson";
  const auto shown = shell(show);
  EXPECT_EQ(shown.status, 0) << shown.text;
  if (::geteuid() == 0) {
    ASSERT_EQ(shell("chown -R 12345 " + prefix.path.string()).status, 0);
    const auto of_another = shell(show);
    EXPECT_EQ(of_another.status, 0) << of_another.text;
  }
  fs::rename(prefix.path / "lib/zstar/plugins", prefix.path / "elsewhere");
  EXPECT_THAT(shell(show + " --plugins " + (prefix.path / "elsewhere").string()).text, HasSubstr("[Z142]"));
}

TEST(Load, AnExperimentLoadsOnlyTheFilesItNames) {
  const auto loaded = [] {
    std::set<std::string> names;
    for (const auto& library : plugins::mapped())
      if (library.name.compare(0, 6, "zstar-") == 0) names.insert(library.name);
    return names;
  };
  const std::string maps = shell("LD_DEBUG=files " + program + " validate " + quickstart + " 2>&1 | grep -o 'zstar-[a-z_]*\\.so' | sort -u").text;
  EXPECT_THAT(maps, HasSubstr("zstar-anderson.so\n"));
  EXPECT_THAT(maps, HasSubstr("zstar-ignn.so\n"));
  EXPECT_THAT(maps, Not(HasSubstr("zstar-broyden.so")));
  EXPECT_THAT(maps, Not(HasSubstr("zstar-mdeq.so")));
  Catalogue catalogue = tree();
  EXPECT_EQ(loaded().count("zstar-squarem.so"), 0u);  // read, not loaded
  catalogue.options(Kind::solver, "squarem");
  EXPECT_EQ(loaded().count("zstar-squarem.so"), 1u);
}

TEST(Lifetime, ObjectsDieBeforeMainReturns) {  // M8
  const TemporaryFolder folder;
  const auto run = shell("FIXTURE_LOG=" + folder.path.string() + "/log XDG_CACHE_HOME=" + folder.path.string() + " " + program + " run " + quickstart + " --smoke --plugins " ZSTAR_FIXTURE_DIR
                         " --trust-folder " ZSTAR_FIXTURE_DIR " -s model=\"{ name = \\\"fixture.one:tree\\\" }\" -s train.epochs=1 -s experiment.runs=" + folder.path.string());
  EXPECT_EQ(run.status, 0) << run.text;
  const std::string log = test::read_file(folder.path / "log");
  EXPECT_THAT(log, HasSubstr("object\n"));
  EXPECT_GT(log.rfind("library\n"), log.rfind("object\n")) << log;
}

TEST(Install, ReplacesByRename) {  // M22: what is installed over a library in use leaves that one alone
  const TemporaryFolder folder;
  fs::copy_file(ZSTAR_FIXTURE_DIR "/two.so", folder.path / "plugin.so");
  plugins::Discovery d;
  d.user_folders = false;
  d.files = {folder.path / "plugin.so"};
  Catalogue catalogue(d);
  const auto solver = catalogue.create<Solver>(Kind::solver, "same", {}, test::host());
  folder.write("install.cmake", "file(INSTALL \"" ZSTAR_FIXTURE_DIR "/one.so\" DESTINATION \"" + folder.path.string() + "\" RENAME plugin.so)\n");
  ASSERT_EQ(shell("cmake -P " + (folder.path / "install.cmake").string()).status, 0);  // as `cmake --install` does
  EXPECT_EQ(solver->propose(torch::ones({1}), torch::zeros({1})).item<double>(), 0.5);
  EXPECT_THAT(test::read_file(folder.path / "plugin.so"), ::testing::Eq(test::read_file(ZSTAR_FIXTURE_DIR "/one.so")));
}

TEST(Abi, RecordedHashMatches) {
  const std::string history = test::read_file(ZSTAR_SOURCE_DIR "/sdk/abi/history.toml");
  const std::string number = std::to_string(abi_major) + "." + std::to_string(abi_minor);
  const std::regex row("number = \"([0-9.]+)\"\nhash = \"([0-9a-f]+)\"\nreleased = (true|false)");
  std::set<std::string> numbers;
  bool recorded = false;
  for (std::sregex_iterator it(history.begin(), history.end(), row), end; it != end; ++it) {
    EXPECT_TRUE(numbers.insert((*it)[1]).second) << "two rows of " << (*it)[1];
    if ((*it)[1] != number) continue;
    recorded = true;
    EXPECT_EQ((*it)[2], ZSTAR_SDK_HASH) << "the headers in sdk/include/zstar/abi changed. In sdk/abi/history.toml: "
        << ((*it)[3] == "true" ? "this number is released: raise abi_minor if something was only added, else abi_major, and add a row"
                               : "this number is not released yet: give its row the new hash");
  }
  EXPECT_TRUE(recorded) << "add a row for " << number << " to sdk/abi/history.toml";
}

}  // namespace
