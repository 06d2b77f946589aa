#pragma once
/// \file The spectral radius of a non-negative sparse matrix.

#include <algorithm>
#include <cmath>
#include <vector>

#include <torch/types.h>

namespace zstar_ignn {
namespace {

using torch::Tensor;

/// The strongly connected components of the graph with an edge i → j for every entry, by Tarjan's algorithm
/// (SIAM J. Comput. 1, 1972), without recursion. \return the component of every node
inline std::vector<std::int64_t> components(const std::vector<std::vector<std::int64_t>>& next, std::int64_t& count) {
  const auto n = static_cast<std::int64_t>(next.size());
  std::vector<std::int64_t> index(n, -1), low(n), component(n, -1), stack, path;
  std::vector<std::size_t> edge(n, 0);
  std::int64_t time = 0;
  count = 0;
  for (std::int64_t root = 0; root < n; ++root) {
    if (index[root] >= 0) continue;
    path.push_back(root);
    while (!path.empty()) {
      const std::int64_t v = path.back();
      if (index[v] < 0) index[v] = low[v] = time++, stack.push_back(v);
      if (edge[v] < next[v].size()) {
        const std::int64_t w = next[v][edge[v]++];
        if (index[w] < 0) path.push_back(w);
        else if (component[w] < 0) low[v] = std::min(low[v], index[w]);
        continue;
      }
      path.pop_back();
      if (!path.empty()) low[path.back()] = std::min(low[path.back()], low[v]);
      if (low[v] != index[v]) continue;
      for (std::int64_t w = -1; w != v; stack.pop_back()) component[w = stack.back()] = count;
      ++count;
    }
  }
  return component;
}

/// ρ(|A|) to a relative 1e-9: the largest over the strongly connected components, each by power iteration on |A| + I
/// between the bounds of Collatz and Wielandt, min (Mx)_i/x_i ≤ ρ(M) ≤ max (Mx)_i/x_i for irreducible M and positive x. A
/// component of one node has its diagonal entry, so that triangular (defective) matrices are exact.
inline double spectral_radius(const Tensor& indices, const Tensor& values, std::int64_t n) {
  const Tensor ij = indices.cpu().contiguous(), v = values.to(torch::kFloat64).abs().cpu().contiguous();
  const std::int64_t *i = ij.data_ptr<std::int64_t>(), *j = i + ij.size(1);
  std::vector<std::vector<std::int64_t>> next(static_cast<std::size_t>(n));
  for (std::int64_t e = 0; e < ij.size(1); ++e) next[i[e]].push_back(j[e]);
  std::int64_t count = 0;
  const auto component = components(next, count);
  std::vector<double> x(n, 1.0), y(n), low(count), high(count);
  for (int step = 0; step < 100000; ++step) {
    y = x;  // the shift by I makes every block primitive
    for (std::int64_t e = 0; e < ij.size(1); ++e)
      if (component[i[e]] == component[j[e]]) y[i[e]] += v.data_ptr<double>()[e] * x[j[e]];
    std::fill(low.begin(), low.end(), INFINITY), std::fill(high.begin(), high.end(), 0.0);
    for (std::int64_t k = 0; k < n; ++k) {
      low[component[k]] = std::min(low[component[k]], y[k] / x[k]);
      high[component[k]] = std::max(high[component[k]], y[k] / x[k]);
    }
    double radius_low = 0, radius_high = 0;
    for (std::int64_t c = 0; c < count; ++c) radius_low = std::max(radius_low, low[c]), radius_high = std::max(radius_high, high[c]);
    if (radius_high - radius_low <= 1e-9 * radius_high) return radius_high - 1;
    for (std::int64_t k = 0; k < n; ++k) x[k] = y[k] / high[component[k]];
  }
  double bound = 0;
  for (const double h : high) bound = std::max(bound, h);
  return bound - 1;  // an upper bound: the projection stays safe
}

}  // namespace
}  // namespace zstar_ignn
