/// \file The fused passes over rows, one by one: bytes a second beside their plain ATen forms.
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include "core/solve/measure.hpp"
#include "core/solve/solve.hpp"

namespace {

using namespace zstar;

struct Rows {
  explicit Rows(benchmark::State& state) {
    torch::manual_seed(0);
    at::set_num_threads(1);
    const std::int64_t batch = state.range(0), width = state.range(1), count = state.range(2);
    for (std::int64_t j = 0; j < count; ++j) columns.push_back(torch::randn({batch, width}));
    a = torch::randn({batch, width}), b = torch::randn({batch, width});
    c = torch::randn({batch, count}, torch::kFloat64) / static_cast<double>(width);
    state.counters["read"] = benchmark::Counter(static_cast<double>(batch * width * count * 4), benchmark::Counter::kIsIterationInvariantRate,
                                                benchmark::Counter::OneK::kIs1024);
  }
  std::vector<Tensor> columns;
  Tensor a, b, c;
};

void combine(benchmark::State& state) {
  Rows rows(state);
  for (auto _ : state) benchmark::DoNotOptimize(solve::local_products().combine(rows.a, rows.columns, rows.c));
}

void difference_dots(benchmark::State& state) {
  Rows rows(state);
  for (auto _ : state) benchmark::DoNotOptimize(solve::local_products().difference_dots(rows.a, rows.b, rows.columns, 0));
}

void difference_dots_plain(benchmark::State& state) {
  Rows rows(state);
  for (auto _ : state) benchmark::DoNotOptimize(solve::local_products().Products::difference_dots(rows.a, rows.b, rows.columns, 0));
}

void chain(benchmark::State& state) {
  Rows rows(state);
  const std::vector<Tensor> left(rows.columns.begin() + 1, rows.columns.end());
  const Tensor c = rows.c.narrow(1, 1, rows.c.size(1) - 1).contiguous();
  for (auto _ : state) benchmark::DoNotOptimize(solve::local_products().chain(rows.a, rows.b, left, rows.columns, c, Tensor()).v);
}

void residual(benchmark::State& state) {
  Rows rows(state);
  for (auto _ : state) benchmark::DoNotOptimize(solve::measure(rows.a, rows.b));
}

#define ZSTAR_SIZES ArgNames({"batch", "width", "columns"})->Args({1, 64, 7})->Args({32, 256, 7})->Args({64, 1024, 7})->Args({32, 30720, 7})->Args({32, 30720, 16})
BENCHMARK(combine)->ZSTAR_SIZES;
BENCHMARK(difference_dots)->ZSTAR_SIZES;
BENCHMARK(difference_dots_plain)->ZSTAR_SIZES;
BENCHMARK(chain)->ZSTAR_SIZES;
BENCHMARK(residual)->ArgNames({"batch", "width", "columns"})->Args({1, 64, 2})->Args({32, 256, 2})->Args({64, 1024, 2})->Args({32, 30720, 2});

}  // namespace
