/// \file What a solver costs beside f: total time of a solve ÷ time of as many plain evaluations, on the solver workloads.
///
///     bench_overhead [--json] [--only WORKLOAD] [--repeats N] [--least]
///     bench_overhead --serve            answers lines "WORKLOAD SOLVER" with microseconds of one solve ("f": of f alone)
///     bench_overhead --memory SOLVER    kilobytes by which the peak of the process grows in 40 steps on (32, 100000)
///     bench_overhead --reach TOLERANCE  evaluations until the relative residual of every sample is within it
///     … --history bfloat16              anderson and broyden keep their vectors in half the bytes
///
/// Both sides alternate in one process on one thread; trace, best iterate and reasons are on. Times are of the processor. Medians of the
/// ratios of neighbours; with --least the ratio of the least times, for a machine that does other work as well.
///
/// Anderson keeps six pairs, Broyden thirty: what TorchDEQ keeps with m = 6, and in 30 steps.
#include <algorithm>
#include <fstream>
#include <iostream>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "bench/timing.hpp"
#include "bench/workloads.hpp"
#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using bench::median;
using bench::microseconds;
using bench::Workload;

constexpr std::int64_t evaluations = 30;

struct Method {
  std::string name;
  Settings settings;
};
std::vector<Method> methods{{"fixed_point", {}}, {"anderson", {{"memory", std::int64_t{5}}}}, {"broyden", {{"memory", std::int64_t{30}}}}};

/// A solver ready to run on a workload: every run uses all its evaluations.
class Run {
 public:
  Run(const Workload& w, const Method& m, std::int64_t steps = evaluations)
      : solver_(test::make_solver(m.name, m.settings)), name_(m.name), z0_(w.z0),
        map_([f = w.f](const State& z) { return State(f(z[0])); }),
        options_{.tolerance = 0, .max_evaluations = steps, .stall_window = 0, .floor = false} {}
  void operator()() {
    const auto out = solve::solve(*solver_, name_, map_, State(z0_), options_);
    if (out.report.calls != options_.max_evaluations)
      throw std::runtime_error(fmt::format("{} made {} evaluations of {}; a workload fixes their number", name_, out.report.calls, options_.max_evaluations));
  }

 private:
  std::unique_ptr<Solver> solver_;
  std::string name_;
  Tensor z0_;
  FixedPointMap map_;
  solve::Options options_;
};

void plain(const Workload& w) {
  const torch::NoGradGuard no_grad;
  Tensor z = w.z0;
  for (std::int64_t k = 0; k < evaluations; ++k) z = w.f(z);
}

struct Row {
  double f_us;
  std::vector<double> ratios;  // by method
};

Row measure(const Workload& w, int repeats, bool least) {
  std::vector<Run> runs;
  for (const Method& m : methods) runs.emplace_back(w, m);
  std::vector<double> alone;
  std::vector<std::vector<double>> totals(methods.size()), ratios(methods.size());
  for (int k = -1; k < repeats; ++k)
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const double f = microseconds([&] { plain(w); }), total = microseconds([&] { runs[i](); });
      if (k < 0) continue;  // warm
      alone.push_back(f);
      totals[i].push_back(total);
      ratios[i].push_back(total / f);
    }
  const auto least_of = [](const std::vector<double>& v) { return *std::min_element(v.begin(), v.end()); };
  Row row{(least ? least_of(alone) : median(alone)) / evaluations, {}};
  for (std::size_t i = 0; i < runs.size(); ++i) row.ratios.push_back(least ? least_of(totals[i]) / least_of(alone) : median(ratios[i]));
  return row;
}

int serve(const std::vector<Workload>& workloads) {
  std::string workload, method;
  while (std::cin >> workload >> method)
    for (const Workload& w : workloads) {
      if (w.name != workload) continue;
      if (method == "f") std::cout << microseconds([&] { plain(w); }) << std::endl;
      for (const Method& m : methods)
        if (m.name == method) {
          Run run(w, m);
          std::cout << microseconds([&] { run(); }) << std::endl;
        }
    }
  return 0;
}

int reach(const std::vector<Workload>& workloads, double tolerance) {
  for (const Workload& w : workloads)
    for (const Method& m : methods) {
      const FixedPointMap map([f = w.f](const State& z) { return State(f(z[0])); });
      const auto out = solve::solve(*test::make_solver(m.name, m.settings), m.name, map, State(w.z0), {.tolerance = tolerance, .max_evaluations = 300});
      const auto& first = out.report.first_converged;
      const bool all = std::find(first.begin(), first.end(), 0) == first.end();
      fmt::print("{:8} {:12} {}\n", w.name, m.name, all ? std::to_string(*std::max_element(first.begin(), first.end())) : "not within 300");
    }
  return 0;
}

std::int64_t peak_kilobytes() {
  std::ifstream in("/proc/self/status");
  for (std::string word; in >> word;)
    if (word == "VmHWM:") {
      std::int64_t value = 0;
      in >> value;
      return value;
    }
  return 0;
}

int memory(Method method) {
  torch::manual_seed(0);
  const Tensor c = torch::randn({32, 100000}), d = torch::linspace(-0.9, 0.9, 100000);
  const Workload w{"memory", [c, d](const Tensor& z) { return torch::tanh(z * d + c); }, torch::zeros({32, 100000}), 1};
  Run(w, {"fixed_point", {}}, 2)();
  const std::int64_t before = peak_kilobytes();
  for (Setting& s : method.settings)
    if (s.name == "memory") s.value = std::int64_t{40};
  Run(w, method, 41)();
  std::cout << peak_kilobytes() - before << std::endl;
  return 0;
}

int run(const std::vector<std::string>& words) {
  const auto has = [&](const char* word) { return std::find(words.begin(), words.end(), word) != words.end(); };
  const auto value = [&](const char* word) {
    const auto at = std::find(words.begin(), words.end(), word);
    return at == words.end() || at + 1 == words.end() ? std::string() : *(at + 1);
  };
  if (has("--history"))
    for (Method& m : methods)
      if (m.name != "fixed_point") m.settings.push_back({"history", value("--history")});
  if (has("--memory")) {
    const auto m = std::find_if(methods.begin(), methods.end(), [&](const Method& method) { return method.name == value("--memory"); });
    return m != methods.end() ? memory(*m) : throw std::runtime_error("--memory takes fixed_point, anderson or broyden");
  }
  const auto workloads = bench::workloads();
  if (has("--serve")) return serve(workloads);
  if (has("--reach")) return reach(workloads, std::stod(value("--reach")));
  nlohmann::ordered_json table;
  if (!has("--json")) fmt::print("{:8} {:>10} {:>12} {:>10} {:>10}   total / f alone, {} evaluations, one thread\n", "", "f, µs", "fixed_point", "anderson", "broyden", evaluations);
  for (const Workload& w : workloads) {
    if (has("--only") && value("--only") != w.name) continue;
    const Row row = measure(w, has("--repeats") ? std::stoi(value("--repeats")) : w.repeats, has("--least"));
    for (std::size_t i = 0; i < methods.size(); ++i) table[methods[i].name][w.name] = std::round(row.ratios[i] * 1000) / 1000;
    if (!has("--json")) fmt::print("{:8} {:10.2f} {:12.3f} {:10.3f} {:10.3f}\n", w.name, row.f_us, row.ratios[0], row.ratios[1], row.ratios[2]);
    std::fflush(stdout);
  }
  if (has("--json")) std::cout << table.dump() << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  bench::one_thread(argv);
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "bench_overhead: error: " << error.what() << '\n';
    return 1;
  }
}
