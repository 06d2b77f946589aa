#include "core/runs/compare.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "core/runs/plot.hpp"
#include "core/runs/records.hpp"

namespace zstar::runs {
namespace fs = std::filesystem;
namespace {

using nlohmann::ordered_json;

/// split → {metric: value} of summary.json, or of the last record of each split.
ordered_json evaluations(const fs::path& run, const std::vector<ordered_json>& records, bool& done) {
  std::ifstream in(run / "summary.json");
  const auto summary = in ? ordered_json::parse(in, nullptr, /*allow_exceptions=*/false) : ordered_json();
  done = summary.is_object() && summary.contains("splits") && summary["splits"].is_object();
  if (done) return summary["splits"];
  ordered_json last = ordered_json::object();
  for (const auto& r : records)
    if (r["kind"] != "train") last[r["kind"].get<std::string>()] = r;
  return last;
}

}  // namespace

Outcome outcome(const fs::path& run) {
  const auto records = read_records(run);
  Outcome result;
  bool done = false;
  const auto splits = evaluations(run, records, done);  // items() refers to it
  for (const auto& [split, metrics] : splits.items())
    for (const auto& [metric, value] : metrics.items())
      if (value.is_number() && drawn(metric, split)) result.numbers.emplace_back(split + " " + metric, value.get<double>());
  result.state = done ? "done" : "unfinished";
  for (const char* split : {"test ", "validation "})
    for (const auto& [name, value] : result.numbers)
      if (result.headline.empty() && name.compare(0, std::string(split).size(), split) == 0) {
        char text[32];
        std::snprintf(text, sizeof text, " %.4f", value);
        result.headline = name + text;
      }
  double seconds = 0;
  ordered_json last;
  for (const auto& r : records) {
    result.step = std::max(result.step, r["step"].get<std::int64_t>());
    if (r["kind"] != "train") continue;
    last = r;
    for (const char* part : {"seconds_data", "seconds_forward", "seconds_backward"})
      if (r.contains(part) && r[part].is_number()) seconds += r[part].get<double>();
  }
  result.numbers.emplace_back("steps", static_cast<double>(result.step));
  result.numbers.emplace_back("seconds", seconds);
  for (const char* key : {"loss", "forward_evaluations", "backward_evaluations", "forward_residual_median", "samples_per_second"})
    if (last.contains(key) && last[key].is_number()) result.numbers.emplace_back(std::string("last train ") + key, last[key].get<double>());
  return result;
}

std::string draw_comparison(const std::vector<fs::path>& runs, const fs::path& svg, const std::vector<std::string>& only) {
  const auto wanted = [&only](const std::string& key, const std::string& kind) {
    return only.empty() ? drawn(key, kind) : std::find(only.begin(), only.end(), key) != only.end();
  };
  Panels panels;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    Panels own;
    for (const auto& r : read_records(runs[i]))
      for (const auto& [key, value] : r.items()) {
        const std::string kind = r["kind"].get<std::string>();
        if (!value.is_number() || !wanted(key, kind)) continue;
        auto& curves = own[kind + " " + key];
        if (curves.empty()) curves.push_back({std::string(1, static_cast<char>('A' + i % 26)) + " " + runs[i].parent_path().filename().string(), ""});
        curves[0].second += std::to_string(r["step"].get<std::int64_t>()) + " " + value.dump() + "\n";
      }
    for (auto& [quantity, curves] : own) panels[quantity].push_back(std::move(curves[0]));
  }
  if (panels.empty() && !only.empty()) return "no run has records of '" + only.front() + "', so no curves were drawn";
  return draw(svg, panels);
}

}  // namespace zstar::runs
