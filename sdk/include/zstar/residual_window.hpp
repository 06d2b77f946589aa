#pragma once
/// \file What solvers with a memory of residuals share: the last residuals with their inner products, and the way back to
/// the best iterate. Compiled into the plugin; nothing here crosses the boundary.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "zstar/abi/solver.hpp"
#include "zstar/small_systems.hpp"

namespace zstar {

/// a for the samples in `mask` (bool [B]), b for the others; a, b [B, D].
inline Tensor pick(const Tensor& mask, const Tensor& a, const Tensor& b) { return torch::where(mask.unsqueeze(1), a, b); }

/// ‖a‖² of each sample, [B], float64.
inline Tensor length2(Products& products, const Tensor& a) { return products.dots({a}, {a}).squeeze(2).squeeze(1); }

/// The samples `rows` of everything that is remembered; undefined tensors stay so.
inline void keep_rows(std::initializer_list<Tensor*> tensors, const Tensor& rows) {
  for (Tensor* t : tensors)
    if (t->defined()) *t = t->index_select(0, rows.to(t->device()));
}

/// The image of each sample's best iterate, to go back to where the residual grows.
class Fallback {
 public:
  Fallback(Products& products, double growth) : products_(products), growth2_(growth * growth) {}
  void clear() { best2_ = image_ = Tensor(); }
  void keep(const Tensor& rows) { keep_rows({&best2_, &image_}, rows); }

  /// Notes r = f(z) − z and f(z). \return bool [B]: ‖r‖ is not within `growth` times the least before
  Tensor failed(const Tensor& r, const Tensor& fz) {
    const Tensor size2 = length2(products_, r);
    if (!best2_.defined()) {
      best2_ = torch::where(size2.isfinite(), size2, torch::full_like(size2, INFINITY));
      image_ = fz;
      return torch::zeros_like(size2, torch::kBool);
    }
    const Tensor better = size2 < best2_, bad = ~(size2 <= growth2_ * best2_);
    best2_ = torch::where(better, size2, best2_);
    image_ = pick(better, fz, image_);
    return bad;
  }
  /// f of the best iterate, [B, D].
  const Tensor& image() const { return image_; }
  /// The least ‖r‖², [B].
  const Tensor& best2() const { return best2_; }

 private:
  Products& products_;
  double growth2_;
  Tensor best2_, image_;
};

/// The last residuals r_i = f(z_i) − z_i and images f_i, newest first, with the inner products of the residuals in
/// float64. Samples forget by themselves: what one does not know takes no part in its combinations. On a CPU the small
/// algebra is plain loops, elsewhere the same by ATen.
class ResidualWindow {
 public:
  ResidualWindow(Products& products, std::int64_t capacity) : products_(products), capacity_(capacity) {}

  void clear() { r_.clear(), f_.clear(), gram_ = length_ = Tensor(); }
  void keep(const Tensor& rows) {
    for (auto* list : {&r_, &f_})
      for (Tensor& t : *list) t = t.index_select(0, rows);
    keep_rows({&gram_, &length_}, rows);
  }
  std::int64_t size() const { return static_cast<std::int64_t>(r_.size()); }

  /// Adds f(z) − z and f(z); the oldest pair leaves when there are `capacity` of them, and its buffer is used again.
  void push(const Tensor& z, const Tensor& fz) {
    Tensor buffer = size() == capacity_ ? std::move(r_.back()) : Tensor();
    if (size() == capacity_) r_.pop_back(), f_.pop_back();
    r_.insert(r_.begin(), std::move(buffer)), f_.insert(f_.begin(), fz);
    const Tensor row = products_.difference_dots(fz, z, r_, 0);  // [B, n]
    make_room(row);
    write_newest(row);
  }
  /// Puts another pair in the place of the newest.
  void replace(Tensor r, Tensor f) {
    r_[0] = std::move(r), f_[0] = std::move(f);
    write_newest(products_.dots({r_[0]}, r_).squeeze(1));
  }
  /// These samples (bool [B]) know nothing until the next push.
  void forget(const Tensor& samples) { length_ = length_.masked_fill(samples, 0); }
  /// Each sample knows so many pairs at most, [B], float64, until the next push.
  void limit(const Tensor& lengths) { length_ = torch::minimum(length_, lengths); }

  /// Pairs that each sample knows, [B], float64.
  const Tensor& length() const { return length_; }
  /// bool [B, n]: the pairs that a sample knows, newest first.
  Tensor known() const { return torch::arange(size(), length_.options()).unsqueeze(0) < length_.unsqueeze(1); }
  /// ⟨r_i, r_j⟩, [B, n, n]; zero for pairs that the sample does not know.
  Tensor gram() const {
    const Tensor k = known();
    return torch::where(k.unsqueeze(1) & k.unsqueeze(2), gram_, torch::zeros({}, gram_.options()));
  }
  /// The same with what is not known left in, for loops that look at length() themselves.
  const Tensor& raw_gram() const { return gram_; }

  /// argmin ‖Σ α_i r_i‖², Σ α_i = 1, [B, n]: solved in differences r_i − r_{i+1} of unit length, newest first; from the
  /// first that depends on newer ones, all are left out. \param ridge  relative to unit columns; negative: that of the dtype
  /// \param drop  smallest squared distance of a unit column from the span of the newer ones; negative: that of the dtype
  Tensor weights(double ridge = -1, double drop = -1) const {
    const bool wide = r_[0].scalar_type() == torch::kFloat64;
    if (ridge < 0) ridge = wide ? 1e-14 : 1e-9;
    if (drop < 0) drop = wide ? 1e-13 : 1e-8;
    return gram_.is_cpu() ? weights_by_loops(ridge, drop) : weights_by_aten(ridge, drop);
  }
  /// The plain ATen form of weights(), for any device.
  Tensor weights_by_aten(double ridge, double drop) const {
    const Tensor g = gram(), k = known();
    const std::int64_t m = size() - 1;
    if (m == 0) return torch::ones({g.size(0), 1}, g.options());
    const auto difference = [m](const Tensor& t, std::int64_t axis) { return t.narrow(axis, 0, m) - t.narrow(axis, 1, m); };
    const Tensor pair = k.narrow(1, 1, m), none = torch::zeros({}, g.options());
    const Tensor differences = torch::where(pair.unsqueeze(1) & pair.unsqueeze(2), difference(difference(g, 1), 2), none);
    const Tensor rhs = torch::where(pair, difference(g.select(1, 0), 1), none);
    const Tensor gamma = gram_least_squares(differences, rhs, ridge, drop);
    const Tensor zero = torch::zeros({gamma.size(0), 1}, gamma.options());
    Tensor alpha = torch::cat({zero, gamma}, 1) - torch::cat({gamma, zero}, 1);
    alpha.select(1, 0).add_(1.0);
    return alpha;
  }
  /// One for the newest pair, zero for the others.
  Tensor newest() const {
    Tensor alpha = torch::zeros({gram_.size(0), size()}, gram_.options());
    alpha.select(1, 0).fill_(1.0);
    return alpha;
  }

  /// Σ α_i (f_i + (β − 1) r_i) = Σ α_i (z_i + β r_i), [B, D]. \param alpha  [B, n], of sum one
  Tensor combined(const Tensor& alpha, double beta = 1.0) const {
    if (beta == 1.0) return products_.combine(f_[0], f_, shifted(alpha));
    return with_residuals(alpha, alpha * (beta - 1.0));
  }
  /// The same with weights that nobody needs any more.
  Tensor combined(Tensor&& alpha, double beta = 1.0) const {
    if (beta != 1.0) return combined(std::as_const(alpha), beta);
    shift(alpha);
    return products_.combine(f_[0], f_, alpha);
  }
  /// The same with a β for each sample, [B].
  Tensor combined(const Tensor& alpha, const Tensor& beta) const { return with_residuals(alpha, alpha * (beta - 1.0).unsqueeze(1)); }
  /// Σ α_i r_i, [B, D].
  Tensor residual(const Tensor& alpha) const { return products_.combine(r_[0], r_, shifted(alpha)); }

 private:
  /// α less one for the newest, which is the base of the combination.
  static Tensor shifted(const Tensor& alpha) {
    Tensor c = alpha.clone();
    shift(c);
    return c;
  }
  static void shift(Tensor& alpha) {
    if (!alpha.is_cpu()) return void(alpha.select(1, 0).sub_(1.0));
    double* a = alpha.data_ptr<double>();
    for (std::int64_t b = 0, n = alpha.size(1); b < alpha.size(0); ++b) a[b * n] -= 1.0;
  }
  Tensor with_residuals(const Tensor& alpha, const Tensor& of_residuals) const {
    std::vector<Tensor> columns = f_;
    columns.insert(columns.end(), r_.begin(), r_.end());
    return products_.combine(f_[0], columns, torch::cat({shifted(alpha), of_residuals}, 1));
  }

  /// Moves the inner products by one place and lets every sample know one pair more.
  void make_room(const Tensor& row) {
    const std::int64_t batch = row.size(0), n = size(), before = gram_.defined() ? gram_.size(1) : 0;
    if (!length_.defined()) length_ = torch::zeros({batch}, row.options());
    if (!row.is_cpu()) {
      length_ = (length_ + 1).clamp_max(static_cast<double>(n));
      const Tensor gram = torch::zeros({batch, n, n}, row.options());
      if (n > 1) gram.narrow(1, 1, n - 1).narrow(2, 1, n - 1).copy_(gram_.narrow(1, 0, n - 1).narrow(2, 0, n - 1));
      gram_ = gram;
      return;
    }
    const Tensor to = before == n ? gram_ : torch::empty({batch, n, n}, row.options());
    double *length = length_.data_ptr<double>(), *target = to.data_ptr<double>();
    const double* source = n == 1 ? nullptr : gram_.data_ptr<double>();
    for (std::int64_t b = 0; b < batch; ++b) {
      length[b] = std::min(length[b] + 1, static_cast<double>(n));
      if (n == 1) continue;
      const double* from = source + b * before * before;
      double* g = target + b * n * n;
      for (std::int64_t i = n - 1; i > 0; --i)  // backwards: the two may be one buffer
        for (std::int64_t j = n - 1; j > 0; --j) g[i * n + j] = from[(i - 1) * before + j - 1];
    }
    gram_ = to;
  }
  void write_newest(const Tensor& row) {
    if (!row.is_cpu()) {
      gram_.select(1, 0).copy_(row);
      gram_.select(2, 0).copy_(row);
      return;
    }
    const std::int64_t n = size();
    const Tensor own = row.contiguous();
    const double* from = own.data_ptr<double>();
    double* g = gram_.data_ptr<double>();
    for (std::int64_t b = 0; b < own.size(0); ++b, g += n * n, from += n)
      for (std::int64_t j = 0; j < n; ++j) g[j] = g[j * n] = from[j];
  }

  Tensor weights_by_loops(double ridge, double drop) const {
    const std::int64_t batch = gram_.size(0), n = size();
    const Tensor alpha = torch::empty({batch, n}, gram_.options());
    small_.resize(static_cast<std::size_t>(n * (n + 2)));
    double *differences = small_.data(), *rhs = differences + n * n, *gamma = rhs + n, *a = alpha.data_ptr<double>();
    const double *g = gram_.data_ptr<double>(), *length = length_.data_ptr<double>();
    for (std::int64_t b = 0; b < batch; ++b, g += n * n, a += n) {
      const std::int64_t m = std::max<std::int64_t>(static_cast<std::int64_t>(length[b]) - 1, 0);
      for (std::int64_t i = 0; i < m; ++i) {
        rhs[i] = g[i] - g[i + 1];
        for (std::int64_t j = 0; j <= i; ++j)  // the factorisation reads the lower triangle
          differences[i * m + j] = (g[i * n + j] - g[(i + 1) * n + j]) - (g[i * n + j + 1] - g[(i + 1) * n + j + 1]);
      }
      detail::dropping_cholesky(differences, rhs, m, ridge, drop, work_, gamma);
      for (std::int64_t i = 0; i < n; ++i) a[i] = (i == 0 ? 1.0 : i <= m ? gamma[i - 1] : 0.0) - (i < m ? gamma[i] : 0.0);
    }
    return alpha;
  }

  Products& products_;
  std::int64_t capacity_;
  std::vector<Tensor> r_, f_;  // [B, D], newest first; the residuals are buffers of the window alone
  Tensor gram_, length_;       // [B, n, n], [B] pairs known; float64
  mutable std::vector<double> small_;  // of one sample, used again
  mutable detail::CholeskyWork work_;
};

}  // namespace zstar
