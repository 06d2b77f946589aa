#pragma once
/// \file Sampling step by step: DDIM, DDPM, and the deterministic way from an image to noise. Equations: README.md.

#include "schedule.hpp"

namespace zstar_ddim {
namespace {

/// ε(x, t): x [B, C, H, W], t [B].
using Denoiser = std::function<Tensor(const Tensor& x, const Tensor& t)>;

/// One step from a time to the one below it (−1: the clean image).
struct Step {
  double time, bar, bar_next;  ///< t, ā_t, ā_t'
  double sigma(double eta) const { return eta * std::sqrt((1 - bar / bar_next) * (1 - bar_next) / (1 - bar)); }
  /// c_t = √(1 − ā' − σ²) − √((1 − ā) ā'/ā), the weight of ε
  double weight(double eta) const { return std::sqrt(std::max(0.0, 1 - bar_next - sigma(eta) * sigma(eta))) - std::sqrt((1 - bar) * bar_next / bar); }
};

/// The steps of a rising sequence of times, from its last one down. \param bars  see alpha_bar()
inline std::vector<Step> steps_down(const Integers& rising, const Tensor& bars) {
  const double* bar = bars.data_ptr<double>();
  std::vector<Step> steps;
  for (std::size_t k = rising.size(); k-- > 0;) {
    const std::int64_t next = k == 0 ? -1 : rising[k - 1];
    steps.push_back({static_cast<double>(rising[k]), bar[rising[k] + 1], bar[next + 1]});
  }
  return steps;
}

inline Tensor times_like(const Tensor& x, double t) { return torch::full({x.size(0)}, t, x.options()); }

/// The states x_T … x_0 of a way down, and the clean image predicted at every step.
struct Path {
  std::vector<Tensor> states, clean;
};

/// x' = √(ā'/ā) x + c_t ε(x, t) + σ_t n. \param noise  n of every step, like x; empty: η must be 0
/// \par Source  Song, Meng & Ermon, Denoising diffusion implicit models, ICLR 2021, equation 12
inline Path sample_ddim(const Denoiser& f, Tensor x, const std::vector<Step>& steps, double eta, const std::vector<Tensor>& noise) {
  Path path{{x}, {}};
  for (std::size_t k = 0; k < steps.size(); ++k) {
    const Step& s = steps[k];
    const Tensor e = f(x, times_like(x, s.time));
    path.clean.push_back((x - std::sqrt(1 - s.bar) * e) / std::sqrt(s.bar));
    x = std::sqrt(s.bar_next / s.bar) * x + s.weight(eta) * e;
    if (eta > 0) x = x + s.sigma(eta) * noise[k];
    path.states.push_back(x);
  }
  return path;
}

/// The posterior's mean with the clean image clamped to [−1, 1], and noise of variance β = 1 − ā/ā', none at t = 0.
/// \par Source  Ho, Jain & Abbeel, Denoising diffusion probabilistic models, NeurIPS 2020, equations 6 and 7
inline Path sample_ddpm(const Denoiser& f, Tensor x, const std::vector<Step>& steps, const std::vector<Tensor>& noise) {
  Path path{{x}, {}};
  for (std::size_t k = 0; k < steps.size(); ++k) {
    const Step& s = steps[k];
    const double beta = 1 - s.bar / s.bar_next;
    const Tensor clean = ((x - std::sqrt(1 - s.bar) * f(x, times_like(x, s.time))) / std::sqrt(s.bar)).clamp(-1, 1);
    path.clean.push_back(clean);
    x = (std::sqrt(s.bar_next) * beta * clean + std::sqrt(1 - beta) * (1 - s.bar_next) * x) / (1 - s.bar);
    if (s.time > 0) x = x + std::sqrt(beta) * noise[k];
    path.states.push_back(x);
  }
  return path;
}

/// From an image up to noise: x' = x + √ā' [(1/√ā − 1/√ā') x + (√(1/ā' − 1) − √(1/ā − 1)) ε(x, t)]. \return the states at all times
inline std::vector<Tensor> encode(const Denoiser& f, Tensor x, const Integers& rising, const Tensor& bars) {
  const double* bar = bars.data_ptr<double>();
  std::vector<Tensor> states{x};
  for (std::size_t k = 0; k + 1 < rising.size(); ++k) {
    const double a = bar[rising[k] + 1], next = bar[rising[k + 1] + 1];
    const Tensor e = f(x, times_like(x, static_cast<double>(rising[k])));
    x = x + std::sqrt(next) * ((1 / std::sqrt(a) - 1 / std::sqrt(next)) * x + (std::sqrt(1 / next - 1) - std::sqrt(1 / a - 1)) * e);
    states.push_back(x);
  }
  return states;
}

}  // namespace
}  // namespace zstar_ddim
