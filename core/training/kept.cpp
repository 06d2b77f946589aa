#include "core/training/kept.hpp"

#include <algorithm>

#include "core/experiment/spec_text.hpp"
#include "core/runs/folder.hpp"
#include "core/training/calls.hpp"
#include "zstar/keeps.hpp"

namespace zstar::training {
namespace fs = std::filesystem;

void keep(Dataset& data, const std::string& part, const fs::path& run) {
  const auto* keeping = query<Keeps>(data);
  if (!keeping) return;
  for (const Keeps::File& file : of_data(data, "kept", [&] { return keeping->kept(); })) {
    const fs::path to = run / "kept" / (part + "." + file.option);
    runs::make_folders(to.parent_path());
    if (!fs::exists(to)) runs::write_whole(to, file.bytes);
  }
}

std::vector<std::string> kept_by(const fs::path& run, const std::string& part) {
  std::vector<std::string> overrides;
  std::error_code none;
  for (fs::directory_iterator entry(run / "kept", none), end; !none && entry != end; entry.increment(none))
    if (const fs::path& file = entry->path(); file.stem() == part)
      overrides.push_back("dataset." + file.extension().string().substr(1) + "=" + experiment::to_toml_value(fs::canonical(file).string()));
  std::sort(overrides.begin(), overrides.end());
  return overrides;
}

}  // namespace zstar::training
