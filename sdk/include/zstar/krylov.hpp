#pragma once
/// \file Krylov spaces of a batch of linear problems, one space for each sample. Compiled into the plugin; nothing here crosses
/// the boundary.

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <torch/types.h>

#include "zstar/abi/solver.hpp"

namespace zstar {

/// GMRES for A x = r from x = 0, as a space that grows by one product at a time:
///
///   A V_k = V_{k+1} H_k,  x_k = V_k y_k,  y_k = argmin ‖ ‖r‖ e_1 − H_k y ‖,
///
/// V by Arnoldi with two Gram–Schmidt passes, the least-squares problem by Givens rotations, so that ‖r − A x_k‖ is known at each step
/// for nothing. A sample whose space is exhausted, or whose product is not finite, adds zero vectors from there on.
///
/// \par Cost a step  4 k + 4 passes over the state; k + 1 states of memory; one small read-back from the device
/// \par Sources  Saad & Schultz, SIAM J. Sci. Stat. Comput. 7 (1986), doi:10.1137/0907058; Giraud, Langou & Rozložník, Comput. Math.
///   Appl. 50 (2005), doi:10.1016/j.camwa.2005.08.009 (two passes suffice)
class KrylovSpace {
 public:
  /// \param r  right side, [B, D] \param most  steps at most
  KrylovSpace(Products& products, const Tensor& r, std::int64_t most)
      : products_(products), batch_(static_cast<std::size_t>(r.size(0))), most_(static_cast<std::size_t>(most)), h_(batch_ * most_ * most_, 0.0),
        cosine_(batch_ * most_, 1.0), sine_(batch_ * most_, 0.0), g_(batch_ * (most_ + 1), 0.0), alive_(batch_, 1) {
    const Tensor norm = products_.dots({r}, {r}).view({r.size(0)}).sqrt();
    const Tensor host = norm.cpu();
    for (std::size_t b = 0; b < batch_; ++b) {
      const double size = host.data_ptr<double>()[b];
      alive_[b] = std::isfinite(size) && size > 0;
      g_[b * (most_ + 1)] = size;
    }
    basis_.push_back(scaled(r, norm));
  }

  std::int64_t size() const { return static_cast<std::int64_t>(basis_.size()) - 1; }
  /// The unit vector whose product with A is wanted next, [B, D]; zero for samples that need none.
  const Tensor& direction() const { return basis_.back(); }
  /// ‖r − A x_k‖ of a sample.
  double residual(std::size_t sample) const { return std::abs(g_[sample * (most_ + 1) + basis_.size() - 1]); }
  /// Whether any sample can still gain from another product.
  bool open() const {
    for (const char alive : alive_)
      if (alive) return size() < static_cast<std::int64_t>(most_);
    return false;
  }

  /// Takes w = A direction(). \pre open()
  void add(const Tensor& w) {
    const std::size_t k = basis_.size() - 1;
    const auto columns = static_cast<std::int64_t>(k) + 1;
    const Tensor before = products_.dots({w}, {w}).view({w.size(0)});
    const Tensor first = products_.dots(basis_, {w}).view({w.size(0), columns});
    Tensor next = products_.combine(w, basis_, -first);
    const Tensor second = products_.dots(basis_, {next}).view({w.size(0), columns});
    next = products_.combine(next, basis_, -second);
    const Tensor norm = products_.dots({next}, {next}).view({w.size(0)}).sqrt();
    const Tensor column = torch::cat({first + second, norm.unsqueeze(1), before.sqrt().unsqueeze(1)}, 1).cpu().contiguous();  // [B, k + 3]
    const bool wide = w.scalar_type() == torch::kFloat64;
    std::vector<double> keep(batch_);
    for (std::size_t b = 0; b < batch_; ++b) keep[b] = rotate(b, column.data_ptr<double>() + b * (k + 3), wide);
    const Tensor mask = torch::tensor(keep, torch::kFloat64).to(norm.device());
    basis_.push_back(scaled(next, torch::where(mask > 0, norm, torch::zeros_like(norm))));
  }

  /// x_k, [B, D].
  Tensor solution() const {
    const std::size_t k = basis_.size() - 1;
    if (k == 0) return torch::zeros_like(basis_[0]);
    const Tensor y = torch::zeros({static_cast<std::int64_t>(batch_), static_cast<std::int64_t>(k)}, torch::kFloat64);
    for (std::size_t b = 0; b < batch_; ++b) substitute(b, k, y.data_ptr<double>() + b * k);
    const std::vector<Tensor> columns(basis_.begin(), basis_.end() - 1);
    return products_.combine(torch::zeros_like(basis_[0]), columns, y.to(basis_[0].is_cpu() ? torch::Device(torch::kCPU) : basis_[0].device()));
  }

 private:
  /// Rows divided by their norms; rows of norm zero (or none) become zero, whatever they hold.
  static Tensor scaled(const Tensor& t, const Tensor& norm) {
    const Tensor n = norm.to(t.device()).unsqueeze(1), good = n.isfinite() & (n > 0);
    const Tensor factor = torch::where(good, n, torch::ones_like(n)).reciprocal().to(t.scalar_type());
    return torch::where(good, t * factor, torch::zeros({}, t.options()));
  }

  double& h(std::size_t b, std::size_t row, std::size_t col) { return h_[(b * most_ + row) * most_ + col]; }
  double h(std::size_t b, std::size_t row, std::size_t col) const { return h_[(b * most_ + row) * most_ + col]; }

  /// Applies the rotations so far to a column (k + 1 entries, the next norm, ‖w‖) and makes the next. \return > 0 if the space grew
  double rotate(std::size_t b, const double* column, bool wide) {
    const std::size_t k = basis_.size() - 1;
    double* g = g_.data() + b * (most_ + 1);
    if (!alive_[b]) return g[k + 1] = g[k], 0.0;
    bool finite = true;
    for (std::size_t i = 0; i < k + 3; ++i) finite = finite && std::isfinite(column[i]);
    if (!finite) return alive_[b] = 0, g[k + 1] = g[k], 0.0;
    std::vector<double> c(column, column + k + 2);
    for (std::size_t i = 0; i < k; ++i) {
      const double cosine = cosine_[b * most_ + i], sine = sine_[b * most_ + i], upper = c[i];
      c[i] = cosine * upper + sine * c[i + 1];
      c[i + 1] = -sine * upper + cosine * c[i + 1];
    }
    const bool exhausted = !(column[k + 1] > (wide ? 1e-14 : 1e-6) * column[k + 2]);
    if (exhausted) c[k + 1] = 0;
    const double length = std::hypot(c[k], c[k + 1]);
    if (!(length > (wide ? 1e-12 : 1e-5) * column[k + 2])) return alive_[b] = 0, g[k + 1] = g[k], 0.0;  // A v lies in the span of those before, up to rounding: no gain
    const double cosine = cosine_[b * most_ + k] = c[k] / length, sine = sine_[b * most_ + k] = c[k + 1] / length;
    for (std::size_t i = 0; i < k; ++i) h(b, i, k) = c[i];
    h(b, k, k) = length;
    g[k + 1] = -sine * g[k];
    g[k] *= cosine;
    if (exhausted) alive_[b] = 0;
    return exhausted ? 0.0 : 1.0;
  }

  /// y of a sample; columns without a pivot take no part.
  void substitute(std::size_t b, std::size_t k, double* y) const {
    for (std::size_t row = k; row-- > 0;) {
      if (!(h(b, row, row) > 0)) continue;
      double value = g_[b * (most_ + 1) + row];
      for (std::size_t j = row + 1; j < k; ++j) value -= h(b, row, j) * y[j];
      y[row] = value / h(b, row, row);
    }
  }

  Products& products_;
  std::size_t batch_, most_;
  std::vector<Tensor> basis_;             // V, [B, D] each
  std::vector<double> h_, cosine_, sine_;  // R of H = QR, [B, most, most]; rotations, [B, most]
  std::vector<double> g_;                 // Qᵀ ‖r‖ e_1, [B, most + 1]; its last entry is the residual
  std::vector<char> alive_;
};

}  // namespace zstar
