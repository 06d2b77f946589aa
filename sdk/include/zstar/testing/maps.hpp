#pragma once
/// \file Maps of known difficulty for tests: what they are, what their fixed points are, and how they go wrong.
///
/// Every map takes a state of one tensor [B, n] unless its comment says otherwise; rows are samples. Random numbers come from
/// generators of their own: the global generator is left alone.

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include "zstar/abi/map.hpp"

namespace zstar::testing {

/// Independent normal numbers of a fixed seed, float64, on the CPU.
inline Tensor randn(at::IntArrayRef sizes, std::uint64_t seed) {
  return torch::randn(sizes, at::detail::createCPUGenerator(seed), torch::TensorOptions(torch::kFloat64));
}

/// A [n, n], float64, of spectral norm `norm`.
inline Tensor matrix_of_norm(std::int64_t n, double norm, std::uint64_t seed) {
  const Tensor a = randn({n, n}, seed);
  return a * (norm / torch::linalg_matrix_norm(a, 2).item<double>());
}

/// A symmetric [n, n], float64, whose eigenvalues are spaced evenly in [low, high].
inline Tensor symmetric(std::int64_t n, double low, double high, std::uint64_t seed) {
  const Tensor q = std::get<0>(torch::linalg_qr(randn({n, n}, seed)));
  return q.mm(torch::diag(torch::linspace(low, high, n, torch::kFloat64))).mm(q.t());
}

/// z ↦ z Aᵀ + b, a [n, n] shared by all samples, b [B, n].
struct AffineMap {
  Tensor a, b;

  Tensor operator()(const Tensor& z) const { return z.mm(a.t()) + b; }
  /// (I − A)⁻¹ b, [B, n]. \pre I − A is regular
  Tensor fixed_point() const {
    const Tensor eye = torch::eye(a.size(0), a.options());
    return torch::linalg_solve(eye - a, b.unsqueeze(2)).squeeze(2);
  }
  FixedPointMap map() const {
    return {[](const State& z, const std::vector<Tensor>& t) { return State(z[0].mm(t[0].t()) + t[1]); },
            {{a, std::nullopt}, {b, 0}}, /*samples_independent=*/true};
  }
  operator FixedPointMap() const { return map(); }
  AffineMap to(torch::ScalarType dtype) const { return {a.to(dtype), b.to(dtype)}; }
  std::int64_t batch() const { return b.size(0); }
  std::int64_t width() const { return b.size(1); }
  Tensor zeros() const { return torch::zeros_like(b); }
};

/// ‖A‖₂ = rho < 1: plain iteration converges by this factor a step, or faster.
inline AffineMap contraction(std::int64_t batch, std::int64_t n, double rho, std::uint64_t seed = 1) {
  return {matrix_of_norm(n, rho, seed), randn({batch, n}, seed + 1000)};
}

/// Symmetric, eigenvalues from 0 to rho: plain iteration needs log ε / log rho steps, Krylov-like methods far fewer.
inline AffineMap stiff(std::int64_t batch, std::int64_t n, double rho, std::uint64_t seed = 2) {
  return {symmetric(n, 0.0, rho, seed), randn({batch, n}, seed + 1000)};
}

/// radius times a rotation by `angle` in each of `pairs` planes: complex eigenvalues only; expansive for radius > 1.
inline AffineMap rotation(std::int64_t batch, std::int64_t pairs, double radius, double angle = 1.5707963267948966, std::uint64_t seed = 3) {
  const double c = radius * std::cos(angle), s = radius * std::sin(angle);
  std::vector<Tensor> blocks(static_cast<std::size_t>(pairs), torch::tensor({{c, -s}, {s, c}}, torch::kFloat64));
  return {torch::block_diag(blocks), randn({batch, 2 * pairs}, seed)};
}

/// Symmetric, eigenvalues from −norm to −norm/2 and so I − A well conditioned, but plain iteration diverges for norm > 1.
inline AffineMap expansive(std::int64_t batch, std::int64_t n, double norm = 3.0, std::uint64_t seed = 4) {
  return {symmetric(n, -norm, -0.5 * norm, seed), randn({batch, n}, seed + 1000)};
}

/// z ↦ z + b with b ≠ 0: no fixed point; the residual is ‖b‖ everywhere.
inline AffineMap without_solution(std::int64_t batch, std::int64_t n, std::uint64_t seed = 5) {
  return {torch::eye(n, torch::kFloat64), randn({batch, n}, seed)};
}

/// z ↦ b: a zero Jacobian.
inline AffineMap constant(std::int64_t batch, std::int64_t n, std::uint64_t seed = 6) {
  return {torch::zeros({n, n}, torch::kFloat64), randn({batch, n}, seed)};
}

/// z ↦ tanh(z Wᵀ + x Uᵀ + c): w [n, n], u [n, 4], c [n] shared; x [B, 4] by rows. All require gradients.
struct TanhMap {
  Tensor w, u, c, x;

  explicit TanhMap(std::int64_t batch = 3, std::int64_t n = 6, double norm = 0.8, std::uint64_t seed = 7)
      : w(matrix_of_norm(n, norm, seed).requires_grad_()), u(randn({n, 4}, seed + 1).requires_grad_()),
        c(randn({n}, seed + 2).requires_grad_()), x(randn({batch, 4}, seed + 3).requires_grad_()) {}
  Tensor operator()(const Tensor& z) const { return torch::tanh(z.mm(w.t()) + x.mm(u.t()) + c); }
  FixedPointMap map() const {
    return {[](const State& z, const std::vector<Tensor>& t) {
              return State(torch::tanh(z[0].mm(t[0].t()) + t[3].mm(t[1].t()) + t[2]));
            },
            {{w, std::nullopt}, {u, std::nullopt}, {c, std::nullopt}, {x, 0}}, /*samples_independent=*/true};
  }
  operator FixedPointMap() const { return map(); }
  std::vector<Tensor> captured() const { return {w, u, c, x}; }
};

/// Two tensors of different shapes, the second with its samples along axis 1: p [B, n], q [2, B], each in its own dtype.
/// p⁺ = p Aᵀ + mean(q) / 10 + b, q⁺ = q / 3 + sum(p) / 40 + 1: a contraction for ‖A‖ ≤ 0.8.
struct TwoStates {
  AffineMap p;
  torch::ScalarType p_dtype = torch::kFloat64, q_dtype = torch::kFloat64;

  State zeros() const {
    return {{p.zeros().to(p_dtype), torch::zeros({2, p.batch()}, q_dtype)}, {0, 1}};
  }
  FixedPointMap map() const {
    return {[p_dtype = p_dtype, q_dtype = q_dtype](const State& z, const std::vector<Tensor>& t) {
              const Tensor p = z[0].to(torch::kFloat64), q = z[1].to(torch::kFloat64);
              const Tensor next_p = p.mm(t[0].t()) + q.mean(0).unsqueeze(1) / 10 + t[1], next_q = q / 3 + p.sum(1) / 40 + 1;
              return State({next_p.to(p_dtype), next_q.to(q_dtype)}, z.axes());
            },
            {{p.a, std::nullopt}, {p.b, 0}}, /*samples_independent=*/true};
  }
  operator FixedPointMap() const { return map(); }
};

/// The same map in float32, its images rounded to `dtype`: for dtypes in which a CPU has no matrix product.
inline FixedPointMap rounded(const AffineMap& f, torch::ScalarType dtype) {
  return {[dtype](const State& z, const std::vector<Tensor>& t) {
            return State((z[0].to(torch::kFloat32).mm(t[0].to(torch::kFloat32).t()) + t[1].to(torch::kFloat32)).to(dtype));
          },
          {{f.a, std::nullopt}, {f.b, 0}}, /*samples_independent=*/true};
}

/// The same map, but sample `sample` becomes NaN from call `call` on (the first call is number 1).
inline FixedPointMap nan_from(const AffineMap& f, std::int64_t sample, std::int64_t call) {
  const Tensor sick = torch::zeros({f.batch(), 1}, torch::kBool);
  sick[sample][0] = true;
  auto calls = std::make_shared<std::int64_t>(0);
  return {[calls, call](const State& z, const std::vector<Tensor>& t) {
            const Tensor y = z[0].mm(t[0].t()) + t[1];
            return State(++*calls < call ? y : y.masked_fill(t[2], std::numeric_limits<double>::quiet_NaN()));
          },
          {{f.a, std::nullopt}, {f.b, 0}, {sick, 0}}, /*samples_independent=*/true};
}

}  // namespace zstar::testing
