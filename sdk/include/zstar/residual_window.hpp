#pragma once
/// \file What solvers with a memory of residuals share: the last residuals with their inner products, and the way back to
/// the best iterate. Compiled into the plugin; nothing here crosses the boundary.

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
/// float64. Samples forget by themselves: what one does not know takes no part in its combinations.
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

  /// Adds a pair; the oldest leaves when there are `capacity` of them.
  void push(Tensor r, Tensor f) {
    if (size() == capacity_) r_.pop_back(), f_.pop_back();
    r_.insert(r_.begin(), std::move(r)), f_.insert(f_.begin(), std::move(f));
    const std::int64_t n = size();
    const Tensor row = products_.dots({r_[0]}, r_).squeeze(1);  // [B, n]
    const Tensor gram = torch::zeros({row.size(0), n, n}, row.options());
    if (n > 1) gram.narrow(1, 1, n - 1).narrow(2, 1, n - 1).copy_(gram_.narrow(1, 0, n - 1).narrow(2, 0, n - 1));
    gram_ = gram;
    write_newest(row);
    length_ = length_.defined() ? (length_ + 1).clamp_max(static_cast<double>(n)) : torch::ones({row.size(0)}, row.options());
  }
  /// Puts another pair in the place of the newest.
  void replace(Tensor r, Tensor f) {
    r_[0] = std::move(r), f_[0] = std::move(f);
    write_newest(products_.dots({r_[0]}, r_).squeeze(1));
  }
  /// These samples (bool [B]) know nothing until the next push.
  void forget(const Tensor& samples) { length_ = length_.masked_fill(samples, 0); }

  /// bool [B, n]: the pairs that a sample knows, newest first.
  Tensor known() const { return torch::arange(size(), length_.options()).unsqueeze(0) < length_.unsqueeze(1); }
  /// ⟨r_i, r_j⟩, [B, n, n]; zero for pairs that the sample does not know.
  Tensor gram() const {
    const Tensor k = known();
    return torch::where(k.unsqueeze(1) & k.unsqueeze(2), gram_, torch::zeros({}, gram_.options()));
  }
  /// argmin ‖Σ α_i r_i‖², Σ α_i = 1, [B, n]: solved in differences r_i − r_{i+1} of unit length, newest first; from the
  /// first that depends on newer ones, all are left out.
  Tensor weights() const {
    const Tensor g = gram(), k = known();
    const std::int64_t m = size() - 1;
    if (m == 0) return torch::ones({g.size(0), 1}, g.options());
    const auto difference = [m](const Tensor& t, std::int64_t axis) { return t.narrow(axis, 0, m) - t.narrow(axis, 1, m); };
    const Tensor pair = k.narrow(1, 1, m), none = torch::zeros({}, g.options());
    const Tensor differences = torch::where(pair.unsqueeze(1) & pair.unsqueeze(2), difference(difference(g, 1), 2), none);
    const Tensor rhs = torch::where(pair, difference(g.select(1, 0), 1), none);
    const bool wide = r_[0].scalar_type() == torch::kFloat64;
    const Tensor gamma = gram_least_squares(differences, rhs, wide ? 1e-14 : 1e-9, wide ? 1e-13 : 1e-8);
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
    const Tensor shifted = torch::cat({alpha.narrow(1, 0, 1) - 1.0, alpha.narrow(1, 1, size() - 1)}, 1);
    if (beta == 1.0) return products_.combine(f_[0], f_, shifted);
    std::vector<Tensor> columns = f_;
    columns.insert(columns.end(), r_.begin(), r_.end());
    return products_.combine(f_[0], columns, torch::cat({shifted, alpha * (beta - 1.0)}, 1));
  }
  /// Σ α_i r_i, [B, D].
  Tensor residual(const Tensor& alpha) const {
    return products_.combine(r_[0], r_, torch::cat({alpha.narrow(1, 0, 1) - 1.0, alpha.narrow(1, 1, size() - 1)}, 1));
  }

 private:
  void write_newest(const Tensor& row) {
    gram_.select(1, 0).copy_(row);
    gram_.select(2, 0).copy_(row);
  }

  Products& products_;
  std::int64_t capacity_;
  std::vector<Tensor> r_, f_;  // [B, D], newest first
  Tensor gram_, length_;       // [B, n, n], [B] pairs known; float64
};

}  // namespace zstar
