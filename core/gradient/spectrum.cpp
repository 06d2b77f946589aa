#include "core/gradient/spectrum.hpp"

#include <cmath>

#include "core/gradient/linearisation.hpp"

namespace zstar::gradient {
namespace {

Tensor rows_dot(const Tensor& a, const Tensor& b) { return (a * b).sum(1, /*keepdim=*/true); }

/// The bases and Hessenberg matrices of all samples. A sample whose space is exhausted adds zero vectors.
struct Krylov {
  std::vector<Tensor> basis;  // [B, D] each, orthonormal
  Tensor h;                   // [B, k + 1, k], float64

  Krylov(const Tensor& start, std::int64_t steps)
      : basis{start / start.norm(2, {1}, true)}, h(torch::zeros({start.size(0), steps + 1, steps}, torch::kFloat64)) {}

  void extend(Tensor w, std::int64_t j) {
    const Tensor before = w.norm(2, {1}, true);
    for (int pass = 0; pass < 2; ++pass)
      for (std::int64_t i = 0; i <= j; ++i) {
        const Tensor c = rows_dot(basis[static_cast<std::size_t>(i)], w);
        w = w - c * basis[static_cast<std::size_t>(i)];
        h.select(1, i).select(1, j).add_(c.squeeze(1).to(torch::kFloat64).cpu());
      }
    const Tensor norm = w.norm(2, {1}, true), alive = norm > 1e-12 * before;
    h.select(1, j + 1).select(1, j).copy_(torch::where(alive, norm, torch::zeros_like(norm)).squeeze(1).to(torch::kFloat64).cpu());
    basis.push_back(torch::where(alive, w / norm, torch::zeros_like(w)));
  }
};

}  // namespace

SpectralRadius spectral_radius(const FixedPointMap& f, const State& z, const Tensor& start, std::int64_t most_products, double tolerance) {
  const Linearisation linear(f, z);
  const std::int64_t batch = linear.packing().batch(), steps = std::min(most_products, linear.packing().width());
  const torch::NoGradGuard no_grad;
  SpectralRadius result{std::vector<double>(batch, 0), std::vector<double>(batch, INFINITY), std::vector<char>(batch, 0), 0};
  Krylov krylov(start.reshape({batch, -1}).to(linear.packing().dtype()), steps);
  for (std::int64_t j = 0; j < steps; ++j) {
    krylov.extend(linear.vjp(krylov.basis.back()), j);
    ++result.products;
    bool all = true;
    for (std::int64_t b = 0; b < batch; ++b) {
      if (result.converged[static_cast<std::size_t>(b)]) continue;
      const Tensor square = krylov.h[b].narrow(0, 0, j + 1).narrow(1, 0, j + 1);
      const auto [values, vectors] = torch::linalg_eig(square);
      const Tensor sizes = values.abs();
      const std::int64_t top = sizes.argmax().item<std::int64_t>();
      const double radius = sizes[top].item<double>(), next = krylov.h[b][j + 1][j].item<double>();
      const double error = next * vectors.select(1, top)[j].abs().item<double>() / vectors.select(1, top).norm().abs().item<double>();
      result.radius[static_cast<std::size_t>(b)] = radius;
      result.error[static_cast<std::size_t>(b)] = error;
      result.converged[static_cast<std::size_t>(b)] = next == 0 || error <= tolerance * radius;
      all = all && result.converged[static_cast<std::size_t>(b)];
    }
    if (all) break;
  }
  return result;
}

std::vector<double> numerical_abscissa(const Linearisation& linear, const Tensor& start, std::int64_t steps, bool apart) {
  const torch::NoGradGuard no_grad;
  const auto shape = start.sizes().vec();
  const auto rows = [apart](const Tensor& t) { return apart ? t : t.reshape({1, -1}); };
  const Tensor first = rows(start);
  steps = std::min(steps, first.size(1));
  Krylov krylov(first, steps);
  for (std::int64_t j = 0; j < steps; ++j) {
    const Tensor v = krylov.basis.back().reshape(shape);
    krylov.extend(rows(linear.vjp(v) + linear.jvp(v)) / 2, j);
  }
  const Tensor square = krylov.h.narrow(1, 0, steps);
  const Tensor top = torch::linalg_eigvalsh((square + square.transpose(1, 2)) / 2).amax(1).contiguous();
  return {top.data_ptr<double>(), top.data_ptr<double>() + top.numel()};
}

PowerIteration power_iteration(const FixedPointMap& f, const State& z, const Tensor& start, std::int64_t iterations) {
  const Linearisation linear(f, z);
  const torch::NoGradGuard no_grad;
  PowerIteration result;
  Tensor v = start.reshape({linear.packing().batch(), -1}).to(linear.packing().dtype());
  for (std::int64_t k = 0; k < iterations; ++k) {
    const Tensor w = linear.vjp(v);
    result.values.push_back((rows_dot(w, v) / rows_dot(v, v)).abs().squeeze(1));
    v = w / w.norm(2, {1}, true);
  }
  result.vector = v;
  return result;
}

}  // namespace zstar::gradient
