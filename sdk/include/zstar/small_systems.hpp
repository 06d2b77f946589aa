#pragma once
/// \file Small dense systems, one per sample, in float64: plain loops on a CPU, batched ATen elsewhere. Neither reads
/// a device back.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <torch/types.h>

namespace zstar {

/// x [B, k] and whether it can be trusted, bool [B].
struct SmallSolution {
  torch::Tensor x, ok;
};

namespace detail {

/// Gaussian elimination with partial pivoting in place. \return ratio of the largest to the smallest pivot
inline double eliminate(double* a, double* y, std::int64_t k) {
  double largest = 0, smallest = INFINITY;
  for (std::int64_t col = 0; col < k; ++col) {
    std::int64_t pivot = col;
    for (std::int64_t row = col + 1; row < k; ++row)
      if (std::abs(a[row * k + col]) > std::abs(a[pivot * k + col])) pivot = row;
    const double p = std::abs(a[pivot * k + col]);
    if (!(p > 0) || !std::isfinite(p)) return INFINITY;
    largest = std::max(largest, p), smallest = std::min(smallest, p);
    if (pivot != col) {
      std::swap_ranges(a + pivot * k, a + pivot * k + k, a + col * k);
      std::swap(y[pivot], y[col]);
    }
    for (std::int64_t row = col + 1; row < k; ++row) {
      const double factor = a[row * k + col] / a[col * k + col];
      if (factor == 0) continue;
      for (std::int64_t j = col + 1; j < k; ++j) a[row * k + j] -= factor * a[col * k + j];
      y[row] -= factor * y[col];
    }
  }
  for (std::int64_t row = k - 1; row >= 0; --row) {
    for (std::int64_t j = row + 1; j < k; ++j) y[row] -= a[row * k + j] * y[j];
    y[row] /= a[row * k + row];
  }
  return k == 0 ? 1 : largest / smallest;
}

/// What a factorisation needs beside its result, to be used again for the next sample.
struct CholeskyWork {
  void reserve(std::int64_t k) {
    const auto n = static_cast<std::size_t>(k);
    if (y.size() < n) l.resize(n * n), y.resize(n), scale.resize(n), used.reserve(n);
    used.clear();
  }
  std::vector<double> l, y, scale;
  std::vector<std::int64_t> used;
};

/// Cholesky factorisation with the columns in order; a column that depends on those before it is left out (x = 0).
inline void dropping_cholesky(const double* gram, const double* rhs, std::int64_t k, double ridge, double drop, CholeskyWork& work, double* x) {
  work.reserve(k);
  double *l = work.l.data(), *y = work.y.data(), *scale = work.scale.data();
  std::vector<std::int64_t>& used = work.used;
  std::fill_n(x, k, 0.0);
  for (std::int64_t j = 0; j < k; ++j) {
    const double norm2 = gram[j * k + j];
    if (!(norm2 > 0) || !std::isfinite(norm2)) continue;
    scale[j] = 1 / std::sqrt(norm2);
    double pivot = 1 + ridge;
    for (std::size_t a = 0; a < used.size(); ++a) {
      const std::int64_t i = used[a];
      double v = gram[j * k + i] * scale[i] * scale[j];
      for (std::size_t b = 0; b < a; ++b) v -= l[j * k + used[b]] * l[i * k + used[b]];
      l[j * k + i] = v / l[i * k + i];
      pivot -= l[j * k + i] * l[j * k + i];
    }
    if (!(pivot > drop)) break;  // this one and all that are less important
    l[j * k + j] = std::sqrt(pivot);
    y[j] = rhs[j] * scale[j];
    for (const std::int64_t i : used) y[j] -= l[j * k + i] * y[i];
    y[j] /= l[j * k + j];
    used.push_back(j);
  }
  for (std::size_t a = used.size(); a-- > 0;) {
    const std::int64_t j = used[a];
    double v = y[j];
    for (std::size_t b = a + 1; b < used.size(); ++b) v -= l[used[b] * k + j] * x[used[b]];
    x[j] = v / l[j * k + j];
  }
  for (const std::int64_t j : used) x[j] *= scale[j];
}

}  // namespace detail

/// A x = y for each sample. \param a  [B, k, k], float64 \param y  [B, k] \param max_condition  of the pivots, beyond
/// which a sample is not ok; its x is then 0
inline SmallSolution solve_small(const torch::Tensor& a, const torch::Tensor& y, double max_condition) {
  const std::int64_t batch = a.size(0), k = a.size(1);
  if (!a.is_cpu()) {
    const auto [x, info] = torch::linalg_solve_ex(a, y.unsqueeze(2));
    const torch::Tensor column = x.squeeze(2);
    const torch::Tensor ok = info.eq(0) & column.isfinite().all(1);
    return {torch::where(ok.unsqueeze(1), column, torch::zeros_like(column)), ok};
  }
  const torch::Tensor work = a.contiguous().clone(), x = y.contiguous().clone(), ok = torch::empty({batch}, torch::kBool);
  for (std::int64_t b = 0; b < batch; ++b) {
    double* xb = x.data_ptr<double>() + b * k;
    const double condition = detail::eliminate(work.data_ptr<double>() + b * k * k, xb, k);
    bool good = condition <= max_condition;
    for (std::int64_t i = 0; i < k; ++i) good = good && std::isfinite(xb[i]);
    if (!good) std::fill_n(xb, k, 0.0);
    ok.data_ptr<bool>()[b] = good;
  }
  return {x, ok};
}

/// argmin ‖r − C x‖² from CᵀC and Cᵀr for each sample, the columns of C given by falling importance. Columns are scaled
/// to unit length; one that is zero is left out, and from the first that depends on those before it, all are.
/// \param gram  [B, k, k], float64 \param rhs  [B, k] \param ridge  added to the unit diagonal
/// \param drop  smallest squared distance of a unit column from the span of those before it
inline torch::Tensor gram_least_squares(const torch::Tensor& gram, const torch::Tensor& rhs, double ridge, double drop) {
  const std::int64_t batch = gram.size(0), k = gram.size(1);
  if (!gram.is_cpu()) {
    const torch::Tensor norm = gram.diagonal(0, 1, 2).sqrt();
    const torch::Tensor scale = torch::where(norm > 0, norm.reciprocal(), torch::zeros_like(norm));
    torch::Tensor unit = gram * scale.unsqueeze(1) * scale.unsqueeze(2);
    unit.diagonal(0, 1, 2).fill_(1 + std::max(ridge, drop));
    const auto solution = solve_small(unit, rhs * scale, INFINITY);
    return solution.x * scale;
  }
  const torch::Tensor g = gram.contiguous(), r = rhs.contiguous(), x = torch::empty({batch, k}, torch::kFloat64);
  detail::CholeskyWork work;
  for (std::int64_t b = 0; b < batch; ++b)
    detail::dropping_cholesky(g.data_ptr<double>() + b * k * k, r.data_ptr<double>() + b * k, k, ridge, drop, work,
                              x.data_ptr<double>() + b * k);
  return x;
}

}  // namespace zstar
