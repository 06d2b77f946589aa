/// \file The zoo's workloads: seconds of a training step and of an evaluation, evaluations of the map, peak memory of the process.
///   bench_zoo NAME [REPEATS]     one line of JSON; NAME: see bench/zoo/workload.hpp
#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>

#include <ATen/Parallel.h>
#include <nlohmann/json.hpp>

#include "bench/zoo/workload.hpp"

namespace {

using namespace zstar::bench;
using Json = nlohmann::ordered_json;

struct Times {
  double median, least, processor;  ///< seconds of the clock; least seconds of the processor
};

template <class F>
Times timed(int repeats, const F& f) {
  f();
  std::vector<double> seconds, processor;
  for (int k = 0; k < repeats; ++k) {
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t ticks = std::clock();
    f();
    processor.push_back(static_cast<double>(std::clock() - ticks) / CLOCKS_PER_SEC);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), *std::min_element(processor.begin(), processor.end())};
}

std::int64_t peak_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.compare(0, 6, "VmHWM:") == 0) return std::stoll(line.substr(6)) / 1024;
  return 0;
}

Json measured(ZooWorkload& w, int repeats) {
  Json row;
  std::int64_t numbers = 0;
  for (const auto& p : w.parameters) numbers += p.numel();
  row["params"] = numbers;
  const auto add = [&](const std::string& what, bool training, const auto& f) {
    const Times t = timed(repeats, f);
    row[what + "_s_median"] = t.median, row[what + "_s_min"] = t.least, row[what + "_cpu_s_min"] = t.processor;
    row[what + "_f_calls"] = w.calls(training), row[what + "_peak_rss_mb"] = peak_megabytes();
  };
  add("train", true, [&w] { w.train(); });
  add("eval", false, [&w] { w.evaluate(); });
  return row;
}

/// \param named  with _bf16 or _lean at its end for these variants
std::unique_ptr<ZooWorkload> made(const std::string& named) {
  const auto ends = [&named](const std::string& end) { return named.size() > end.size() && named.compare(named.size() - end.size(), end.size(), end) == 0; };
  const Variant variant = ends("_bf16") ? Variant::low : ends("_lean") ? Variant::lean : Variant::plain;
  const std::string name = variant == Variant::plain ? named : named.substr(0, named.size() - 5);
  if (name == "deq_lm" || name == "deq_lm_ift" || name == "deq_seq_ift") return transformer(name, variant);
  if (name == "mdeq_small" || name == "mdeq_large") return mdeq(name, variant);
  if (name == "ignn_chains" || name == "ignn_ppi") return ignn(name, variant);
  if (name == "deq_flow") return flow(name, variant);
  if (name == "deq_inr") return inr(name, variant);
  if (name == "deq_ddim_1" || name == "deq_ddim_8") return ddim(name, variant);
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
  torch::manual_seed(0);
  const std::string name = argc > 1 ? argv[1] : "";
  const auto workload = made(name);
  if (!workload) {
    std::cerr << "usage: bench_zoo deq_lm|deq_lm_ift|deq_seq_ift|mdeq_small|mdeq_large|ignn_chains|ignn_ppi|deq_flow|deq_inr|deq_ddim_1|deq_ddim_8, each also with _bf16 or _lean at its end [REPEATS]\n";
    return 2;
  }
  Json row{{"name", name}};
  row.update(measured(*workload, argc > 2 ? std::max(1, std::atoi(argv[2])) : 3));
  std::cout << row << '\n';
}
