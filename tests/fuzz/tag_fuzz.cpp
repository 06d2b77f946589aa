/// \file Plugin files: bytes → a tag and a verdict, or a refusal; nothing of the file runs.
#include "core/plugins/compatibility.hpp"
#include "tests/fuzz/fuzz.hpp"

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const auto& entry : std::filesystem::directory_iterator(ZSTAR_PLUGIN_DIR)) {
    if (entry.path().extension() != ".so") continue;
    seeds.push_back(zstar::fuzz::read_whole(entry.path()));
    if (seeds.size() == 4) break;
  }
  // The headers alone, too: mutations of a whole file seldom meet them.
  for (std::size_t i = 0, n = seeds.size(); i < n; ++i) seeds.push_back(seeds[i].substr(0, 4096));
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace zstar::plugins;
  const auto read = read_tag(zstar::fuzz::as_file(data, size));
  if (const auto* tag = std::get_if<FileTag>(&read)) incompatibility(*tag, own_lines(), {"libtorch_cpu.so", "libstdc++.so.6"});
  return 0;
}
