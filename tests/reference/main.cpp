/// \file The reference checker: runs every case of a folder on this build and compares value by value.
#include <algorithm>
#include <iostream>

#include "tests/reference/case.hpp"
#include "tests/reference/zoo/zoo.hpp"
#include "zstar/guard.hpp"

namespace {

using zstar::reference::Case;

/// What the exception under way says; where the case is damaged, in place of the parser's words.
std::string failure() {
  try {
    throw;
  } catch (const nlohmann::json::exception& error) {
    const std::string said = error.what();
    return "case.json or the head of tensors.safetensors is damaged: " + said.substr(said.find("] ") + 2) + "\n  remedy: copy the case again, or make it anew";
  } catch (...) {
    return zstar::current_exception_text();
  }
}

void run(Case& c) {
  static const std::map<std::string, void (*)(Case&)> kinds{
      {"solver", zstar::reference::run_solver},           {"layer", zstar::reference::run_layer},
      {"backward", zstar::reference::run_layer},          {"norm", zstar::reference::run_norm},
      {"regularizer", zstar::reference::run_regularizer}, {"dropout", zstar::reference::run_dropout},
      {"correction", zstar::reference::run_correction}, {"model", zstar::reference::run_model},
      {"spectral_radius", zstar::reference::run_spectral_radius}, {"files", zstar::reference::run_files}};
  const bool zoo = c.kind == "model" && c.settings.contains("family"), named = c.settings.contains("runner");
  const auto kind = kinds.find(c.kind);
  if (!named && kind == kinds.end()) return c.fail("no case of kind '" + c.kind + "' can be run yet");
  try {
    (named ? zstar::reference::zoo::run_named : zoo ? zstar::reference::zoo::run : kind->second)(c);
  } catch (...) {
    c.fail(failure());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: zstar_reference FOLDER\n";
    return 2;
  }
  std::vector<std::filesystem::path> folders;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(argv[1], error), end; !error && entry != end; entry.increment(error))
    if (std::filesystem::exists(entry->path() / "case.json")) folders.push_back(entry->path());
  if (folders.empty()) {
    std::cerr << argv[1] << ": error: " << (error ? error.message() : "no folder with a case.json in it")
              << "\n  expected: a folder of reference cases, each a folder with case.json and tensors.safetensors\n  remedy: look at the path\n";
    return 2;
  }
  std::sort(folders.begin(), folders.end());
  int passed = 0, failed = 0;
  for (const auto& folder : folders) {
    bool good = false;
    try {
      Case c(folder);
      run(c);
      good = c.passed();
      std::cout << c.line() << '\n';
    } catch (...) {
      std::cout << "FAIL " << folder.filename().string() << "  " << failure() << '\n';
    }
    ++(good ? passed : failed);
  }
  std::cout << passed << " passed, " << failed << " failed\n";
  return failed == 0 ? 0 : 1;
}
