/// \file zstar plugins list, show, check.
#include <algorithm>
#include <iostream>

#include <nlohmann/json.hpp>

#include "core/app/devices.hpp"
#include "core/app/verify_command.hpp"
#include "core/experiment/spec_text.hpp"
#include "core/plugins/held_file.hpp"
#include "core/plugins/probe.hpp"

namespace zstar::app {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

int list_plugins(const Arguments& arguments) {
  plugins::Catalogue catalogue(discovery(arguments));
  ordered_json json = ordered_json::array();
  for (const auto& file : catalogue.files()) {
    ordered_json entry{{"file", file.path.string()}, {"id", file.id}, {"version", file.version}, {"doc", file.doc}, {"parts", ordered_json::array()}};
    if (!file.resolved.empty() && file.resolved != fs::absolute(file.path).lexically_normal()) entry["resolved"] = file.resolved.string();
    if (!file.refused.empty()) entry["refused"] = file.refused, entry["code"] = file.refused_code;
    if (!file.shadowed_by.empty()) entry["shadowed_by"] = file.shadowed_by;
    for (const auto& part : catalogue.parts())
      if (&catalogue.files()[part.file] == &file) entry["parts"].push_back({{"kind", plugins::to_string(part.kind)}, {"name", part.name}, {"doc", part.doc}});
    json.push_back(std::move(entry));
  }
  if (arguments.has("json")) {
    std::cout << json.dump(2) << '\n';
    return done;
  }
  for (const auto& entry : json) {
    for (const auto& part : entry["parts"])
      if (!entry.contains("refused") && !entry.contains("shadowed_by")) {
        const std::string kind = part["kind"], name = part["name"], doc = part["doc"];
        std::cout << kind << std::string(kind.size() < 12 ? 12 - kind.size() : 1, ' ') << name
                  << std::string(name.size() < 24 ? 24 - name.size() : 1, ' ') << doc << '\n';
      }
    if (entry.contains("refused")) std::cerr << entry["refused"].get<std::string>() << '\n';
    if (entry.contains("shadowed_by"))
      std::cerr << entry["file"].get<std::string>() << ": shadowed by " << entry["shadowed_by"].get<std::string>() << ", which has the same id\n";
  }
  return done;
}

ordered_json options_json(const std::vector<OptSpec>& specs) {
  ordered_json json = ordered_json::array();
  for (const OptSpec& s : specs)
    json.push_back({{"name", s.name}, {"type", experiment::type_text(s)}, {"default", experiment::to_toml_value(s.def)}, {"unit", s.unit}, {"doc", s.doc}});
  return json;
}

WordError no_part(const plugins::Catalogue& catalogue, const std::string& name) {
  std::vector<std::string> all;
  for (const auto& part : catalogue.parts()) all.push_back(part.name);
  return WordError("no part is called '" + name + "'", "the name of a part, or ID:NAME", nearest(name, all), "'zstar plugins list' shows all parts");
}

int show(const Arguments& arguments, const std::string& name) {
  plugins::Catalogue catalogue(discovery(arguments));
  const std::string bare = name.substr(name.find(':') == std::string::npos ? 0 : name.find(':') + 1);
  ordered_json json = ordered_json::array();
  for (const auto& part : catalogue.parts()) {
    if (part.name != bare) continue;
    const auto& specs = catalogue.options(part.kind, name);
    json.push_back({{"kind", plugins::to_string(part.kind)}, {"name", part.name}, {"doc", part.doc}, {"options", options_json(specs)}});
  }
  if (json.empty()) throw no_part(catalogue, name);
  if (arguments.has("json")) {
    std::cout << json.dump(2) << '\n';
    return done;
  }
  for (const auto& part : json) {
    std::cout << part["kind"].get<std::string>() << ' ' << part["name"].get<std::string>() << ": " << part["doc"].get<std::string>() << '\n';
    for (const auto& o : part["options"])
      std::cout << "  " << o["name"].get<std::string>() << "  (" << o["type"].get<std::string>()
                << (o["default"] == "" ? ", unset by default" : ", default " + o["default"].get<std::string>()) << ")\n      " << o["doc"].get<std::string>() << '\n';
  }
  return done;
}

/// The checks of `zstar verify` on the parts of a file. \return whether all hold
bool verified(const Arguments& arguments, const fs::path& file) {
  const auto results = verify_files(arguments, {file}, {});
  bool all = true;
  for (const verify::Result& r : results) {
    if (r.outcome != verify::Outcome::failed) continue;
    all = false;
    std::cout << "  " << plugins::to_string(r.kind) << ' ' << r.part << " fails '" << r.check << "': " << r.why << '\n';
  }
  print_verdict(results);
  return all;
}

/// One file: its tag here, the rest in a child process. \return whether it is good
bool good(const Arguments& arguments, const fs::path& file) {
  plugins::Discovery alone = discovery(arguments);
  alone.user_folders = false;
  alone.folders.clear();
  alone.files = {file};
  plugins::Catalogue catalogue(alone);
  plugins::ProbeReport report;
  try {
    report = catalogue.probe_file(0);
  } catch (const plugins::PluginError& error) {
    std::cerr << error.what() << '\n';
    return false;
  }
  const auto& entry = catalogue.files().front();
  for (const std::string& warning : report.warnings) std::cerr << warning << '\n';
  for (const std::string& fault : report.faults) std::cerr << fault << '\n';
  if (!report.faults.empty()) return false;
  std::cout << file.string() << ": good: " << entry.id << ' ' << entry.version << '\n';
  if (entry.resolved != fs::absolute(file).lexically_normal()) std::cout << "  resolved  " << entry.resolved.string() << '\n';
  std::cout << "  sha256:" << plugins::HeldFile(entry.resolved).sha256() << '\n';
  for (const auto& part : catalogue.parts()) std::cout << "  " << plugins::to_string(part.kind) << ' ' << part.name << ": " << part.doc << '\n';
  return true;
}

/// Reads the tags; loads each file in a child process, enters it, checks its tables, creates its parts; with --deep, verifies them.
int check(const Arguments& arguments, const std::vector<std::string>& files) {
  load_cuda();
  bool all = true, deep = true;
  for (const std::string& file : files) {
    const bool usable = good(arguments, file);
    all = usable && all;
    if (usable && arguments.has("deep")) deep = verified(arguments, file) && deep;
  }
  return !all ? plugin_refused : deep ? done : failed;
}

int look_at_plugins(const Arguments& arguments) {
  const auto words = arguments.list("what");
  if (words.size() == 1 && words[0] == "list") return list_plugins(arguments);
  if (words.size() == 2 && words[0] == "show") return show(arguments, words[1]);
  if (words.size() >= 2 && words[0] == "check") return check(arguments, {words.begin() + 1, words.end()});
  const std::vector<std::string> all{"list", "show", "check"};
  if (words.empty() || std::find(all.begin(), all.end(), words[0]) != all.end()) throw po::error("plugins takes list, show NAME, or check FILE …");
  throw WordError("unknown word '" + words[0] + "'", "list, show NAME, or check FILE …", nearest(words[0], all));
}

std::vector<std::string> next_word(const Arguments& arguments, const std::vector<std::string>& given) {
  if (given.empty()) return {"list", "show", "check"};
  std::vector<std::string> names;
  if (given.size() == 1 && given[0] == "show")
    for (const auto& part : plugins::Catalogue(discovery(arguments)).parts()) names.push_back(part.name);
  return names;
}

}  // namespace

Command plugins_command() {
  po::options_description options("options");
  options.add_options()("what", values_of("WORD"), "list, show NAME, check FILE …")("deep", "check: verify the parts of the file, too, as 'zstar verify' does");
  add_json_option(options);
  add_plugin_options(options);
  return {"plugins", "plugins list | show NAME | check FILE …", "what was found, a part's options, whether a file is good",
          "list: all parts, and the files that were refused with the reason.\n"
          "show: every option of a part with type, range, default and meaning.\n"
          "check: reads the tag of a file, loads it in a child process, checks its tables and creates its parts; exit status 3 if\n"
          "it is refused, 1 if a part fails a check of --deep.",
          {"what"}, std::move(options), look_at_plugins,
          {{"plugins list", "every part with a line about it"},
           {"plugins show anderson", "type, range, default and meaning of every option"},
           {"plugins check build/zstar-mine.so", "whether a library is good, or why it is refused"}}, next_word};
}

Command probe_command() {
  po::options_description options("options");
  options.add_options()("words", values_of("WORD"), "FILE NONCE [cuda]");
  return {"probe", "probe FILE NONCE [cuda]", "the child of a check", "Loads a plugin for another process of this program and answers on descriptor 3.", {"words"}, std::move(options),
          [](const Arguments& arguments) -> int {
            const auto words = arguments.list("words");
            if (words.size() < 2 || words.size() > 3) throw po::error("probe takes FILE, NONCE, and the word cuda where the file needs it");
            if (words.size() == 3) load_cuda();
            plugins::answer_probe(words[0], words[1]);
          }, {}, {}, /*hidden=*/true};
}

}  // namespace zstar::app
