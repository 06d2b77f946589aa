#pragma once
/// \file Residuals and images remembered as differences in bfloat16.

#include <limits>
#include <utility>
#include <vector>

#include <zstar/residual_window.hpp>
#include <zstar/sdk.hpp>

namespace zstar_anderson {
namespace {

/// As zstar::ResidualWindow, with half the memory: beside the newest residual and image stand the differences
///
///   ΔR_j = r_{k−j} − r_{k−j−1},  ΔF_j = f_{k−j} − f_{k−j−1}
///
/// in bfloat16. An error of 2⁻⁹ of a difference is an error of the step alone: it falls with the steps, where an image that
/// is rounded itself would hold the residual at 2⁻⁹ for ever. The inner products are those of the rounded differences.
class NarrowWindow {
 public:
  NarrowWindow(zstar::Products& products, std::int64_t capacity) : products_(products), capacity_(capacity) {}

  void clear() {
    dr_.clear(), df_.clear();
    r_ = f_ = gram_ = right_ = size2_ = length_ = Tensor();
  }
  void keep(const Tensor& rows) {
    for (auto* list : {&dr_, &df_})
      for (Tensor& t : *list) t = t.index_select(0, rows);
    zstar::keep_rows({&r_, &f_, &gram_, &right_, &size2_, &length_}, rows);
  }
  /// Residuals that can be told from one another: one more than there are differences.
  std::int64_t size() const { return pairs() + 1; }
  void push(const Tensor& z, const Tensor& fz);
  void limit(const Tensor& lengths) { length_ = torch::minimum(length_, lengths); }

  const Tensor& length() const { return length_; }
  Tensor known() const { return torch::arange(size(), length_.options()).unsqueeze(0) < length_.unsqueeze(1); }
  /// ⟨r_i, r_j⟩ of r_i = r_k − Σ_{l<i} ΔR_l, [B, n, n]; zero for those that the sample does not know.
  Tensor gram() const {
    const Tensor k = known(), sums = torch::constant_pad_nd(right_.cumsum(1), {1, 0}), corner = torch::constant_pad_nd(gram_.cumsum(1).cumsum(2), {1, 0, 1, 0});
    const Tensor all = size2_.view({-1, 1, 1}) - sums.unsqueeze(1) - sums.unsqueeze(2) + corner;
    return torch::where(k.unsqueeze(1) & k.unsqueeze(2), all, torch::zeros({}, all.options())).contiguous();
  }
  Tensor raw_gram() const { return gram(); }
  /// α as ResidualWindow::weights; differences are only told apart as far as they are exact.
  Tensor weights(double ridge) const {
    if (pairs() == 0) return torch::ones({size2_.size(0), 1}, size2_.options());
    const Tensor p = known().narrow(1, 1, pairs()), none = torch::zeros({}, gram_.options());
    const Tensor gamma = zstar::gram_least_squares(torch::where(p.unsqueeze(1) & p.unsqueeze(2), gram_, none), torch::where(p, right_, none),
                                                   ridge < 0 ? 1e-9 : ridge, /*drop=*/1e-5);
    const Tensor after = torch::constant_pad_nd(gamma, {1, 0}, 1.0), before = torch::constant_pad_nd(gamma, {0, 1});
    return after - before;
  }
  /// Σ α_i (z_i + β r_i) = f_k − ΔF γ + (β − 1) (r_k − ΔR γ), γ_j = Σ_{i>j} α_i. \param beta  a number, or one of each sample, [B]
  Tensor combined(const Tensor& alpha, double beta) const { return beta == 1.0 ? less(f_, df_, alpha) : less(f_, df_, alpha) + (beta - 1.0) * less(r_, dr_, alpha); }
  Tensor combined(const Tensor& alpha, const Tensor& beta) const {
    return less(f_, df_, alpha) + (beta - 1.0).unsqueeze(1).to(r_.scalar_type()) * less(r_, dr_, alpha);
  }

 private:
  std::int64_t pairs() const { return static_cast<std::int64_t>(dr_.size()); }
  Tensor less(const Tensor& newest, const std::vector<Tensor>& differences, const Tensor& alpha) const {
    if (differences.empty()) return newest;
    const Tensor gamma = 1.0 - alpha.cumsum(1).narrow(1, 0, pairs()), p = known().narrow(1, 1, pairs());
    return products_.combine(newest, differences, torch::where(p, -gamma, torch::zeros({}, gamma.options())));
  }

  zstar::Products& products_;
  std::int64_t capacity_;
  std::vector<Tensor> dr_, df_;  // [B, D], newest first
  Tensor r_, f_;                 // the newest, [B, D]
  Tensor gram_, right_, size2_;  // ⟨ΔR_i, ΔR_j⟩ [B, p, p], ⟨ΔR_j, r_k⟩ [B, p], ⟨r_k, r_k⟩ [B]; float64
  Tensor length_;                // residuals that a sample knows, [B], float64
};

inline void NarrowWindow::push(const Tensor& z, const Tensor& fz) {
  const Tensor r = fz - z, size2 = zstar::length2(products_, r);
  const bool first = !r_.defined();
  if (!first) {
    if (size() == capacity_) dr_.pop_back(), df_.pop_back();
    dr_.insert(dr_.begin(), (r - r_).to(torch::kBFloat16)), df_.insert(df_.begin(), (fz - f_).to(torch::kBFloat16));
  }
  const std::int64_t p = pairs(), kept = p - 1;
  const Tensor gram = torch::zeros({r.size(0), p, p}, size2.options());
  if (p > 0) {
    const Tensor rows = products_.dots(dr_, {dr_.front().to(r.scalar_type()), r});  // [B, p, 2]
    if (kept > 0) gram.narrow(1, 1, kept).narrow(2, 1, kept).copy_(gram_.narrow(1, 0, kept).narrow(2, 0, kept));
    gram.select(1, 0).copy_(rows.select(2, 0));
    gram.select(2, 0).copy_(rows.select(2, 0));
    right_ = rows.select(2, 1);
  } else {
    right_ = torch::zeros({r.size(0), 0}, size2.options());
  }
  gram_ = gram, size2_ = size2, r_ = r, f_ = fz;
  length_ = first ? torch::ones_like(size2) : (length_ + 1).clamp_max(static_cast<double>(size()));
}

}  // namespace
}  // namespace zstar_anderson
