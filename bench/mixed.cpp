/// \file What `finished = "compact"` costs where one sample of 64 needs 1000 evaluations and the others 10.
///
///     bench_mixed [--only WORKLOAD] [--repeats N] [--json]
///
/// cost = time of the solve with compact ÷ the sum of what its samples need, which is
///
///     time of a solve of all 64 samples that stops after 10 evaluations  +  time of a solve of the last sample alone, of 990
///
/// with the same solver, map, options and buffers, in one process on one thread, in turn; medians of the ratios of neighbouring
/// runs. f(z) = tanh(c + g z A), or a convolution in the place of A, with a gain g for each sample: 63 contract, one is
/// chaotic, so that no solver ends it before its budget. The tolerance is the largest residual of the 63 at their tenth
/// evaluation. What freezing costs (`finished = "mask"`, where f goes on with all 64 rows) stands beside it.
#include <iostream>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "bench/timing.hpp"
#include "tests/support/parts.hpp"

namespace {

using namespace zstar;

constexpr std::int64_t batch = 64, easy_evaluations = 10, hard_evaluations = 1000;

struct Mixed {
  std::string name;
  FixedPointMap f;
  Tensor z0;
  int repeats;
};

/// The gains: the last sample is chaotic.
Tensor gains(const std::vector<std::int64_t>& shape) {
  Tensor g = torch::full(shape, 0.6);
  g[-1].fill_(20.0);
  return g;
}

Mixed dense(const std::string& name, std::int64_t width, int repeats) {
  const Tensor a = torch::randn({width, width}) / std::sqrt(static_cast<double>(width)), c = torch::randn({batch, width});
  const FixedPointMap f([](const State& z, const std::vector<Tensor>& t) { return State(torch::tanh(torch::addcmul(t[1], t[2], z[0].mm(t[0])))); },
                        {{a, std::nullopt}, {c, 0}, {gains({batch, 1}), 0}}, /*samples_independent=*/true);
  return {name, f, torch::zeros({batch, width}), repeats};
}

Mixed conv(const std::string& name, std::int64_t channels, std::int64_t side, int repeats) {
  const Tensor k = torch::randn({channels, channels, 3, 3}) / std::sqrt(9.0 * static_cast<double>(channels)), c = torch::randn({batch, channels, side, side});
  const FixedPointMap f([](const State& z, const std::vector<Tensor>& t) { return State(torch::tanh(torch::addcmul(t[1], t[2], torch::conv2d(z[0], t[0], {}, 1, 1)))); },
                        {{k, std::nullopt}, {c, 0}, {gains({batch, 1, 1, 1}), 0}}, /*samples_independent=*/true);
  return {name, f, torch::zeros({batch, channels, side, side}), repeats};
}

struct Row {
  double compact, mask;
};

class Bench {
 public:
  Bench(const Mixed& w, const std::string& solver) : w_(w), name_(solver), solver_(test::make_solver(solver)), alone_(w.f.at_rows(torch::tensor({batch - 1}))) {
    const auto first = solved(w_.f, w_.z0, options(easy_evaluations, 0.0));
    for (std::size_t b = 0; b + 1 < batch; ++b) tolerance_ = std::max(tolerance_, first.report.trace.relative[(easy_evaluations - 1) * batch + b]);
  }

  Row measure(int repeats, bool with_mask) {
    std::vector<double> compact, mask;
    for (int k = -1; k < repeats; ++k) {
      const double needs = bench::microseconds([&] { all(easy_evaluations, "compact"); }) + bench::microseconds([&] { last_alone(); });
      compact.push_back(bench::microseconds([&] { all(hard_evaluations, "compact"); }) / needs);
      if (with_mask) mask.push_back(bench::microseconds([&] { all(hard_evaluations, "mask"); }) / needs);
      if (k < 0) compact.clear(), mask.clear();  // warm
    }
    return {bench::median(compact), with_mask ? bench::median(mask) : 0.0};
  }

 private:
  static solve::Options options(std::int64_t evaluations, double tolerance, const char* finished = "compact") {
    return {.tolerance = tolerance, .max_evaluations = evaluations, .finished = finished, .stall_window = 0, .floor = false};
  }
  solve::Outcome solved(const FixedPointMap& f, const Tensor& z0, const solve::Options& o) { return solve::solve(*solver_, name_, f, State(z0), o); }

  void all(std::int64_t evaluations, const char* finished) {
    const auto out = solved(w_.f, w_.z0, options(evaluations, tolerance_, finished));
    const auto most = *std::max_element(out.report.evaluations.begin(), out.report.evaluations.end() - 1);
    if (most != easy_evaluations || out.report.evaluations.back() != evaluations)
      throw std::runtime_error(fmt::format("{}, {}: {} evaluations of the last sample and at most {} of the others; expected {} and {}", w_.name, name_,
                                           out.report.evaluations.back(), most, evaluations, easy_evaluations));
  }
  void last_alone() { solved(alone_, w_.z0.narrow(0, batch - 1, 1), options(hard_evaluations - easy_evaluations, tolerance_)); }

  const Mixed& w_;
  std::string name_;
  std::unique_ptr<Solver> solver_;
  FixedPointMap alone_;
  double tolerance_ = 0;
};

int run(const std::vector<std::string>& words) {
  const auto at = [&](const char* word) { return std::find(words.begin(), words.end(), word); };
  const auto value = [&](const char* word) { return at(word) == words.end() || at(word) + 1 == words.end() ? std::string() : *(at(word) + 1); };
  const bool json = at("--json") != words.end();
  torch::manual_seed(0);
  nlohmann::ordered_json table;
  if (!json) fmt::print("{:8} {:12} {:>8} {:>8}   time / sum of what the samples need: 63 of {} evaluations, one of {}\n", "", "", "compact", "mask", easy_evaluations, hard_evaluations);
  for (const Mixed& w : {dense("tiny", 64, 15), dense("small", 256, 15), dense("medium", 1024, 7), conv("conv", 30, 32, 3)}) {
    if (!value("--only").empty() && value("--only") != w.name) continue;
    for (const char* solver : {"fixed_point", "anderson", "broyden"}) {
      const bool with_mask = w.name != "conv";  // a minute each
      const Row row = Bench(w, solver).measure(value("--repeats").empty() ? w.repeats : std::stoi(value("--repeats")), with_mask);
      table[solver][w.name] = std::round(row.compact * 1000) / 1000;
      if (!json) fmt::print("{:8} {:12} {:8.3f} {:>8}\n", w.name, solver, row.compact, with_mask ? fmt::format("{:.2f}", row.mask) : "");
      std::fflush(stdout);
    }
  }
  if (json) std::cout << table.dump() << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  zstar::bench::one_thread(argv);
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "bench_mixed: error: " << error.what() << '\n';
    return 1;
  }
}
