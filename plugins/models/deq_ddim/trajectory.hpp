#pragma once
/// \file A whole trajectory as one fixed point. Equations: README.md.

#include "sampling.hpp"

namespace zstar_ddim {
namespace {

using zstar::State;

/// F of B images and S steps: y_k = √(ā'_k/ā_1) x_T + √ā'_k Σ_{j≤k} (c_j ε(y_{j−1}, t_j) + σ_j n_j)/√ā'_j with y_0 = x_T.
/// Rows are image-major: row b S + k − 1 is y_k of image b. Row k depends on rows before it alone: plain iteration is exact after S steps.
class Trajectory {
 public:
  /// \param noise  n of every step and image, [B, S, C, H, W]; undefined for η = 0 \param chunk  rows of one call of ε; 0: all
  Trajectory(Denoiser f, const std::vector<Step>& steps, double eta, const Tensor& like, Tensor noise = {}, std::int64_t chunk = 0)
      : f_(std::move(f)), chunk_(chunk) {
    std::vector<double> from, weight, sum, time, sigma;
    for (const Step& s : steps) {
      from.push_back(std::sqrt(s.bar_next / steps[0].bar)), sum.push_back(std::sqrt(s.bar_next)), time.push_back(s.time);
      weight.push_back(s.weight(eta) / sum.back()), sigma.push_back(s.sigma(eta) / sum.back());
    }
    const auto column = [&](const std::vector<double>& v) { return torch::tensor(v, doubles()).to(like.options().requires_grad(false)).view({1, -1, 1, 1, 1}); };
    from_ = column(from), weight_ = column(weight), sum_ = column(sum), time_ = column(time).view({-1});
    if (eta > 0) noise_ = column(sigma) * noise;
  }

  std::int64_t steps() const { return time_.numel(); }
  /// √(ā'_k/ā_1), c_k/√ā'_k, √ā'_k of every step, and σ_k n_k/√ā'_k of every row (undefined for η = 0).
  const Tensor& from() const { return from_; }
  const Tensor& weight() const { return weight_; }
  const Tensor& sum() const { return sum_; }
  const Tensor& noise() const { return noise_; }

  /// \param z  rows [B S, C, H, W] \param x_T  [B, C, H, W]
  Tensor operator()(const Tensor& z, const Tensor& x_T) const { return (*this)(z, x_T, x_T); }
  /// \param y_0  what the network sees of x_T
  Tensor operator()(const Tensor& z, const Tensor& x_T, const Tensor& y_0) const {
    const Tensor y = z.view({x_T.size(0), steps(), x_T.size(1), x_T.size(2), x_T.size(3)});
    const Tensor before = torch::cat({y_0.unsqueeze(1), y.narrow(1, 0, steps() - 1)}, 1);
    Tensor terms = weight_ * denoised(before.flatten(0, 1)).view(y.sizes());
    if (noise_.defined()) terms = terms + noise_;
    return (from_ * x_T.unsqueeze(1) + sum_ * terms.cumsum(1)).view(z.sizes());
  }

  /// x_T at every step, the start.
  Tensor start(const Tensor& x_T) const { return x_T.repeat_interleave(steps(), 0); }
  /// y_S of every image.
  Tensor last(const Tensor& z) const { return z.view({-1, steps(), z.size(1), z.size(2), z.size(3)}).select(1, steps() - 1); }

 private:
  Tensor denoised(const Tensor& x) const {
    const Tensor t = time_.repeat({x.size(0) / steps()});
    if (chunk_ <= 0 || chunk_ >= x.size(0)) return f_(x, t);
    std::vector<Tensor> parts;
    for (std::int64_t i = 0; i < x.size(0); i += chunk_) parts.push_back(f_(x.slice(0, i, i + chunk_), t.slice(0, i, i + chunk_)));
    return torch::cat(parts);
  }

  Denoiser f_;
  std::int64_t chunk_;
  Tensor from_, weight_, sum_, time_, noise_;
};

/// F with a row for x_T itself in front, of one image: the state that inversion optimises. The network sees row 0 of the state: in the
/// gradient of one step x_T has its factor √(ā'_k/ā_1) alone, and no network is differentiated.
/// \param z  [S + 1, C, H, W] \param x_T  [1, C, H, W], where gradients go
inline Tensor with_latent(const Trajectory& f, const Tensor& z, const Tensor& x_T) {
  return torch::cat({x_T, f(z.narrow(0, 1, f.steps()), x_T, /*y_0=*/z.narrow(0, 0, 1))});
}

}  // namespace
}  // namespace zstar_ddim
