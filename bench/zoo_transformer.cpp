/// \file The zoo's language-model workloads: seconds of a training step and of an evaluation, calls of the cell, peak memory.
///   bench_zoo_transformer deq_lm|deq_lm_ift|deq_seq_ift [REPEATS]
#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adam.h>

#include "tests/support/model_host.hpp"
#include "zstar/abi/regularizer.hpp"

namespace {

using namespace zstar;

/// Batch 8, segments and memory of 64, width 256, vocabulary 10,000 in three clusters: all sizes are part of the definition.
struct Workload {
  bool implicit, lm;
  std::shared_ptr<gradient::Layer> layer;
  std::unique_ptr<test::ModelHost> host;
  std::shared_ptr<Model> model;
  std::vector<Tensor> parameters;
  std::vector<Solved> solves;
  Batch batch;
  std::unique_ptr<torch::optim::Adam> adam;

  explicit Workload(const std::string& name) : implicit(name != "deq_lm"), lm(name != "deq_seq_ift") {
    torch::manual_seed(0);
    const solve::Options broyden{.tolerance = 0, .max_evaluations = 13, .stall_window = 0, .divergence = 1e30};
    const solve::Options plain{.tolerance = 0, .max_evaluations = 0, .eval_max_evaluations = 13, .select = "last", .stall_window = 0, .divergence = 1e30};
    solve::Options adjoint = broyden;
    adjoint.max_evaluations = 12;  // products
    layer.reset(new gradient::Layer(implicit ? test::layer("implicit", broyden, adjoint, "broyden", "broyden")
                                             : test::layer("phantom", plain, plain, "fixed_point", "fixed_point", {{"steps", std::vector<std::int64_t>{12}}})));
    layer->record_into(&solves);
    host = std::make_unique<test::ModelHost>(layer, test::make<Norm>(Kind::norm, "weight_norm"), Description{{{"tokens", 10000}}});
    Settings s{{"width", std::int64_t{256}}, {"heads", std::int64_t{8}}, {"inner", std::int64_t{1024}}, {"cutoffs", std::vector<std::int64_t>{2000, 5000}},
               {"divisor", std::int64_t{2}}, {"memory", std::int64_t{64}}, {"dropout", 0.05}, {"projections", std::string("one_storage")}};
    if (lm) s.push_back({"blocks", std::int64_t{2}});
    model = test::catalogue().create<Model>(Kind::model, lm ? "deq_lm" : "deq_seq", s, *host);
    for (const Tensor& p : model->parameters())
      if (std::none_of(parameters.begin(), parameters.end(), [&p](const Tensor& known) { return known.is_same(p); })) parameters.push_back(p);
    adam = std::make_unique<torch::optim::Adam>(parameters, torch::optim::AdamOptions(2.5e-4));
    batch = {{{"tokens", torch::randint(10000, {8, 64}, torch::kInt64)}, {"targets", torch::randint(10000, {8, 64}, torch::kInt64)}}, {}};
  }

  void train() {
    model->train();
    solves.clear();
    const Tensor loss = model->loss(model->forward(batch).back(), batch);
    for (Tensor& p : parameters) p.mutable_grad() = Tensor();
    loss.backward();
    torch::nn::utils::clip_grad_norm_(parameters, 0.25);
    adam->step();
  }
  void evaluate() {
    model->eval();
    solves.clear();
    const torch::NoGradGuard no_grad;
    model->loss(model->forward(batch).back(), batch);
  }
  /// Of the step before; the backward pass of an implicit gradient evaluates the cell once more.
  std::int64_t calls(bool training) const {
    const Equilibrium& e = solves.back().equilibrium;
    return e.forward.front().calls + e.gradient_evaluations + (training && implicit ? 1 : 0);
  }
};

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

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  if (name != "deq_lm" && name != "deq_lm_ift" && name != "deq_seq_ift") {
    std::cerr << "usage: bench_zoo_transformer deq_lm|deq_lm_ift|deq_seq_ift [REPEATS]\n";
    return 2;
  }
  const int repeats = argc > 2 ? std::max(1, std::atoi(argv[2])) : 3;
  at::set_num_threads(1);
  Workload w(name);
  std::int64_t numbers = 0;
  for (const Tensor& p : w.parameters) numbers += p.numel();
  const Times train = timed(repeats, [&] { w.train(); });
  const std::int64_t train_calls = w.calls(/*training=*/true), train_peak = peak_megabytes();
  const Times eval = timed(repeats, [&] { w.evaluate(); });
  std::cout << fmt::format(R"({{"name": "{}", "params": {}, "train_s_median": {:.4f}, "train_s_min": {:.4f}, "train_cpu_s_min": {:.4f}, "train_f_calls": {}, )"
                           R"("train_peak_rss_mb": {}, "eval_s_median": {:.4f}, "eval_s_min": {:.4f}, "eval_cpu_s_min": {:.4f}, "eval_f_calls": {}, "threads": 1}})",
                           name, numbers, train.median, train.least, train.processor, train_calls, train_peak, eval.median, eval.least, eval.processor,
                           w.calls(/*training=*/false))
            << '\n';
}
