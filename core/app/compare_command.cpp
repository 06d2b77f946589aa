/// \file zstar runs, zstar compare: what was trained, what differed, what came out.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include <nlohmann/json.hpp>

#include "core/app/command.hpp"
#include "core/experiment/flat.hpp"
#include "core/runs/compare.hpp"
#include "core/runs/folder.hpp"

namespace zstar::app {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using Row = std::pair<std::string, std::vector<std::string>>;  // key, one value a run

std::vector<fs::path> folders_of(const std::vector<std::string>& words) {
  std::vector<fs::path> folders;
  for (const std::string& word : words) {
    if (!fs::exists(fs::path(word) / "experiment.toml"))
      throw WordError("'" + word + "' is no run folder", "a folder that 'zstar run' made, with experiment.toml and metrics.jsonl", {}, "'zstar runs' lists them");
    folders.push_back(fs::canonical(word));
  }
  return folders;
}

/// The settings that are not the same in all runs; where a run lacks the key: "-".
std::vector<Row> differences(const std::vector<fs::path>& folders) {
  std::vector<Row> rows;
  for (std::size_t run = 0; run < folders.size(); ++run)
    for (const auto& [key, value] : experiment::flatten(folders[run] / "experiment.toml")) {
      auto row = std::find_if(rows.begin(), rows.end(), [&, &name = key](const Row& r) { return r.first == name; });
      if (row == rows.end()) row = rows.insert(rows.end(), {key, std::vector<std::string>(folders.size(), "-")});
      row->second[run] = value;
    }
  rows.erase(std::remove_if(rows.begin(), rows.end(),
                            [](const Row& r) { return std::all_of(r.second.begin(), r.second.end(), [&](const auto& v) { return v == r.second[0]; }); }),
             rows.end());
  std::sort(rows.begin(), rows.end());
  return rows;
}

std::vector<Row> results(const std::vector<runs::Outcome>& outcomes) {
  std::vector<Row> rows;
  for (std::size_t run = 0; run < outcomes.size(); ++run)
    for (const auto& [key, value] : outcomes[run].numbers) {
      auto row = std::find_if(rows.begin(), rows.end(), [&, &name = key](const Row& r) { return r.first == name; });
      if (row == rows.end()) row = rows.insert(rows.end(), {key, std::vector<std::string>(outcomes.size(), "-")});
      row->second[run] = fmt::format("{:.5g}", value);
    }
  return rows;
}

void print(const char* title, const std::vector<Row>& rows, std::size_t columns) {
  std::size_t left = std::string(title).size();
  std::vector<std::size_t> widths(columns, 1);
  for (const auto& [key, values] : rows) {
    left = std::max(left, key.size());
    for (std::size_t i = 0; i < columns; ++i) widths[i] = std::max(widths[i], values[i].size());
  }
  std::cout << fmt::format("\n{:<{}}", title, left);
  for (std::size_t i = 0; i < columns; ++i) std::cout << fmt::format("  {:>{}}", static_cast<char>('A' + i % 26), widths[i]);
  std::cout << '\n';
  for (const auto& [key, values] : rows) {
    std::cout << fmt::format("{:<{}}", key, left);
    for (std::size_t i = 0; i < columns; ++i) std::cout << fmt::format("  {:>{}}", values[i], widths[i]);
    std::cout << '\n';
  }
}

int compare(const Arguments& arguments) {
  const auto words = arguments.list("run");
  if (words.size() < (arguments.has("svg") ? 1 : 2)) throw po::error("compare takes two run folders or more; with --svg also one");
  const auto folders = folders_of(words);
  std::vector<runs::Outcome> outcomes;
  for (const auto& folder : folders) outcomes.push_back(runs::outcome(folder));
  const auto settings = differences(folders), numbers = results(outcomes);
  if (arguments.has("json")) {
    ordered_json json{{"runs", ordered_json::array()}};
    for (std::size_t i = 0; i < folders.size(); ++i) {
      ordered_json run{{"folder", folders[i].string()}, {"state", outcomes[i].state}, {"settings", ordered_json::object()}, {"results", ordered_json::object()}};
      for (const auto& [key, values] : settings) run["settings"][key] = values[i];
      for (const auto& [key, value] : outcomes[i].numbers) run["results"][key] = value;
      json["runs"].push_back(std::move(run));
    }
    std::cout << json.dump(2) << '\n';
  } else {
    for (std::size_t i = 0; i < folders.size(); ++i) std::cout << static_cast<char>('A' + i % 26) << "  " << folders[i].string() << "  (" << outcomes[i].state << ")\n";
    if (settings.empty()) std::cout << "\nall settings are the same\n";
    else print("setting", settings, folders.size());
    print("result", numbers, folders.size());
  }
  if (!arguments.has("svg")) return done;
  const std::string sentence = runs::draw_comparison(folders, arguments.text("svg"), arguments.list("only"));
  if (!sentence.empty()) std::cerr << "zstar: warning: " << sentence << '\n';
  return sentence.empty() ? done : failed;
}

int list_runs(const Arguments& arguments) {
  const fs::path root = arguments.has("root") ? arguments.text("root") : "runs";
  ordered_json json = ordered_json::array();
  for (const fs::path& folder : runs::runs_below(root)) {
    const runs::Outcome o = runs::outcome(folder);
    ordered_json run{{"folder", folder.string()}, {"state", o.state}, {"step", o.step}, {"results", ordered_json::object()}};
    for (const auto& [key, value] : o.numbers) run["results"][key] = value;
    json.push_back(std::move(run));
    if (arguments.has("json")) continue;
    std::cout << fmt::format("{}  {:<11} step {:<7}", folder.string(), o.state, o.step);
    if (!o.headline.empty()) std::cout << ' ' << o.headline;
    std::cout << '\n';
  }
  if (arguments.has("json")) std::cout << json.dump(2) << '\n';
  else if (json.empty()) std::cout << "no runs in " << root.string() << "; 'zstar run FILE' makes one\n";
  return done;
}

}  // namespace

Command compare_command() {
  po::options_description options("options");
  options.add_options()("run", values_of("RUN"), "run folders")("svg", value_of("FILE"), "draw the learning curves of all runs over one another; gnuplot's\nscript and data are kept beside it")(
      "only", values_of("QUANTITY"), "draw this quantity (loss, accuracy, …) and no others; may be repeated");
  add_json_option(options);
  return {"compare", "compare RUN RUN … [--svg FILE]", "runs side by side: settings that differ, final metrics, learning curves",
          "A column for each run: first the settings that are not the same in all, then the numbers that came out.", {"run"}, std::move(options),
          compare,
          {{"compare runs/quickstart/*-*", "all runs of an experiment"}, {"compare runs/a/latest runs/b/latest --svg both.svg", "two, with a picture"},
           {"compare runs/a/latest --svg loss.svg --only loss", "the loss of one run, drawn"}}};
}

Command runs_command() {
  po::options_description options("options");
  options.add_options()("root", value_of("FOLDER"), "where to look; runs, if not said");
  add_json_option(options);
  return {"runs", "runs [FOLDER]", "the runs below a folder, how far each came and with what result",
          "Lists run folders, the oldest first: finished or unfinished, last step, first metric of the last evaluation.", {"root"}, std::move(options), list_runs,
          {{"runs", "those in the folder runs"}}};
}

}  // namespace zstar::app
