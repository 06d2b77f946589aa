#include "core/runs/metrics.hpp"

#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "core/runs/folder.hpp"

namespace zstar::runs {
namespace fs = std::filesystem;
namespace {

std::vector<nlohmann::ordered_json> read_records(const fs::path& run) {
  std::vector<nlohmann::ordered_json> records;
  std::ifstream in(run / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    auto record = nlohmann::ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_object() && record.contains("step")) records.push_back(std::move(record));
  }
  return records;
}

/// The rows of all records under the union of their keys: what a spreadsheet expects.
std::string to_csv(const std::vector<nlohmann::ordered_json>& records) {
  std::vector<std::string> keys;
  for (const auto& r : records)
    for (const auto& [key, value] : r.items())
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  std::ostringstream out;
  for (std::size_t i = 0; i < keys.size(); ++i) out << (i ? "," : "") << keys[i];
  for (const auto& r : records) {
    out << '\n';
    for (std::size_t i = 0; i < keys.size(); ++i) {
      out << (i ? "," : "");
      if (r.contains(keys[i]) && !r[keys[i]].is_null()) out << (r[keys[i]].is_string() ? r[keys[i]].get<std::string>() : r[keys[i]].dump());
    }
  }
  out << '\n';
  return out.str();
}

}  // namespace

MetricsFile::MetricsFile(fs::path run, std::int64_t keep_until) : run_(std::move(run)) {
  if (!fs::exists(run_ / "metrics.jsonl")) return;
  std::string kept;
  for (const auto& record : read_records(run_))
    if (record["step"].get<std::int64_t>() <= keep_until) kept += record.dump() + "\n";
  write_whole(run_ / "metrics.jsonl", kept);
}

void MetricsFile::add(const Record& record) {
  nlohmann::ordered_json line{{"kind", record.kind}, {"step", record.step}};
  for (const auto& [name, value] : record.numbers) {
    if (std::isfinite(value)) line[name] = value;
    else line[name] = nullptr;  // JSON has no NaN
  }
  std::ofstream out(run_ / "metrics.jsonl", std::ios::app);
  out << line.dump() << '\n';
  out.flush();
  if (!out) throw RunError((run_ / "metrics.jsonl").string() + ": error: cannot be written\n  remedy: free some space");
}

std::string draw_curves(const fs::path& run) {
  const auto records = read_records(run);
  write_whole(run / "metrics.csv", to_csv(records));
  std::map<std::string, std::map<std::string, std::string>> series;  // metric, kind → "step value" lines
  static const std::set<std::string> not_drawn{"step", "kind", "epoch", "lr"};
  for (const auto& r : records)
    for (const auto& [key, value] : r.items())
      if (value.is_number() && !not_drawn.count(key) && (r["kind"] != "train" || key == "loss" || key == "forward_evaluations" || key == "forward_residual_median"))
        series[key][r["kind"].get<std::string>()] += std::to_string(r["step"].get<std::int64_t>()) + " " + value.dump() + "\n";
  std::string data, script = "set terminal svg size 960,640 font 'sans,11'\nset output 'curves.svg'\nset grid\n";
  const std::size_t columns = series.size() > 1 ? 2 : 1, rows = (series.size() + columns - 1) / columns;
  if (series.empty()) return "no records, no curves";
  script += "set multiplot layout " + std::to_string(rows) + "," + std::to_string(columns) + "\nset xlabel 'step'\n";
  int index = 0;
  for (const auto& [metric, kinds] : series) {
    const bool residual = metric.find("residual") != std::string::npos;
    script += std::string(residual ? "set logscale y\n" : "unset logscale y\n") + "set ylabel '" + metric + "' noenhanced\nplot ";
    std::string comma;
    for (const auto& [kind, lines] : kinds) {
      data += "# " + metric + " of " + kind + "\n" + lines + "\n\n";
      script += comma + "'curves.dat' index " + std::to_string(index) + " with lines dashtype " + std::to_string(index % 5 + 1) + " title '" + kind + "'";
      comma = ", ";
      ++index;
    }
    script += "\n";
  }
  write_whole(run / "curves.dat", data);
  write_whole(run / "curves.gp", script + "unset multiplot\n");
  const fs::path back = fs::current_path();
  fs::current_path(run);
  const int status = std::system("gnuplot curves.gp > /dev/null 2>&1");
  fs::current_path(back);
  if (status == 0) return "";
  return "no learning curves were drawn: gnuplot is missing or failed; install gnuplot-nox and run 'gnuplot curves.gp' in the run folder";
}

}  // namespace zstar::runs
