/// \file Singular values of I − J and of J.
#include <algorithm>
#include <cmath>
#include <functional>

#include <ATen/CPUGeneratorImpl.h>

#include "core/gradient/spectrum.hpp"

namespace zstar::gradient {
namespace {

/// Normalised rows; those that are nearly zero against `scale` become zero. \param norm  receives their lengths, [B]
Tensor normalised(const Tensor& t, const Tensor& scale, Tensor& norm) {
  const Tensor length = t.norm(2, {1}, /*keepdim=*/true);
  const Tensor alive = length > (t.scalar_type() == torch::kFloat64 ? 1e-13 : 1e-6) * scale;
  norm = torch::where(alive, length, torch::zeros_like(length)).squeeze(1).to(torch::kFloat64).cpu();
  return torch::where(alive, t / length, torch::zeros_like(t));
}

Tensor orthogonal(Tensor t, const std::vector<Tensor>& basis) {
  for (int pass = 0; pass < 2; ++pass)
    for (const Tensor& q : basis) t = t - (q * t).sum(1, /*keepdim=*/true) * q;
  return t;
}

using Product = std::function<Tensor(const Tensor&)>;

/// M V = U B, B upper bidiagonal: its diagonal, and what stands above it, [B] each.
struct Bidiagonal {
  std::vector<Tensor> diagonal, above;

  /// \param v  first right vector, [B, D], not zero \param closed  whether the entry beside the last of the diagonal is wanted
  Bidiagonal(const Product& times, const Product& transposed, Tensor v, std::int64_t steps, bool closed) {
    std::vector<Tensor> right, left;
    Tensor norm;
    v = normalised(v, torch::zeros({v.size(0), 1}, v.options()), norm);
    for (std::int64_t k = 0; k < std::min(steps, v.size(1)); ++k) {
      const Tensor w = times(v);
      left.push_back(normalised(orthogonal(w, left), v.norm(2, {1}, true), norm));
      diagonal.push_back(norm);
      right.push_back(v);
      if (!closed && k + 1 == std::min(steps, v.size(1))) break;
      const Tensor back = transposed(left.back());
      v = normalised(orthogonal(back, right), back.norm(2, {1}, true), norm);
      above.push_back(norm);
      if (!(norm > 0).any().item<bool>()) break;
    }
  }

  double d(std::size_t k, std::int64_t sample) const { return diagonal[k][sample].item<double>(); }
  double a(std::size_t k, std::int64_t sample) const { return k < above.size() ? above[k][sample].item<double>() : 0.0; }

  /// Steps until the space of a sample is exhausted, or its matrix is singular; whether it is the latter.
  std::pair<std::size_t, bool> size(std::int64_t sample) const {
    for (std::size_t k = 0; k < diagonal.size(); ++k) {
      if (k > 0 && a(k - 1, sample) == 0) return {k, false};
      if (d(k, sample) == 0) return {k, true};
    }
    return {diagonal.size(), false};
  }

  void add_extremes(std::int64_t sample, SingularValues& values) const {
    const auto [k, singular] = size(sample);
    const auto rows = static_cast<std::int64_t>(std::max<std::size_t>(k, 1));
    const Tensor b = torch::zeros({rows, rows}, torch::kFloat64);
    for (std::size_t i = 0; i < k; ++i) {
      const auto at = static_cast<std::int64_t>(i);
      b[at][at] = d(i, sample);
      if (i + 1 < k) b[at][at + 1] = a(i, sample);
    }
    const Tensor found = torch::linalg_svdvals(b);
    values.smallest.push_back(singular ? 0.0 : found[rows - 1].item<double>());
    values.largest.push_back(found[0].item<double>());
  }
};

Tensor noise(const Tensor& like) {
  return torch::randn(like.sizes(), at::detail::createCPUGenerator(1), torch::TensorOptions(like.scalar_type())).to(like.device()) / std::sqrt(static_cast<double>(like.size(1)));
}

/// v ↦ (I − Jᵀ) v and w ↦ (I − J) w on rows, or on the batch as one; products are counted.
struct BothProducts {
  Product transposed, plain;
};
BothProducts products_with(const Linearisation& linear, const Tensor& like, bool apart, std::int64_t& count) {
  const auto shape = like.sizes().vec();
  const auto rows = [apart](const Tensor& t) { return apart ? t : t.reshape({1, -1}); };
  return {[&linear, &count, shape, rows](const Tensor& v) { return ++count, v - rows(linear.vjp(v.reshape(shape))); },
          [&linear, &count, shape, rows](const Tensor& w) { return count += 2, w - rows(linear.jvp(w.reshape(shape))); }};
}

}  // namespace

SingularValues singular_values(const Linearisation& linear, const Tensor& start, std::int64_t steps, bool apart) {
  const torch::NoGradGuard no_grad;
  SingularValues result;
  const auto [transposed, plain] = products_with(linear, start, apart, result.products);
  const Tensor size = start.norm(2, {1}, true).clamp_min(1e-30);
  const Tensor v = torch::where(start.isfinite(), start / size, torch::zeros_like(start)) + noise(start);
  const Bidiagonal b(transposed, plain, apart ? v : v.reshape({1, -1}), steps, /*closed=*/false);
  for (std::int64_t sample = 0; sample < (apart ? v.size(0) : 1); ++sample) b.add_extremes(sample, result);
  return result;
}

InverseNorm inverse_norm(const Linearisation& linear, const Tensor& r, std::int64_t steps, bool apart) {
  const torch::NoGradGuard no_grad;
  InverseNorm result;
  const auto [transposed, plain] = products_with(linear, r, apart, result.values.products);
  const Tensor rows = apart ? r : r.reshape({1, -1});
  const Tensor length = rows.norm(2, {1}, /*keepdim=*/true), known = length.isfinite() & (length > 0);
  const Bidiagonal b(plain, transposed, torch::where(known, rows, noise(rows)), steps, /*closed=*/true);
  for (std::int64_t sample = 0; sample < rows.size(0); ++sample) {
    b.add_extremes(sample, result.values);
    const auto [k, singular] = b.size(sample);
    double y = length[sample][0].item<double>(), squares = 0;
    for (std::size_t i = 0; i < k; ++i) {  // Bᵀ y = ‖r‖ e₁
      y = (i == 0 ? y : -b.a(i - 1, sample) * y) / b.d(i, sample);
      squares += y * y;
    }
    result.found.push_back(std::sqrt(squares));
    result.rest.push_back(singular ? INFINITY : k == 0 ? 0.0 : std::abs(y) * b.a(k - 1, sample));
  }
  return result;
}

std::vector<double> largest_singular_value(const FixedPointMap& f, const State& z, const Tensor& start, std::int64_t steps, double tolerance) {
  const Linearisation linear(f, z);
  const torch::NoGradGuard no_grad;
  Tensor v = start.reshape({linear.packing().batch(), -1}).to(linear.packing().dtype());
  Tensor value = torch::zeros({v.size(0), 1}, v.options());
  for (std::int64_t k = 0; k < steps; ++k) {
    const Tensor length = v.norm(2, {1}, true);
    const Tensor w = linear.vjp(torch::where(length > 0, v / length, torch::zeros_like(v)));
    const Tensor found = w.norm(2, {1}, true);
    const bool settled = ((found - value).abs() <= tolerance * found).all().item<bool>();
    value = found;
    if (settled) break;
    v = linear.jvp(w);
  }
  const Tensor host = value.squeeze(1).to(torch::kFloat64).cpu().contiguous();
  return {host.data_ptr<double>(), host.data_ptr<double>() + host.numel()};
}

}  // namespace zstar::gradient
