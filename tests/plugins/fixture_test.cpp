/// \file Broken plugins as compilers and linkers make them, looked at by 'zstar plugins check': code and sentence of each, exit status
/// 3; the twin without the fault is good.
#include <clocale>
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/plugins/compatibility.hpp"
#include "core/plugins/probe.hpp"
#include "core/plugins/refusal.hpp"
#include "tests/support/parts.hpp"
#include "tests/support/process.hpp"

namespace {

namespace fs = std::filesystem;
using namespace zstar;
using plugins::Catalogue;
using plugins::Discovery;
using plugins::PluginError;
using test::Finished;
using test::shell;
using test::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string program = ZSTAR_BINARY_DIR "/bin/zstar";
std::string fixture(const std::string& name) { return std::string(ZSTAR_FIXTURE_DIR "/") + name + ".so"; }

/// Checks files by the program, with caches and configuration of their own.
Finished check(const std::string& files) {
  const TemporaryFolder home;
  return shell("HOME=" + home.path.string() + " XDG_CACHE_HOME= XDG_CONFIG_HOME= " + program + " plugins check " + files);
}

struct Case {
  std::string file, code, sentence;
};

#ifdef __SANITIZE_THREAD__
constexpr int status_of_exit = 66;  // the sanitizer's own, for a process that ends in the middle of loading
#else
constexpr int status_of_exit = 0;
#endif

/// One run of the program over all files: each is refused by its code and sentence.
void expect_refused(const std::vector<Case>& cases) {
  std::string files;
  for (const Case& c : cases) files += " " + c.file;
  const Finished got = check(files);
  EXPECT_EQ(got.status, 3) << got.text;
  for (const Case& c : cases) {
    const std::size_t at = got.text.find(c.file + ": error: ");
    ASSERT_NE(at, std::string::npos) << c.file << "\n" << got.text;
    const std::string line = got.text.substr(at, got.text.find('\n', at) - at);
    EXPECT_THAT(line, HasSubstr(c.sentence));
    EXPECT_THAT(line, HasSubstr("[" + c.code + "]"));
  }
}

/// The refusal of a probe, with a limit that a busy machine keeps.
std::string code_of_probe(const std::string& name, double seconds, std::string* text = nullptr) {
  plugins::ProbeSettings settings;
  settings.program = program;
  settings.seconds = seconds;
  try {
    plugins::probe(plugins::HeldFile(fixture(name)), settings);
  } catch (const PluginError& error) {
    if (text) *text = error.what();
    return error.code();
  }
  return "";
}

TEST(Fixture, TheTwinsAreGood) {
  const Finished got = check(fixture("plain") + " " + fixture("lto") + " " + fixture("one") + " " + fixture("flags") + " " + fixture("one_torch") + " " + fixture("one_openmp"));
  EXPECT_EQ(got.status, 0) << got.text;
  EXPECT_THAT(got.text, HasSubstr("plain.so: good: fixture.plain 0.1.0"));
  EXPECT_THAT(got.text, HasSubstr("  solver plain: made by hand"));
  EXPECT_THAT(got.text, HasSubstr("  sha256:"));
  EXPECT_THAT(got.text, Not(HasSubstr("warning")));
}

TEST(Fixture, FilesThatAreRefusedBeforeAnythingRuns) {
  const std::string sanitizer = plugins::value_of(plugins::own_lines(), "sanitizer");
  expect_refused({
      {fixture("no_tag"), "Z111", "no zstar tag"},                                                     // 21j
      {fixture("two_identities"), "Z112", "two identities in one file"},                               // 21k
      {fixture("large_notes"), "Z110", "notes larger than 64 KiB"},                                    // 21k
      {ZSTAR_FIXTURE_OBJECT, "Z107", "an object file, not a shared library"},                          // 21e
      {program, "Z111", "no zstar tag"},                                                               // 21e
      {fixture("old_strings"), "Z126", "built with libstdc++-cxx11abi0 (plain), this zstar with libstdc++-cxx11abi1 (plain)"},  // 12a, M12
      {fixture("packed"), "Z124", "sizes of shared types differ"},                                     // 12b, M12
      {fixture("newer_sdk"), "Z122", "needs SDK 1.4, this zstar has 1.0"},                             // 14a, M14
      {fixture("changed_sdk"), "Z123", "that call themselves 1.0"},                                    // 14b, M14: a virtual function more
      {fixture("two_torches"), "Z133", "links libtorch_cpu.so.0.9, this process uses libtorch_cpu.so"},  // 11, M11
      {fixture("two_openmps"), "Z134", "brings libomp.so.5 beside libgomp"},                           // 25, M25
      {fixture("sanitized"), "Z127", sanitizer == "none" ? "built with the address sanitizer, this zstar without" : "built without"},  // 13, M13
      {fixture("static_runtime"), "Z135", "carries its own C++ runtime"},                              // 23, M23
      {fixture("executable_stack"), "Z114", "asks for an executable stack"},                           // 31, M31
      {"/dev/null", "Z103", "not a regular file"},                                                     // 21i
      {"/nowhere/at/all.so", "Z101", "cannot be opened"},
  });
}

TEST(Fixture, FilesThatCannotBeLinkedOrEntered) {
  expect_refused({
      {fixture("undefined"), "Z151", "cannot be linked: undefined symbol 'missing(int)'"},                 // 19, M19
      {fixture("static_tls"), "Z151", "cannot allocate memory in static TLS block"},                       // 24, M24
      {fixture("entry"), "Z155", "entry returned 7"},
      {fixture("small_table"), "Z156", "the table has 8 bytes, at least " + std::to_string(sizeof(Table)) + " needed"},
      {fixture("tag_lists_more"), "Z157", "the tag lists solver \"a\", the table does not"},
      {fixture("default_outside"), "Z158", "solver \"plain\": option \"beta\": default 2 outside 0…1"},
      {fixture("create_throws"), "Z171", "fixture.plain could not create solver \"plain\": no room for a history"},  // 28, M28
  });
}

TEST(Fixture, FilesThatEndTheProcess) {  // 9a, 9b, 9d, M9, and what only shows when a part is made or throws
  expect_refused({
      {fixture("throws"), "Z152", "while loading"},
      {fixture("aborts"), "Z152", "died by SIGABRT while loading"},
      {fixture("exits"), "Z154", "ended the process (status " + std::to_string(status_of_exit) + ") while loading"},
      {fixture("create_aborts"), "Z152", "died by SIGABRT while creating solver \"plain\""},
      {fixture("cannot_throw"), "Z152", "died by SIGABRT while an exception was to leave it"},
  });
}

TEST(Fixture, AFileThatNeverEndsIsGivenUp) {  // 9c; the twin has the time that the program gives
  std::string text;
  EXPECT_EQ(code_of_probe("loops", 6, &text), "Z153");
  EXPECT_THAT(text, HasSubstr("did not finish within 6 s while loading"));
  EXPECT_EQ(code_of_probe("plain", plugins::ProbeSettings().seconds), "");
}

TEST(Fixture, FilesThatChangeTheProcessAreGoodWithAWarning) {  // 9e, 16, 17; M16
  const Finished got = check(fixture("prints") + " " + fixture("fast_math") + " " + fixture("locale"));
  EXPECT_EQ(got.status, 0) << got.text;
  EXPECT_THAT(got.text, HasSubstr("prints.so: warning: printed while loading: hello from an initialiser [Z161]"));
#if defined(__SSE__)
  EXPECT_THAT(got.text, HasSubstr("fast_math.so: warning: changed floating-point control while loading; undone [Z162]"));
#endif
  EXPECT_THAT(got.text, HasSubstr("locale.so: warning: changed the locale while loading; undone [Z163]"));
}

TEST(Codes, StandInTheDocumentation) {
  const std::string page = test::read_file(ZSTAR_SOURCE_DIR "/docs/plugins.md");
  for (const plugins::CodeText& c : plugins::codes()) EXPECT_THAT(page, HasSubstr("| " + std::string(c.code) + " | " + c.meaning + " | " + c.remedy + " |"));
}

TEST(Load, ErrorTextNamesTheSymbol) {  // M20: of Boost.DLL's errors only the exception has the loader's text
  Discovery d;
  d.user_folders = false;
  d.files = {fixture("undefined")};
  Catalogue catalogue(d);
  try {
    catalogue.load_file(0);
    FAIL() << "it was loaded";
  } catch (const PluginError& error) {
    EXPECT_EQ(error.code(), "Z151");
    EXPECT_THAT(error.what(), HasSubstr("undefined symbol 'missing(int)'"));
  }
}

TEST(Load, WhatItChangesIsUndone) {
  Discovery d;
  d.user_folders = false;
  d.files = {fixture("fast_math"), fixture("locale")};
  Catalogue catalogue(d);
  const std::string locale = std::setlocale(LC_ALL, nullptr);
  volatile double tiny = 1e-308;
  catalogue.load_file(0);
  catalogue.load_file(1);
  EXPECT_GT(tiny / 16, 0.0);  // not flushed to zero
  EXPECT_EQ(std::setlocale(LC_ALL, nullptr), locale);
}

TEST(Tag, SurvivesStripAndLto) {  // M30
  for (const char* name : {"plain", "lto"}) {
    const TemporaryFolder folder;
    const fs::path stripped = folder.path / "stripped.so";
    ASSERT_EQ(shell("strip -s -o " + stripped.string() + " " + fixture(name)).status, 0);
    const auto before = plugins::read_tag(fixture("plain")), after = plugins::read_tag(stripped);
    ASSERT_TRUE(std::holds_alternative<plugins::FileTag>(after)) << name;
    EXPECT_EQ(std::get<plugins::FileTag>(after).ident, std::get<plugins::FileTag>(before).ident);
    EXPECT_EQ(std::get<plugins::FileTag>(after).provides, std::get<plugins::FileTag>(before).provides);
  }
}

/// A catalogue over one folder with copies of fixtures, which tries new files in `program`.
Discovery tried_by(const TemporaryFolder& folder, const std::string& program, const fs::path& cache) {
  Discovery d;
  d.user_folders = false;
  d.folders = {folder.path};
  d.probe.program = program;
  d.probe.cache = cache;
  return d;
}

TEST(Probe, ComesBeforeARunLoadsAFileAndItsAnswerIsKept) {
  const TemporaryFolder folder, cache;
  fs::copy_file(fixture("plain"), folder.path / "plain.so");
  const auto options = [&](const std::string& by) {
    Catalogue catalogue(tried_by(folder, by, cache.path));
    return catalogue.options(Kind::solver, "plain").size();
  };

  EXPECT_THROW(options("/bin/false"), PluginError);  // a child that does not answer
  EXPECT_TRUE(fs::is_empty(cache.path));
  EXPECT_EQ(options(program), 1u);
  EXPECT_FALSE(fs::is_empty(cache.path));
  EXPECT_EQ(options("/bin/false"), 1u);  // known: no child was asked
}

TEST(Probe, DoesNotKeepABadAnswer) {
  const TemporaryFolder folder, cache;
  fs::copy_file(fixture("aborts"), folder.path / "aborts.so");
  Catalogue catalogue(tried_by(folder, program, cache.path));
  try {
    catalogue.options(Kind::solver, "plain");
    FAIL() << "it was loaded";
  } catch (const PluginError& error) {
    EXPECT_EQ(error.code(), "Z152");
  }
  EXPECT_TRUE(fs::is_empty(cache.path));
}

TEST(Probe, PassesOverTheInstallation) {  // what lies beside the program was built and checked with it
  Discovery d;
  d.user_folders = false;
  d.folders = {ZSTAR_PLUGIN_DIR};
  d.probe.program = "/bin/false";
  EXPECT_EQ(Catalogue(d).options(Kind::solver, "fixed_point").size(), 1u);
}

TEST(Probe, HasNoDeviceNoInputAndItsOutputOnStandardError) {
  const TemporaryFolder folder;
  const fs::path spy = folder.write("spy.sh", "#!/bin/sh\nenv > \"$(dirname \"$3\")/seen\"\nreadlink /proc/self/fd/0 >> \"$(dirname \"$3\")/seen\"\n"
                                              "[ \"$(readlink /proc/$$/fd/1)\" = \"$(readlink /proc/$$/fd/2)\" ] && echo same >> \"$(dirname \"$3\")/seen\"\n");
  fs::permissions(spy, fs::perms::owner_all);
  fs::copy_file(fixture("plain"), folder.path / "plain.so");
  plugins::ProbeSettings settings;
  settings.program = spy;
  ::setenv("CUDA_VISIBLE_DEVICES", "0", 1);
  EXPECT_THROW(plugins::probe(plugins::HeldFile(folder.path / "plain.so"), settings), PluginError);
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  const std::string seen = test::read_file(folder.path / "seen");
  EXPECT_THAT(seen, HasSubstr("CUDA_VISIBLE_DEVICES=\n"));
  EXPECT_THAT(seen, Not(HasSubstr("CUDA_VISIBLE_DEVICES=0")));
  EXPECT_THAT(seen, HasSubstr("/dev/null\n"));
  EXPECT_THAT(seen, HasSubstr("same\n"));
}

}  // namespace
