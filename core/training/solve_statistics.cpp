#include "core/training/solve_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>
#include <torch/types.h>

#include "core/solve/solve.hpp"

namespace zstar::training {
namespace {

const char* name_of(int reason) { return solve::text_of(static_cast<Reason>(reason)).name; }

/// Which of the last steps of a solve each sample made, [B, steps]: one that stopped some evaluations before the solve ended made as many fewer.
torch::Tensor made(const Report& report, std::int64_t steps) {
  const torch::Tensor last = torch::tensor(report.evaluations, torch::kInt64) - (report.calls - steps);
  return torch::arange(steps).unsqueeze(0) < last.unsqueeze(1);
}

}  // namespace

void SolveStatistics::Side::add(const Report& report) {
  for (std::size_t b = 0; b < report.reasons.size(); ++b) {
    evaluations += static_cast<double>(report.evaluations[b]);
    ++samples;
    if (std::isfinite(report.relative[b])) residuals.push_back(report.relative[b]);
    if (report.evaluations[b] == 0) continue;  // a sample whose map was never asked was not solved
    ++reasons[static_cast<std::size_t>(report.reasons[b])];
    ++all[static_cast<std::size_t>(report.reasons[b])];
  }
  listen(report);
}

/// Numbers of shape [B], or of [B, steps] where NaN stands for a step that a sample did not make.
void SolveStatistics::Side::listen(const Report& report) {
  for (const auto& [name, table] : report.statistics) {
    const bool steps = table.dim() == 2 && table.size(1) <= report.calls;
    if ((table.dim() != 1 && !steps) || table.size(0) != report.batch()) continue;
    const torch::Tensor numbers = table.to(torch::kCPU, torch::kFloat64);
    const torch::Tensor known = steps ? numbers.isfinite() & made(report, table.size(1)) : numbers.isfinite();
    Mean& mean = said[name];
    mean.sum += torch::where(known, numbers, torch::zeros_like(numbers)).sum().item<double>();
    mean.count += static_cast<double>(known.sum().item<std::int64_t>());
  }
}

void SolveStatistics::Side::flush(runs::Record& record, const std::string& prefix) {
  if (samples == 0) return;
  record.numbers.emplace_back(prefix + "evaluations", evaluations / static_cast<double>(samples));
  std::sort(residuals.begin(), residuals.end());
  for (const auto& [name, q] : {std::pair("median", 0.5), std::pair("p90", 0.9), std::pair("max", 1.0)})
    if (!residuals.empty()) record.numbers.emplace_back(prefix + "residual_" + name, residuals[static_cast<std::size_t>(q * static_cast<double>(residuals.size() - 1))]);
  for (int r = 0; r < reason_count; ++r) record.numbers.emplace_back(prefix + name_of(r), static_cast<double>(reasons[static_cast<std::size_t>(r)]));
  for (const auto& [name, mean] : said)
    if (mean.count > 0) record.numbers.emplace_back(prefix + name, mean.sum / mean.count);
  said.clear();
  evaluations = 0, samples = 0, residuals.clear(), reasons = {};
}

/// Sum of the evaluations, samples, counts of the window and of the run, residuals: [2 + 2 reasons + n] float64, exact below 2⁵³.
torch::Tensor SolveStatistics::Side::packed() const {
  std::vector<double> numbers{evaluations, static_cast<double>(samples)};
  for (const ReasonCounts* counts : {&reasons, &all}) numbers.insert(numbers.end(), counts->begin(), counts->end());
  numbers.insert(numbers.end(), residuals.begin(), residuals.end());
  return torch::tensor(numbers, torch::kFloat64);
}

void SolveStatistics::Side::unpack(const torch::Tensor& numbers) {
  const auto* next = numbers.data_ptr<double>();
  const auto* end = next + numbers.numel();
  evaluations = *next++;
  samples = static_cast<std::int64_t>(*next++);
  for (ReasonCounts* counts : {&reasons, &all})
    for (std::int64_t& count : *counts) count = static_cast<std::int64_t>(*next++);
  residuals.assign(next, end);
}

void SolveStatistics::add(const std::vector<Solved>& solves) {
  for (const Solved& s : solves) {
    for (const Report& r : s.equilibrium.forward) {
      forward_.add(r);
      if (r.batch() == 0) continue;
      const auto n = static_cast<double>(r.batch());
      last_evaluations_ = static_cast<double>(std::accumulate(r.evaluations.begin(), r.evaluations.end(), std::int64_t{0})) / n;
      last_residual_ = std::accumulate(r.relative.begin(), r.relative.end(), 0.0) / n;
      solved_ = true;
    }
    if (s.equilibrium.backward)
      for (const Report& r : *s.equilibrium.backward) backward_.add(r);
  }
}

void SolveStatistics::flush(runs::Record& record) {
  forward_.flush(record, "forward_");
  backward_.flush(record, "backward_");
}

std::string SolveStatistics::glance() const {
  if (!solved_) return "";
  return fmt::format("evaluations {:.1f}", last_evaluations_) + (std::isnan(last_residual_) ? "" : fmt::format(" residual {:.1e}", last_residual_));
}

void SolveStatistics::save(runs::Checkpoint& checkpoint) const {
  checkpoint.tensors["solves/forward"] = forward_.packed();
  checkpoint.tensors["solves/backward"] = backward_.packed();
  for (const auto& [prefix, side] : {std::pair("solves/forward/", &forward_), std::pair("solves/backward/", &backward_)})
    for (const auto& [name, mean] : side->said) checkpoint.tensors[prefix + name] = torch::tensor({mean.sum, mean.count}, torch::kFloat64);
}

void SolveStatistics::load(const runs::Checkpoint& checkpoint) {
  for (auto& [name, side] : {std::pair("solves/forward", &forward_), std::pair("solves/backward", &backward_)}) {
    const torch::Tensor& numbers = checkpoint.tensors.at(name);
    if (numbers.scalar_type() != torch::kFloat64 || numbers.numel() < 2 + 2 * reason_count) throw std::runtime_error(std::string(name) + " is damaged");
    side->unpack(numbers);
    side->said.clear();
    const std::string prefix = std::string(name) + "/";
    for (auto one = checkpoint.tensors.lower_bound(prefix); one != checkpoint.tensors.end() && one->first.compare(0, prefix.size(), prefix) == 0; ++one)
      side->said[one->first.substr(prefix.size())] = {one->second[0].item<double>(), one->second[1].item<double>()};
  }
}

std::string shares(const ReasonCounts& counts) {
  const auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  std::string text;
  for (int r = 0; r < reason_count; ++r)
    if (const std::int64_t n = counts[static_cast<std::size_t>(r)]; n > 0)
      text += fmt::format("{}{:.3g} % {}", text.empty() ? "" : ", ", 100.0 * static_cast<double>(n) / total, name_of(r));
  return text;
}

}  // namespace zstar::training
