#include "core/gradient/start.hpp"

#include <algorithm>

#include "core/solve/packing.hpp"
#include "zstar/nn/initial.hpp"

namespace zstar::gradient {
namespace {

/// Samples whose solve ended at a fixed point, as far as one can tell.
std::vector<char> solved(const Report& report) {
  std::vector<char> good;
  for (const Reason reason : report.reasons) good.push_back(reason == Reason::converged || reason == Reason::floor || reason == Reason::budget || reason == Reason::stalled);
  return good;
}

}  // namespace

std::pair<std::int64_t, std::int64_t> StateStore::fetch(const StartKeys& keys, Tensor& z, std::int64_t now) const {
  std::vector<Tensor> rows;
  std::vector<std::int64_t> at;
  std::int64_t age = 0;
  for (std::size_t b = 0; b < keys.size(); ++b) {
    const auto entry = entries_.find(keys[b]);
    if (entry == entries_.end() || entry->second.row.numel() != z.size(1)) continue;
    const std::int64_t years = now - entry->second.call;
    if (o_.max_age > 0 && years > o_.max_age) continue;
    rows.push_back(entry->second.row);
    at.push_back(static_cast<std::int64_t>(b));
    age += years;
  }
  if (!rows.empty())
    z = z.index_copy(0, torch::tensor(at, torch::kInt64).to(z.device()), torch::stack(rows).to(z.device(), z.scalar_type()));
  return {static_cast<std::int64_t>(rows.size()), age};
}

void StateStore::put(const StartKeys& keys, const Tensor& z, const std::vector<char>& good, std::int64_t now) {
  const Tensor host = z.detach().to(torch::kCPU, o_.precision == "half" ? torch::kHalf : z.scalar_type());
  const Tensor usable = host.isfinite().all(1);
  for (std::size_t b = 0; b < keys.size(); ++b)
    if (good[b] && usable.data_ptr<bool>()[b]) entries_[keys[b]] = {host[static_cast<std::int64_t>(b)].clone(), now};
  while (static_cast<std::int64_t>(entries_.size()) > o_.capacity)
    entries_.erase(std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) { return a.second.call < b.second.call; }));
}

void StateStore::save(const std::string& prefix, std::map<std::string, Tensor>& tensors) const {
  std::map<std::pair<std::int64_t, int>, StartKeys> alike;  // rows of one width and dtype go into one tensor
  for (const auto& [key, entry] : entries_) alike[{entry.row.numel(), static_cast<int>(entry.row.scalar_type())}].push_back(key);
  int part = 0;
  for (auto& [kind, keys] : alike) {
    std::vector<Tensor> rows;
    std::vector<std::int64_t> samples, steps, calls;
    for (const StartKey& key : keys) {
      rows.push_back(entries_.at(key).row);
      samples.push_back(key.sample);
      steps.push_back(key.step);
      calls.push_back(entries_.at(key).call);
    }
    const std::string name = prefix + std::to_string(part++) + "/";
    tensors[name + "keys"] = torch::tensor(samples, torch::kInt64);
    tensors[name + "steps"] = torch::tensor(steps, torch::kInt64);
    tensors[name + "calls"] = torch::tensor(calls, torch::kInt64);
    tensors[name + "rows"] = torch::stack(rows);
  }
}

void StateStore::load(const std::string& prefix, const std::map<std::string, Tensor>& tensors) {
  entries_.clear();
  for (int part = 0;; ++part) {
    const std::string name = prefix + std::to_string(part) + "/";
    const auto keys = tensors.find(name + "keys");
    if (keys == tensors.end()) return;
    const Tensor rows = tensors.at(name + "rows"), calls = tensors.at(name + "calls");
    const auto steps = tensors.find(name + "steps");  // checkpoints of before have none
    for (std::int64_t i = 0; i < keys->second.numel(); ++i)
      entries_[{keys->second.data_ptr<std::int64_t>()[i], steps == tensors.end() ? 0 : steps->second.data_ptr<std::int64_t>()[i]}] = {rows[i].clone(), calls.data_ptr<std::int64_t>()[i]};
  }
}

State Starts::begin(const State& z0, const std::vector<std::int64_t>& ids, bool training) {
  State z = z0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    if (o_.from == "zeros") z[i] = torch::zeros_like(z[i]);
    else if (o_.from != "model") z[i] = nn::random_initial(z[i], o_.from);
  }
  keys_.clear();
  if (o_.store == "none" || !training) return z;
  const solve::Packing packing(z0);
  const std::int64_t step = passes_ ? step_++ : 0;
  const bool by_id = o_.store == "sample";
  if (by_id && static_cast<std::int64_t>(ids.size()) != packing.batch()) return z;
  for (std::int64_t b = 0; b < packing.batch(); ++b) keys_.push_back({by_id ? ids[static_cast<std::size_t>(b)] : b, step});
  if (keys_.empty()) return z;
  ++calls_;
  cold_ = true;
  if (o_.probe_every > 0 && calls_ % o_.probe_every == 0) return z;
  Tensor rows = packing.pack(z);
  const auto [found, age] = states_.fetch(keys_, rows, calls_);
  wanted_ += packing.batch(), found_ += found, age_ += age;
  cold_ = found == 0;
  return cold_ ? z : packing.unpack(rows);
}

void Starts::end(const State& z, const Report& report) {
  if (keys_.empty()) return;
  Side& side = cold_ ? cold_side_ : warm_;
  for (const std::int64_t n : report.evaluations) side.evaluations += static_cast<double>(n);
  side.samples += static_cast<double>(report.evaluations.size());
  states_.put(keys_, solve::Packing(z).pack(z), solved(report), calls_);
}

Tensor Starts::adjoint(const StartKeys& keys, const Tensor& like) const {
  if (!o_.adjoint || keys.empty()) return {};
  Tensor u = torch::zeros_like(like);
  return adjoints_.fetch(keys, u, calls_).first > 0 ? u : Tensor();
}

void Starts::keep_adjoint(const StartKeys& keys, const Tensor& u, const Report& report) {
  if (o_.adjoint && !keys.empty()) adjoints_.put(keys, u, solved(report), calls_);
}

std::vector<std::pair<std::string, double>> Starts::flush() {
  if (o_.store == "none") return {};
  const auto mean = [](const Side& s) { return s.samples > 0 ? s.evaluations / s.samples : std::nan(""); };
  std::vector<std::pair<std::string, double>> numbers{
      {"warm_start_entries", static_cast<double>(states_.size())},
      {"warm_start_found", wanted_ > 0 ? static_cast<double>(found_) / static_cast<double>(wanted_) : 0.0},
      {"warm_start_age", found_ > 0 ? static_cast<double>(age_) / static_cast<double>(found_) : std::nan("")},
      {"warm_start_evaluations", mean(warm_)},
      {"warm_start_evaluations_cold", mean(cold_side_)},
      {"warm_start_gain", mean(cold_side_) / mean(warm_)}};
  wanted_ = found_ = age_ = 0;
  warm_ = cold_side_ = Side();
  return numbers;
}

void Starts::save(std::map<std::string, Tensor>& tensors) const {
  if (o_.store == "none") return;
  tensors["start/calls"] = torch::full({1}, calls_, torch::kInt64);
  states_.save("start/states/", tensors);
  adjoints_.save("start/adjoints/", tensors);
}

void Starts::load(const std::map<std::string, Tensor>& tensors) {
  const auto calls = tensors.find("start/calls");
  if (o_.store == "none" || calls == tensors.end()) return;
  calls_ = calls->second.item<std::int64_t>();
  states_.load("start/states/", tensors);
  adjoints_.load("start/adjoints/", tensors);
}

}  // namespace zstar::gradient
