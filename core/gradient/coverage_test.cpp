/// \file How often a certificate holds: its error of û against the true one, ‖û − u‖ of a dense solve, over many random cells. Prints the table
/// of docs/gradient.md.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include <gtest/gtest.h>

#include "core/gradient/certificate.hpp"
#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

constexpr std::int64_t width = 60, batch = 2;

/// A map, its Jacobians at a state, and what it may declare.
struct Cell {
  FixedPointMap f;
  Tensor at, jacobians;  // [B, D], [B, D, D]
};

Cell affine(const Tensor& a, std::uint64_t seed) {
  const AffineMap f{a, randn({batch, width}, seed)};
  return {f.map(), randn({batch, width}, seed + 1), a.unsqueeze(0).expand({batch, width, width})};
}
Cell contraction(double size, std::uint64_t seed) { return affine(matrix_of_norm(width, size, seed), seed + 100000); }
Cell stiff(double size, std::uint64_t seed) { return affine(zstar::testing::symmetric(width, 0, size, seed), seed + 100000); }
/// Eigenvalues of modulus up to `size` and an upper triangle of the same weight: far from normal.
Cell triangular(double size, std::uint64_t seed) {
  const Tensor upper = randn({width, width}, seed).triu(1) / std::sqrt(static_cast<double>(width));
  return affine(upper + torch::diag(size * torch::tanh(randn({width}, seed + 1))), seed + 100000);
}
Cell tanh_layer(double size, std::uint64_t seed) {
  const TanhMap f(batch, width, size, seed);
  const Tensor at = randn({batch, width}, seed + 100000) / 3, slope = 1 - f(at).detach().square();
  return {f.map(), at, slope.unsqueeze(2) * f.w.detach()};
}

Tensor exact(const Cell& cell, const Tensor& v) {
  return torch::linalg_solve(torch::eye(width, torch::kFloat64) - cell.jacobians.transpose(1, 2), v.unsqueeze(2)).squeeze(2);
}

/// û of several kinds: 1, 3 and 8 terms of the Neumann series, and u with noise of a thousandth.
std::vector<Tensor> approximations(const Cell& cell, const Tensor& v, const Tensor& u) {
  std::vector<Tensor> all{u + 1e-3 * u.norm() * randn(u.sizes(), 77) / std::sqrt(static_cast<double>(u.numel()))};
  Tensor term = v, sum = v;
  for (int k = 1; k <= 8; ++k) {
    if (k == 1 || k == 3 || k == 8) all.push_back(sum);
    term = cell.jacobians.transpose(1, 2).matmul(term.unsqueeze(2)).squeeze(2);
    sum = sum + term;
  }
  return all;
}

struct Row {
  std::vector<double> ratios;  // certified error over the true one
  void add(const Cell& cell, std::int64_t steps, std::uint64_t seed) {
    const Tensor v = randn({batch, width}, seed + 200000), u = exact(cell, v);
    for (const Tensor& found : approximations(cell, v, u)) {
      gradient::Watched call{cell.f, State(cell.at), {State(v)}, State(found), /*complete=*/true};
      const auto report = gradient::certify(call, steps).value();
      const Tensor error = (found - u).norm(2, {1});
      for (std::int64_t b = 0; b < batch; ++b) ratios.push_back(report.error[static_cast<std::size_t>(b)] / error[b].item<double>());
    }
  }
  std::size_t held() const { return static_cast<std::size_t>(std::count_if(ratios.begin(), ratios.end(), [](double r) { return r >= 1 - 1e-6; })); }
  double quantile(double q) {
    std::sort(ratios.begin(), ratios.end());
    return ratios[static_cast<std::size_t>(q * static_cast<double>(ratios.size() - 1))];
  }
};

struct Family {
  const char* name;
  Cell (*make)(double size, std::uint64_t seed);
  std::vector<double> sizes;
  bool declares;  // ‖J‖ ≤ size
  double least;   // share of estimates of 12 steps that must hold; where I − J has small singular values beside many others, fewer do
};

const Family families[] = {{"contractions, ‖J‖ of 0.5, 0.9, 0.99", contraction, {0.5, 0.9, 0.99}, true, 0.99},
                           {"tanh layers, ‖W‖ of 0.5, 0.9, 0.99", tanh_layer, {0.5, 0.9, 0.99}, true, 0.99},
                           {"symmetric, eigenvalues 0 to 0.9, 0.99", stiff, {0.9, 0.99}, true, 0.99},
                           {"far from normal, radius 0.5, 0.9", triangular, {0.5, 0.9}, false, 0.9},
                           {"expansive, ‖J‖ of 1.5, 3", contraction, {1.5, 3.0}, false, 0.8}};

Row measured(const Family& family, bool declared, std::int64_t steps) {
  Row row;
  for (const double size : family.sizes)
    for (std::uint64_t seed = 1; seed <= 15; ++seed) {
      Cell cell = family.make(size, 10 * seed);
      if (declared) cell.f.declare({.lipschitz = size});
      row.add(cell, steps, seed);
    }
  return row;
}

void print(const Family& family, const char* kind, Row row) {
  std::printf("| %s | %s | %zu | %.1f %% | %.2f | %.2f | %.1f |\n", family.name, kind, row.ratios.size(), 100.0 * static_cast<double>(row.held()) / static_cast<double>(row.ratios.size()),
              row.quantile(0), row.quantile(0.5), row.quantile(0.95));
}

TEST(Coverage, BoundsAlwaysHoldAndEstimatesNearlyAlways) {
  std::printf("| cells | kind | certificates | held | least | median | 95 %% below |\n|---|---|---|---|---|---|---|\n");
  for (const Family& family : families) {
    if (family.declares) {
      const Row bound = measured(family, /*declared=*/true, 12);
      EXPECT_EQ(bound.held(), bound.ratios.size()) << family.name;
      print(family, "bound", bound);
    }
    for (const std::int64_t steps : {6, 12, 24}) {
      const Row estimate = measured(family, /*declared=*/false, steps);
      print(family, (std::to_string(steps) + " steps").c_str(), estimate);
      if (steps == 12) { EXPECT_GE(static_cast<double>(estimate.held()), family.least * static_cast<double>(estimate.ratios.size())) << family.name; }
    }
  }
}

}  // namespace
