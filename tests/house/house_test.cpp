/// \file The house stands: include directions, the size of files, no machine's paths.
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include <gtest/gtest.h>

#include <filesystem>

namespace {

namespace fs = std::filesystem;

/// The room of a file: "sdk", "plugins/solvers/anderson", "core/solve", "tests".
std::string room(const fs::path& relative) {
  std::vector<std::string> parts;
  for (const auto& p : relative.parent_path()) parts.push_back(p.string());
  const std::size_t depth = parts.empty() ? 0 : parts[0] == "plugins" ? 3 : parts[0] == "core" ? 2 : 1;
  std::string name;
  for (std::size_t i = 0; i < std::min(depth, parts.size()); ++i) name += (i ? "/" : "") + parts[i];
  return name;
}

std::vector<fs::path> sources() {
  std::vector<fs::path> files;
  for (const char* top : {"sdk", "core", "plugins", "tests", "bench"})
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(ZSTAR_SOURCE_DIR) / top))
      if (const auto e = entry.path().extension(); e == ".cpp" || e == ".hpp") files.push_back(entry.path());
  return files;
}

/// The file that a line includes, from the top of the tree, where it is one of the tree's: as written, or seen from the folder of `file`.
fs::path included(const std::string& line, const fs::path& file) {
  static const std::regex include("^\\s*#\\s*include\\s*[<\"]([^>\"]+)[>\"]");
  std::smatch match;
  if (!std::regex_search(line, match, include)) return {};
  const fs::path near = (file.parent_path() / match[1].str()).lexically_normal(), top = ZSTAR_SOURCE_DIR;
  return fs::exists(near) ? near.lexically_relative(top) : fs::path(match[1].str()).lexically_normal();
}

bool is_test(const fs::path& file) { return file.string().find("_test.cpp") != std::string::npos || file.string().find("/tests/") != std::string::npos; }

TEST(House, IncludesRunInTheDirectionsAllowed) {
  const std::map<std::string, std::set<std::string>> allowed{
      {"core/plugins", {}},           {"core/experiment", {}},
      {"core/solve", {}},             {"core/gradient", {"core/solve"}},
      {"core/runs", {}},              {"core/training", {"core/runs", "core/solve", "core/gradient", "core/experiment", "core/plugins"}},
      {"core/testing", {"core/solve", "core/gradient", "core/experiment", "core/plugins"}},
      {"core/verify", {"core/solve", "core/gradient", "core/experiment", "core/plugins", "core/training"}},
      {"bench", {"core/solve", "core/training"}},
      {"core/app", {"core/verify", "core/plugins", "core/experiment", "core/solve", "core/gradient", "core/runs", "core/training"}}};
  int seen = 0;
  for (const fs::path& file : sources()) {
    if (is_test(file)) continue;
    const std::string from = room(fs::relative(file, ZSTAR_SOURCE_DIR));
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
      const fs::path header = included(line, file);
      const std::string top = header.empty() ? "" : header.begin()->string();
      if (top != "core" && top != "plugins") continue;
      ++seen;
      const std::string to = room(header);
      const auto rule = allowed.find(from);
      EXPECT_TRUE(to == from || (rule != allowed.end() && rule->second.count(to))) << file << ": " << line;
    }
  }
  EXPECT_GT(seen, 50);
}

TEST(House, AnIncludeByTheWayOfParentFoldersIsSeen) {
  const fs::path file = fs::path(ZSTAR_SOURCE_DIR) / "plugins/solvers/anderson/anderson.cpp";
  EXPECT_EQ(included("#include \"../../../core/solve/loop.hpp\"", file), "core/solve/loop.hpp");
  EXPECT_EQ(included("#include \"core/../plugins/norms/x.hpp\"", file), "plugins/norms/x.hpp");
  EXPECT_EQ(included("#include <vector>", file), "vector");
}

TEST(House, EachLibraryIsKnownToOneRoom) {
  const std::map<std::string, std::string> owner{{"boost/dll", "core/plugins"}, {"toml++", "core/experiment"}, {"boost/program_options", "core/app"}};
  for (const fs::path& file : sources()) {
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);)
      for (const auto& [library, home] : owner)
        if (line.find("#include <" + library) == 0) EXPECT_EQ(room(fs::relative(file, ZSTAR_SOURCE_DIR)), home) << file;
  }
}

/// All of LibTorch's headers cost each file of a plugin twice what the SDK's own choice of them does (M32).
TEST(House, TheSdkIncludesNoHeaderOfAllOfLibTorch) {
  const std::regex whole("^\\s*#\\s*include\\s*[<\"]torch/(torch|all|extension|script)\\.h[>\"]");
  for (const fs::path& file : sources()) {
    if (room(fs::relative(file, ZSTAR_SOURCE_DIR)) != "sdk") continue;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) EXPECT_FALSE(std::regex_search(line, whole)) << file << ": " << line;
  }
}

TEST(House, ChangesAreParagraphsUnderOneOfFourWords) {
  const std::regex begins("^(broken|added|changed|fixed): .*");
  for (const auto& entry : fs::directory_iterator(fs::path(ZSTAR_SOURCE_DIR) / "changes")) {
    std::ifstream in(entry.path());
    std::string line;
    EXPECT_TRUE(std::getline(in, line) && std::regex_match(line, begins)) << entry.path();
    while (std::getline(in, line)) EXPECT_FALSE(line.empty() || line[0] == '#' || line[0] == '-') << entry.path() << ": " << line;
  }
}

/// E: of engines, Z: of language, image and graph models, Y: of flow, signals and diffusion.
TEST(House, EveryKnownFailureHasATestNamedAfterIt) {
  const std::regex test("^TEST(_[FP])?\\(\\w+, (\\w+)"), failure("[EYZ][0-9]+(?=[A-Z])");
  std::set<std::string> named;
  for (const fs::path& file : sources()) {
    if (!is_test(file)) continue;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
      std::smatch match;
      if (!std::regex_search(line, match, test)) continue;
      const std::string name = match[2].str();
      for (std::sregex_iterator found(name.begin(), name.end(), failure), end; found != end; ++found) named.insert(found->str());
    }
  }
  for (const auto& [letter, count] : {std::pair("E", 50), std::pair("Y", 40), std::pair("Z", 41)})
    for (int i = 1; i <= count; ++i) EXPECT_TRUE(named.count(letter + std::to_string(i))) << "no test is named " << letter << i;
}

TEST(House, NoFileIsLongerThanFourHundredLines) {
  for (const fs::path& file : sources()) {
    std::ifstream in(file);
    int lines = 0;
    for (std::string line; std::getline(in, line);) ++lines;
    EXPECT_LE(lines, 400) << file;
  }
}

}  // namespace
