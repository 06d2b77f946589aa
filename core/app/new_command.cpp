/// \file zstar new: lays down a plugin of any kind from the templates beside the program.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <iostream>

#include "core/app/command.hpp"
#include "core/runs/folder.hpp"
#include "zstar/nearest.hpp"

namespace zstar::app {
namespace {

namespace fs = std::filesystem;

/// The folder of the installation (or of the build) that the program is in.
fs::path home() { return fs::canonical("/proc/self/exe").parent_path().parent_path(); }
fs::path templates() { return home() / "share/zstar/template"; }

/// A folder for each kind; what is there is what there is.
std::vector<std::string> kinds() {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(templates(), error), end; !error && entry != end; entry.increment(error))
    if (entry->is_directory()) names.push_back(entry->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// my_solver → MySolver
std::string camel(const std::string& name) {
  std::string out;
  bool up = true;
  for (const char c : name) {
    if (c != '_') out += up ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    up = c == '_';
  }
  return out;
}

/// my_solver → my-solver, as ids of plugins are written
std::string dashed(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
  return text;
}

/// A template's text under another name.
std::string renamed(std::string text, const std::string& from, const std::string& to) {
  for (const auto& form : {+[](const std::string& s) { return s; }, +[](const std::string& s) { return camel(s); }, +[](const std::string& s) { return dashed(s); }})
    text = replaced(std::move(text), form(from), form(to));
  return text;
}

bool good_name(const std::string& name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  return !name.empty() && name[0] >= 'a' && name[0] <= 'z' && name.back() != '_' && name.find("__") == std::string::npos && name.size() <= 64 &&
         std::all_of(name.begin(), name.end(), letter);
}

void lay_down(const fs::path& from, const fs::path& to, const std::string& stem, const std::string& name) {
  runs::make_folders(to);
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(from)) {
    if (!entry.is_regular_file()) continue;
    files.push_back(replaced(entry.path().filename().string(), stem, name));
    runs::write_whole(to / files.back(), renamed(runs::read_whole(entry.path()), stem, name));
  }
  std::sort(files.begin(), files.end());
  std::cout << to.string() << ":";
  for (const std::string& file : files) std::cout << ' ' << file;
  const std::string folder = to.string();
  std::cout << "\n\nbuild and check it:  cmake -S " << folder << " -B " << folder << "/build -DCMAKE_PREFIX_PATH=" << home().string()
            << " && cmake --build " << folder << "/build\ntest it:             ctest --test-dir " << folder
            << "/build --output-on-failure\nrun its experiment:  zstar run " << (to / (name + ".toml")).string() << " --plugins " << folder << "/build\n";
}

int new_part(const Arguments& arguments) {
  const auto words = arguments.list("what");
  if (words.size() < 2 || words.size() > 3) throw po::error("new takes a kind, a name, and perhaps a folder");
  const std::string &kind = words[0], &name = words[1];
  const auto all = kinds();
  if (all.empty()) throw WordError("no templates in " + templates().string(), "", {}, "install zstar whole: cmake --install BUILD");
  if (std::find(all.begin(), all.end(), kind) == all.end()) throw WordError("unknown kind '" + kind + "'", quoted(all), nearest(kind, all), "name one of the kinds");
  if (!good_name(name))
    throw WordError("'" + name + "' is no name for a part", "lower-case letters, digits and single '_', a letter first: 'my_" + kind + "'", {}, "choose another name");
  const auto taken = plugins::Catalogue(discovery(arguments)).names(*plugins::kind_of(kind));
  if (std::find(taken.begin(), taken.end(), name) != taken.end())
    throw WordError("there is a " + kind + " '" + name + "' already", "a name that no " + kind + " has", {}, "choose another name; 'zstar plugins list' shows those that are taken");
  const fs::path folder = words.size() == 3 ? words[2] : name;
  if (fs::exists(folder) && !(fs::is_directory(folder) && fs::is_empty(folder)))
    throw WordError("'" + folder.string() + "' exists", "a folder that does not exist, or an empty one", {}, "give another folder as the last word");
  lay_down(templates() / kind, folder, "my_" + kind, name);
  return done;
}

std::vector<std::string> next_kind(const Arguments&, const std::vector<std::string>& given) {
  return given.empty() ? kinds() : std::vector<std::string>();
}

}  // namespace

Command new_command() {
  po::options_description options("options");
  options.add_options()("what", values_of("WORD"), "KIND NAME [FOLDER]");
  std::string names;
  for (const std::string& kind : kinds()) names += (names.empty() ? "" : ", ") + kind;
  return {"new", "new KIND NAME [FOLDER]", "lay down a plugin to start from: source, README, test, experiment",
          "Makes a folder with a small plugin that works: change the equation, the options and the words.\n"
          "Kinds: " + (names.empty() ? "none is installed" : names) + ". It is built outside of the tree of zstar, against this installation.",
          {"what"}, std::move(options), new_part,
          {{"new solver mine", "the folder mine/ with a solver called 'mine'"},
           {"new model tiny_deq plugins/models/tiny_deq", "in the tree of zstar: found by the next build, nothing else is edited"}}, next_kind};
}

}  // namespace zstar::app
