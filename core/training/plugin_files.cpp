#include "core/training/plugin_files.hpp"

#include <algorithm>
#include <regex>

#include "core/experiment/experiment.hpp"
#include "core/plugins/discovery.hpp"
#include "core/runs/folder.hpp"
#include "core/training/session.hpp"
#include "zstar/nearest.hpp"

namespace zstar::training {
namespace fs = std::filesystem;
namespace {

using experiment::Experiment;
using experiment::Refused;

/// Files of the framework name no parts.
class NoParts final : public experiment::PartTables {
 public:
  std::vector<std::string> names(Kind) const override { return {}; }
  std::vector<OptSpec> options(Kind, std::string_view) const override { return {}; }
};

struct TorchRow {
  std::string name, build_id;
  static auto options() {
    return std::tuple{opt("name", &TorchRow::name, "file of libtorch_cpu"), opt("build_id", &TorchRow::build_id, "of that file")};
  }
};

struct PluginRow {
  std::string id, version, abi, sdk, torch, file, sha256;
  std::int64_t size = 0;
  std::vector<std::string> parts;
  static auto options() {
    using R = PluginRow;
    return std::tuple{opt("id", &R::id, "of the plugin"), opt("version", &R::version, "of the plugin"), opt("abi", &R::abi, "plugin ABI"),
                      opt("sdk", &R::sdk, "hash of the SDK's headers"), opt("torch", &R::torch, "LibTorch it was built for"),
                      opt("file", &R::file, "name without folder"), opt("size", &R::size, "of the file", at_least(0), "bytes"),
                      opt("sha256", &R::sha256, "of the file"), opt("parts", &R::parts, "those that were used")};
  }
};

experiment::Schema lock_schema() {
  experiment::SectionSpec torch{"libtorch", "the LibTorch that was used"}, plugins{"plugins", "the plugins that were used", std::nullopt, /*array=*/true};
  torch.framework = describe(TorchRow::options());
  plugins.framework = describe(PluginRow::options());
  return {torch, plugins};
}

struct Configuration {
  std::vector<std::string> folders, trust;
  std::optional<std::vector<std::string>> allow;
  static auto options() {
    using C = Configuration;
    return std::tuple{opt("folders", &C::folders, "folders with plugins, absolute or from the home (~/…)"),
                      opt("trust", &C::trust, "folders whose plugins are used although others may change them"),
                      opt("allow", &C::allow, "\"sha256:HEX\" of every file that may be loaded; unset: any")};
  }
};

/// A folder as a person writes it. \return empty if it depends on the current folder
fs::path absolute_folder(const std::string& text) {
  if (text == "~" || text.compare(0, 2, "~/") == 0) return plugins::user_folder("HOME", "") / fs::path(text.substr(std::min<std::size_t>(2, text.size())));
  return fs::path(text).is_absolute() ? fs::path(text) : fs::path();
}

void add_folders(const std::vector<std::string>& texts, const char* key, const std::string& place, std::vector<fs::path>& to) {
  for (const std::string& text : texts) {
    const fs::path folder = absolute_folder(text);
    if (folder.empty())
      throw Refused({place + ": error: [plugins] " + key + " holds '" + text + "'\n  expected: an absolute folder, or one from the home (~/…)\n  remedy: write the whole path"});
    to.push_back(folder);
  }
}

}  // namespace

plugins::Lock read_lock(const fs::path& file) {
  if (!fs::is_regular_file(file))
    throw Refused({file.string() + ": error: there is no lock file\n  expected: one written by 'zstar lock FILE', or that of a run folder\n  remedy: lock first, or run without --locked"});
  const Experiment text = Experiment::read(file, {}, lock_schema(), NoParts());
  if (text.at("libtorch").place.source.empty())
    throw Refused({file.string() + ": error: the lock file holds no [libtorch]\n  expected: one written by 'zstar lock FILE', or that of a run folder\n  remedy: 'zstar lock FILE' writes it anew"});
  const auto torch = text.at("libtorch").as<TorchRow>();
  plugins::Lock lock{file.string(), {}, {torch.name, torch.build_id}};
  for (const experiment::Section* s : text.all("plugins")) {
    const auto row = s->as<PluginRow>();
    lock.plugins.push_back({row.id, row.version, row.abi, row.sdk, row.torch, row.file, row.sha256, static_cast<std::uintmax_t>(row.size), row.parts});
  }
  return lock;
}

fs::path configuration_file() {
  const fs::path folder = plugins::user_folder("XDG_CONFIG_HOME", ".config");
  return folder.empty() ? fs::path() : folder / "zstar/config.toml";
}

void apply_configuration(const fs::path& file, plugins::Discovery& discovery) {
  if (file.empty() || !fs::exists(file)) return;
  experiment::SectionSpec section{"plugins", "where plugins lie, and which may be loaded"};
  section.framework = describe(Configuration::options());
  const Experiment text = Experiment::read(file, {}, {section}, NoParts());
  const experiment::Section& s = text.at("plugins");
  const std::string place = s.place.source.empty() ? file.string() : s.place.text();
  const auto configuration = s.as<Configuration>();
  add_folders(configuration.folders, "folders", place, discovery.configured);
  add_folders(configuration.trust, "trust", place, discovery.trusted);
  if (!configuration.allow) return;
  discovery.allowed.emplace();
  for (const std::string& entry : *configuration.allow) {
    const auto digest = plugins::parse_digest(entry);
    if (!digest)
      throw Refused({place + ": error: [plugins] allow holds '" + entry + "'\n  expected: \"sha256:\" and 64 hexadecimal digits\n  remedy: 'zstar plugins check FILE' prints it"});
    discovery.allowed->push_back(*digest);
  }
}

plugins::Lock lock_of(const plugins::Catalogue& catalogue) { return {"", catalogue.used(), plugins::torch_library()}; }

std::string update_lock(const fs::path& file, const plugins::Catalogue& catalogue) {
  plugins::Lock lock = lock_of(catalogue), before;
  std::string damage;
  try {
    if (fs::exists(file)) before = read_lock(file);
  } catch (const Refused& refused) {
    damage = refused.what();
  }
  for (plugins::UsedPlugin& old : before.plugins)
    if (std::none_of(lock.plugins.begin(), lock.plugins.end(), [&](const auto& p) { return p.id == old.id; })) lock.plugins.push_back(std::move(old));
  std::sort(lock.plugins.begin(), lock.plugins.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  runs::write_whole(file, to_toml(lock));
  return damage;
}

namespace {

std::vector<experiment::Fault> faults_of(const ExperimentOptions& options) {
  std::vector<experiment::Fault> faults;
  const std::string& name = options.name;
  if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos)
    faults.push_back({"name", "'" + name + "' is no name of a folder", "text without '/' that does not begin with '.'", "", "choose where runs go with experiment.runs"});
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  for (const auto& [key, text] : {std::pair("name", &name), std::pair("runs", &options.runs)})
    if (std::any_of(text->begin(), text->end(), control)) faults.push_back({key, std::string("option '") + key + "' holds a control character, which no name of a folder needs", "letters, digits and signs", "", "leave it out"});
  if (options.runs == "~" || options.runs.compare(0, 2, "~/") == 0)
    faults.push_back({"runs", "'" + options.runs + "' begins with '~', which an experiment does not expand", "a folder, absolute or from where the program is started", "", "write the whole path"});
  if (static const std::regex form("auto|cpu|cuda|cuda:[0-9]{1,3}"); !std::regex_match(options.device, form)) {
    const auto near = nearest(options.device, {"auto", "cpu", "cuda"});
    faults.push_back({"device", "unknown device '" + options.device + "'", "auto, cpu, cuda or cuda:N", near.empty() ? "" : "'" + near.front() + "'", "'zstar doctor' says which there are"});
  }
  return faults;
}

}  // namespace

std::vector<experiment::PartRefusal> CatalogueTables::make(const std::vector<experiment::Section>& read) const { return Session::refusals(read, catalogue_); }
std::string CatalogueTables::idle(const experiment::Section& section, const experiment::Section& inner) const {
  if (section.name != "gradient" || inner.name != "solver" || section.part.empty() || !Session::by_autograd(section, catalogue_)) return {};
  const auto* intermediate = section.find_nested("intermediate");
  if (intermediate && !Session::by_autograd(*intermediate, catalogue_)) return {};
  return "gradient '" + section.part + "' solves no adjoint equation, autograd differentiates its steps";
}

std::vector<experiment::Fault> CatalogueTables::accept(const experiment::Section& section) const {
  if (section.name == "experiment") return faults_of(section.as<ExperimentOptions>());
  if (section.name != "plugins") return {};
  const auto options = section.as<PluginOptions>();
  std::vector<experiment::Fault> faults;
  std::vector<plugins::Pin> pins;
  for (const std::string& text : options.pin) {
    if (const auto pin = plugins::parse_pin(text)) pins.push_back(*pin);
    else faults.push_back({"pin", "option 'pin' holds '" + text + "'", "\"ID@VERSION\" or \"ID@sha256:HEX\"", "", "'zstar plugins list --json' shows ids and versions"});
  }
  try {
    catalogue_.require(std::move(pins));
    if (options.locked) catalogue_.require(read_lock(lock_));
  } catch (const Refused& refused) {
    for (const std::string& message : refused.messages()) faults.push_back({"locked", message});
  } catch (const plugins::PluginError& error) {
    faults.push_back({"locked", error.what()});
  }
  return faults;
}

}  // namespace zstar::training
