#include "core/runs/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "core/runs/folder.hpp"
#include "core/runs/plot.hpp"
#include "core/runs/records.hpp"

namespace zstar::runs {
namespace fs = std::filesystem;

std::vector<nlohmann::ordered_json> read_records(const fs::path& run) {
  std::vector<nlohmann::ordered_json> records;
  std::ifstream in(run / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    auto record = nlohmann::ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_object() && record.contains("step") && record["step"].is_number_integer() && record.contains("kind") && record["kind"].is_string())
      records.push_back(std::move(record));
  }
  return records;
}

namespace {

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

MetricsFile::MetricsFile(fs::path run) : run_(std::move(run)), records_(static_cast<std::int64_t>(read_records(run_).size())) {}

void MetricsFile::cut(std::int64_t count) {
  records_ = 0;
  if (!fs::exists(run_ / "metrics.jsonl")) return;
  std::string kept;
  for (const auto& record : read_records(run_)) {
    if (records_ == count) break;
    kept += record.dump() + "\n";
    ++records_;
  }
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
  if (!out) throw RunError((run_ / "metrics.jsonl").string() + ": error: cannot be written\n  remedy: free some space; what was saved before is untouched");
  ++records_;
}

bool drawn(const std::string& quantity, const std::string& kind) {
  static const std::set<std::string> never{"step", "kind", "epoch", "lr"}, of_training{"loss", "forward_evaluations", "forward_residual_median", "gradient_error_bound", "gradient_error_estimate"};
  return kind == "train" ? of_training.count(quantity) > 0 : never.count(quantity) == 0;
}

std::string draw_curves(const fs::path& run) {
  const auto records = read_records(run);
  write_whole(run / "metrics.csv", to_csv(records));
  std::map<std::string, std::map<std::string, std::string>> series;  // quantity, kind → points
  for (const auto& r : records)
    for (const auto& [key, value] : r.items()) {
      const std::string kind = r["kind"].get<std::string>();
      if (value.is_number() && drawn(key, kind)) series[key][kind] += std::to_string(r["step"].get<std::int64_t>()) + " " + value.dump() + "\n";
    }
  Panels panels;
  for (const auto& [quantity, kinds] : series) panels[quantity].assign(kinds.begin(), kinds.end());
  return draw(run / "curves.svg", panels);
}

}  // namespace zstar::runs
