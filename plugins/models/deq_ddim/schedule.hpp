#pragma once
/// \file Noise schedules, sequences of times, embedding of a time. Equations: README.md.

#include <zstar/sdk.hpp>

#include <cmath>

namespace zstar_ddim {
namespace {

using torch::Tensor;
using Integers = std::vector<std::int64_t>;

inline const torch::TensorOptions& doubles() {
  static const auto options = torch::TensorOptions(torch::kFloat64);
  return options;
}

/// β_0 … β_{N−1}, float64.
inline Tensor betas(const std::string& kind, double first, double last, std::int64_t n) {
  if (kind == "linear") return torch::linspace(first, last, n, doubles());
  if (kind == "quad") return torch::linspace(std::sqrt(first), std::sqrt(last), n, doubles()).square();
  if (kind == "const") return torch::full({n}, last, doubles());
  if (kind == "jsd") return torch::linspace(static_cast<double>(n), 1, n, doubles()).reciprocal();
  if (kind == "sigmoid") return torch::sigmoid(torch::linspace(-6, 6, n, doubles())) * (last - first) + first;
  if (kind == "geometric") return torch::pow(torch::full({n}, 1 - last, doubles()), torch::arange(1, n + 1, doubles()));
  if (kind == "cosine") {  // ā_t = cos²(π/2 · (t/N + s)/(1 + s)) up to its value at 0, s = 0.008
    const Tensor bar = torch::cos((torch::arange(0, n + 1, doubles()) / static_cast<double>(n) + 0.008) * (M_PI / 2 / 1.008)).square();
    return (1 - bar.slice(0, 1) / bar.slice(0, 0, n)).clamp_max(0.999);
  }
  throw zstar::OptionError("schedule", "no schedule '" + kind + "'");
}

/// ā with a leading one, float64 [N + 1]: entry t + 1 belongs to time t, entry 0 to time −1.
inline Tensor alpha_bar(const Tensor& beta) { return torch::cat({torch::ones({1}, doubles()), (1 - beta.to(torch::kFloat64)).cumprod(0)}); }

/// Sampling divides by √ā and by √(1 − ā) at every time of its sequence. \throws OptionError  where one of the two is zero in single precision
inline void expect_noise_and_signal(const Tensor& bars, const Integers& rising) {
  for (const std::int64_t t : rising) {
    const double bar = bars[t + 1].item<double>();
    if (bar >= 1e-38 && bar < 1) continue;  // least float: 1.2e-38
    throw zstar::OptionError("schedule", "ā is " + std::string(bar < 0.5 ? "0" : "1") + " at time " + std::to_string(t) + ", one of the " + std::to_string(rising.size()) + " times of the sequence: there is " +
                                             (bar < 0.5 ? "nothing of the image left, and a step divides by √ā" : "no noise yet, and a step divides by √(1 − ā)") +
                                             "; choose another schedule, other values of β, or fewer steps");
  }
}

/// Rising times of S steps. uniform: every ⌊N/S⌋-th; quad: ⌊linspace(0, √(0.8 N), S)²⌋; custom: every second one up to the middle, every fourth
/// one from there on, whatever S.
inline Integers times(const std::string& kind, std::int64_t n, std::int64_t s) {
  Integers t;
  if (kind == "uniform") {
    for (std::int64_t k = 0; k < s; ++k) t.push_back(k * (n / s));
  } else if (kind == "quad") {
    const double top = std::sqrt(0.8 * static_cast<double>(n));
    for (std::int64_t k = 0; k < s; ++k) {
      const double root = k + 1 == s ? top : static_cast<double>(k) * (top / static_cast<double>(std::max<std::int64_t>(1, s - 1)));
      t.push_back(static_cast<std::int64_t>(root * root));
    }
  } else {
    for (std::int64_t k = 0; k < 499; k += 2) t.push_back(k);
    for (std::int64_t k = 499; k < 1000; k += 4) t.push_back(k);
  }
  return t;
}

/// [sin(t w_i), cos(t w_i)], w_i = exp(−i ln 10⁴/(d/2 − 1)), and a zero if d is odd. \param t  [B] \return [B, d] of the dtype
inline Tensor embedding(const Tensor& t, std::int64_t d, torch::ScalarType dtype) {
  const std::int64_t half = d / 2;
  const Tensor w = torch::exp(torch::arange(half, t.options().dtype(dtype)) * -(std::log(10000.0) / static_cast<double>(half - 1)));
  const Tensor phase = t.to(dtype).unsqueeze(1) * w.unsqueeze(0);
  const Tensor both = torch::cat({torch::sin(phase), torch::cos(phase)}, 1);
  return d % 2 == 1 ? torch::constant_pad_nd(both, {0, 1}) : both;
}

}  // namespace
}  // namespace zstar_ddim
