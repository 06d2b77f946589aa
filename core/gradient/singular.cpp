/// \file Singular values of I − J and of J.
#include <algorithm>
#include <cmath>

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

/// Singular values of the leading block of an upper bidiagonal matrix up to its first zero on the diagonal.
std::pair<double, double> extremes(const std::vector<Tensor>& diagonal, const std::vector<Tensor>& above, std::int64_t sample) {
  std::int64_t k = 0;
  bool singular = false;
  for (; k < static_cast<std::int64_t>(diagonal.size()); ++k) {
    if (k > 0 && above[static_cast<std::size_t>(k - 1)][sample].item<double>() == 0) break;  // the space is exhausted
    singular = diagonal[static_cast<std::size_t>(k)][sample].item<double>() == 0;
    if (singular) break;
  }
  const std::int64_t size = std::max<std::int64_t>(k, 1);
  const Tensor b = torch::zeros({size, size}, torch::kFloat64);
  for (std::int64_t i = 0; i < k; ++i) {
    b[i][i] = diagonal[static_cast<std::size_t>(i)][sample];
    if (i + 1 < k) b[i][i + 1] = above[static_cast<std::size_t>(i)][sample];
  }
  const Tensor values = torch::linalg_svdvals(b);
  return {singular ? 0.0 : values[size - 1].item<double>(), values[0].item<double>()};
}

}  // namespace

SingularValues singular_values(const Linearisation& linear, const Tensor& start, std::int64_t steps, bool apart) {
  const torch::NoGradGuard no_grad;
  const auto shape = start.sizes().vec();
  const auto rows = [&](const Tensor& t) { return apart ? t : t.reshape({1, -1}); };
  const auto times = [&](const Tensor& v) { return v - rows(linear.vjp(v.reshape(shape))); };       // (I − Jᵀ) v
  const auto transposed = [&](const Tensor& w) { return w - rows(linear.jvp(w.reshape(shape))); };  // (I − J) w
  const Tensor noise = torch::randn(shape, at::detail::createCPUGenerator(1), torch::TensorOptions(start.scalar_type())).to(start.device());
  const Tensor size = start.norm(2, {1}, true).clamp_min(1e-30);
  Tensor v = rows(torch::where(start.isfinite(), start / size, torch::zeros_like(start)) + noise / std::sqrt(static_cast<double>(shape[1])));
  const Tensor one = torch::ones({v.size(0), 1}, v.options());
  std::vector<Tensor> right, left, diagonal, above;
  Tensor norm;
  v = normalised(v, 0 * one, norm);
  SingularValues result;
  for (std::int64_t k = 0; k < std::min(steps, v.size(1)); ++k) {
    if (k > 0) {
      const Tensor w = transposed(left.back());
      result.products += 2;
      right.push_back(v);
      v = normalised(orthogonal(w, right), w.norm(2, {1}, true), norm);
      above.push_back(norm);
      if (!(norm > 0).any().item<bool>()) break;
    }
    const Tensor w = times(v);
    ++result.products;
    left.push_back(normalised(orthogonal(w, left), v.norm(2, {1}, true), norm));
    diagonal.push_back(norm);
  }
  for (std::int64_t b = 0; b < v.size(0); ++b) {
    const auto [smallest, largest] = extremes(diagonal, above, b);
    result.smallest.push_back(smallest);
    result.largest.push_back(largest);
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
