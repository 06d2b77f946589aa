#include "core/app/solver_bench.hpp"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include "core/training/probe_run.hpp"

namespace zstar::app {
namespace {

/// Numbers of a seed of their own.
class Random {
 public:
  explicit Random(std::uint64_t seed) : generator_(at::detail::createCPUGenerator(seed)) {}
  Tensor normal(at::IntArrayRef sizes) { return torch::randn(sizes, generator_, torch::TensorOptions(torch::kFloat64)); }
  /// Symmetric, eigenvalues evenly spaced.
  Tensor symmetric(std::int64_t n, double low, double high) {
    const Tensor q = std::get<0>(torch::linalg_qr(normal({n, n})));
    return q.mm(torch::diag(torch::linspace(low, high, n, torch::kFloat64))).mm(q.t());
  }
  /// Of this spectral norm.
  Tensor dense(std::int64_t n, double norm) {
    const Tensor a = normal({n, n});
    return a * (norm / torch::linalg_matrix_norm(a, 2).item<double>());
  }

 private:
  at::Generator generator_;
};

using Step = std::function<Tensor(const Tensor&)>;

class Set {
 public:
  void add(const std::string& family, const std::string& name, std::int64_t width, Step f) {
    problems_.push_back({family, name, FixedPointMap([f = std::move(f)](const State& z) { return State(f(z[0])); }), torch::zeros({1, width}, torch::kFloat64)});
  }
  void affine(const std::string& family, const std::string& name, const Tensor& a, const Tensor& b) {
    add(family, name, a.size(0), [a, b](const Tensor& z) { return z.mm(a.t()) + b; });
  }
  std::vector<BenchProblem> take() { return std::move(problems_); }

 private:
  std::vector<BenchProblem> problems_;
};

void affine_families(Set& set, std::uint64_t seed) {
  Random random(1000 + seed);
  for (const std::int64_t n : {20, 100}) {
    const auto label = [&](const std::string& what) { return fmt::format("{}, {} unknowns, seed {}", what, n, seed); };
    for (const double norm : {0.5, 0.9, 0.99}) set.affine("contraction", label(fmt::format("norm {}", norm)), random.dense(n, norm), random.normal({1, n}));
    for (const double high : {0.9, 0.99, 0.999}) set.affine("stiff", label(fmt::format("eigenvalues 0 to {}", high)), random.symmetric(n, 0, high), random.normal({1, n}));
    for (const double low : {-0.95, -3.0}) set.affine("negative", label(fmt::format("eigenvalues {} to 0.5", low)), random.symmetric(n, low, 0.5), random.normal({1, n}));
    set.affine("scaled", label("solution of size 1e6"), random.dense(n, 0.9), 1e6 * random.normal({1, n}));
    set.affine("scaled", label("solution of size 1e-6"), random.dense(n, 0.9), 1e-6 * random.normal({1, n}));
  }
  for (const std::int64_t n : {2, 10}) {
    const Tensor skew = random.normal({n, n});
    const Tensor turn = torch::matrix_exp(skew - skew.t());
    for (const double radius : {0.95, 1.5}) set.affine("rotation", fmt::format("radius {}, {} unknowns, seed {}", radius, n, seed), radius * turn, random.normal({1, n}));
  }
  for (const double norm : {1.5, 3.0}) set.affine("expansive", fmt::format("norm {}, 8 unknowns, seed {}", norm, seed), random.dense(8, norm), random.normal({1, 8}));
}

void nonlinear_families(Set& set, std::uint64_t seed) {
  Random random(2000 + seed);
  for (const std::int64_t n : {20, 100})
    for (const double size : {0.8, 1.2, 2.0}) {
      const Tensor a = random.normal({n, n}) * (size / std::sqrt(static_cast<double>(n))), c = random.normal({1, n});
      set.add("tanh", fmt::format("weights {}, {} unknowns, seed {}", size, n, seed), n, [a, c](const Tensor& z) { return torch::tanh(z.mm(a) + c); });
    }
  for (const double size : {0.6, 0.9}) {
    const Tensor a = random.dense(40, size), c = random.normal({1, 40});
    set.add("kinks", fmt::format("relu of norm {}, seed {}", size, seed), 40, [a, c](const Tensor& z) { return torch::relu(z.mm(a) + c); });
  }
  const Tensor c = random.normal({1, 30});
  set.add("cosine", fmt::format("0.9 cos(2 z) + c, seed {}", seed), 30, [c](const Tensor& z) { return 0.45 * torch::cos(2 * z) + c; });
}

std::int64_t bytes_held() {
  const struct mallinfo2 info = ::mallinfo2();
  return static_cast<std::int64_t>(info.uordblks + info.hblkhd);
}

}  // namespace

std::vector<BenchProblem> bench_problems(std::uint64_t seeds) {
  Set set;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    affine_families(set, seed);
    nonlinear_families(set, seed);
  }
  return set.take();
}

BenchResult bench_solve(const std::function<std::unique_ptr<Solver>()>& make, const std::string& name, const BenchProblem& problem,
                        const solve::Options& options) {
  BenchResult result;
  const std::int64_t before = bytes_held();
  const FixedPointMap watched([&](const State& z) {
    result.bytes = std::max(result.bytes, bytes_held() - before);
    return problem.f(z);
  });
  const auto start = std::chrono::steady_clock::now();
  try {
    const auto solver = make();
    const auto out = solve::solve(*solver, name, watched, problem.z0, options);
    result.reason = training::worst(out.report.reasons);
    const auto& first = out.report.first_converged;
    if (std::find(first.begin(), first.end(), 0) == first.end()) result.evaluations = *std::max_element(first.begin(), first.end());
  } catch (const std::exception&) {
    result.reason = Reason::refused;
  }
  result.microseconds = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  return result;
}

std::vector<std::vector<double>> performance_profile(const std::vector<std::vector<std::int64_t>>& evaluations, const std::vector<double>& taus) {
  const std::size_t problems = evaluations.empty() ? 0 : evaluations[0].size();
  std::vector<double> best(problems, std::numeric_limits<double>::infinity());
  for (const auto& row : evaluations)
    for (std::size_t p = 0; p < problems; ++p)
      if (row[p] > 0) best[p] = std::min(best[p], static_cast<double>(row[p]));
  std::vector<std::vector<double>> shares;
  for (const auto& row : evaluations) {
    shares.emplace_back();
    for (const double tau : taus) {
      std::size_t count = 0;
      for (std::size_t p = 0; p < problems; ++p) count += row[p] > 0 && static_cast<double>(row[p]) <= tau * best[p];
      shares.back().push_back(problems == 0 ? 0 : static_cast<double>(count) / static_cast<double>(problems));
    }
  }
  return shares;
}

}  // namespace zstar::app
