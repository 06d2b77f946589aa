#pragma once
/// \file argmin αᵀ G α over the simplex, for small G, one for each sample.

#include <algorithm>
#include <cmath>
#include <vector>

#include <zstar/small_systems.hpp>

namespace zstar_ediis {
namespace {

using torch::Tensor;

/// The minimiser on the affine hull of the support, by its bordered system. \return false if it is singular
inline bool minimise_on(const double* g, std::int64_t n, const std::vector<std::int64_t>& support, std::vector<double>& x) {
  const auto k = static_cast<std::int64_t>(support.size());
  std::vector<double> a(static_cast<std::size_t>((k + 1) * (k + 1)), 0.0);
  x.assign(static_cast<std::size_t>(k + 1), 0.0);
  double trace = 0;
  for (const std::int64_t i : support) trace += g[i * n + i];
  const double ridge = 1e-14 * trace, border = trace > 0 ? trace : 1;  // the multiplier's scale is that of G
  for (std::int64_t i = 0; i < k; ++i) {
    for (std::int64_t j = 0; j < k; ++j) a[static_cast<std::size_t>(i * (k + 1) + j)] = g[support[static_cast<std::size_t>(i)] * n + support[static_cast<std::size_t>(j)]] + (i == j ? ridge : 0);
    a[static_cast<std::size_t>(i * (k + 1) + k)] = a[static_cast<std::size_t>(k * (k + 1) + i)] = border;
  }
  x.back() = border;
  const double condition = zstar::detail::eliminate(a.data(), x.data(), k + 1);
  x.pop_back();
  return condition < 1e15 && std::all_of(x.begin(), x.end(), [](double v) { return std::isfinite(v); });
}

/// Active sets: minimise on the support, walk back to the simplex where that leaves it, take in what would lower the value.
/// \param known  the first so many of n take part \param alpha  [n]
inline void minimise(const double* g, std::int64_t n, std::int64_t known, double* alpha) {
  std::fill_n(alpha, n, 0.0);
  std::int64_t least = 0;
  for (std::int64_t i = 1; i < known; ++i)
    if (g[i * n + i] < g[least * n + least]) least = i;
  alpha[least] = 1;
  std::vector<std::int64_t> support{least};
  std::vector<double> x;
  for (std::int64_t round = 0; round < 4 * known; ++round) {
    double value = 0;  // of αᵀ G α: every (G α)_i of the support equals it at the minimum
    std::int64_t enter = -1;
    double lowest = 0;
    for (const std::int64_t i : support)
      for (const std::int64_t j : support) value += alpha[i] * alpha[j] * g[i * n + j];
    for (std::int64_t i = 0; i < known; ++i) {
      double slope = -value;
      for (const std::int64_t j : support) slope += g[i * n + j] * alpha[j];
      const bool inside = std::find(support.begin(), support.end(), i) != support.end();
      if (!inside && slope < lowest && slope < -1e-12 * value) enter = i, lowest = slope;
    }
    if (enter < 0) return;
    support.push_back(enter);
    while (true) {
      if (!minimise_on(g, n, support, x)) return;
      double step = 1;
      std::size_t leaves = support.size();
      for (std::size_t i = 0; i < support.size(); ++i)
        if (const double a = alpha[support[i]]; x[i] < 0 && a / (a - x[i]) < step) step = a / (a - x[i]), leaves = i;
      for (std::size_t i = 0; i < support.size(); ++i) alpha[support[i]] += step * (x[i] - alpha[support[i]]);
      if (leaves == support.size()) break;
      alpha[support[leaves]] = 0;
      support.erase(support.begin() + static_cast<std::ptrdiff_t>(leaves));
    }
  }
}

/// The nearest point of the simplex, by sorting. \param v  [B, n]
inline Tensor project(const Tensor& v) {
  const Tensor sorted = std::get<0>(v.sort(1, /*descending=*/true)), n = torch::arange(1, v.size(1) + 1, v.options());
  const Tensor shift = (sorted.cumsum(1) - 1) / n;
  const Tensor last = (sorted > shift).to(torch::kInt64).sum(1, /*keepdim=*/true) - 1;
  return (v - shift.gather(1, last)).clamp_min(0.0);
}

/// The same by projected gradients, without a look at the numbers: for devices.
inline Tensor minimise_by_aten(const Tensor& gram, const Tensor& known) {
  const Tensor trace = gram.diagonal(0, 1, 2).sum(1).clamp_min(1e-300).unsqueeze(1).unsqueeze(2), g = gram / trace;
  const Tensor absent = torch::where(known, torch::zeros_like(g.select(1, 0)), torch::full_like(g.select(1, 0), -1e6));
  Tensor alpha = project(absent), before = alpha;
  for (int k = 1; k <= 200; ++k) {  // Nesterov's, step 1/trace ≤ 1/largest eigenvalue
    const Tensor y = alpha + (alpha - before) * (static_cast<double>(k - 1) / (k + 2));
    before = alpha;
    alpha = project(y - g.matmul(y.unsqueeze(2)).squeeze(2) + absent);
  }
  return alpha;
}

/// α, [B, n]. \param gram  [B, n, n], float64 \param known  bool [B, n], a prefix of each row
inline Tensor simplex_weights(const Tensor& gram, const Tensor& known) {
  if (!gram.is_cpu()) return minimise_by_aten(gram, known);
  const std::int64_t batch = gram.size(0), n = gram.size(1);
  const Tensor g = gram.contiguous(), counts = known.to(torch::kInt64).sum(1).contiguous(), alpha = torch::empty({batch, n}, gram.options());
  for (std::int64_t b = 0; b < batch; ++b)
    minimise(g.data_ptr<double>() + b * n * n, n, counts.data_ptr<std::int64_t>()[b], alpha.data_ptr<double>() + b * n);
  return alpha;
}

}  // namespace
}  // namespace zstar_ediis
