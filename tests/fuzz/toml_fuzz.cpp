/// \file Experiment files: text → a checked experiment or diagnostics, never a crash.
#include "core/experiment/experiment.hpp"
#include "core/plugins/catalogue.hpp"
#include "core/training/session.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

zstar::plugins::Catalogue& catalogue() {
  static zstar::plugins::Catalogue& all = *new zstar::plugins::Catalogue({.folders = {ZSTAR_PLUGIN_DIR}, .user_folders = false});
  return all;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const char* folder : {"/experiments", "/experiments/refused"})
    for (const auto& entry : std::filesystem::directory_iterator(std::string(ZSTAR_SOURCE_DIR) + folder))
      if (entry.path().extension() == ".toml") seeds.push_back(zstar::fuzz::read_whole(entry.path()));
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto schema = zstar::training::schema();
  static const zstar::training::CatalogueTables tables(catalogue());
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto read = zstar::experiment::Experiment::parse(text, "fuzz.toml", {}, schema, tables);
    const auto again = zstar::experiment::Experiment::parse(read.to_toml(), "resolved.toml", {}, schema, tables);
    if (again.to_toml() != read.to_toml()) __builtin_trap();  // the resolved experiment is itself runnable
  } catch (const zstar::experiment::Refused&) {
  }
  return 0;
}
