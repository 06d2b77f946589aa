#pragma once
/// \file The bad Broyden update with a window of pairs, in compact form.

#include <vector>

#include <zstar/residual_window.hpp>
#include <zstar/sdk.hpp>

#include "kept.hpp"

namespace zstar_broyden {
namespace {

using torch::Tensor;

/// H ≈ (J − I)⁻¹ from pairs y_i = Δg and t_i = s_i + β y_i, oldest first, with H_0 = −β I, for each sample:
///
///   H = −β I + T N⁻¹ Yᵀ,   N the upper triangle of YᵀY with its diagonal.
///
/// The kept pairs give exactly the Broyden matrix of these pairs, whatever was forgotten.
/// \par Sources  Byrd, Nocedal & Schnabel, Math. Programming 63 (1994), doi:10.1007/BF01581269, section 7
class BadWindow {
 public:
  BadWindow(zstar::Products& products, std::int64_t memory, double beta, Kept kept)
      : products_(products), memory_(memory), beta_(beta), kept_(kept) {}

  void clear() {
    y_.clear(), t_.clear();
    n_ = use_ = Tensor();
  }
  void keep(const Tensor& rows) {
    for (auto* list : {&y_, &t_})
      for (Tensor& v : *list) v = v.index_select(0, rows);
    zstar::keep_rows({&n_, &use_}, rows);
  }
  /// Takes the pairs of these samples (bool [B]) out.
  void forget(const Tensor& samples) {
    if (use_.defined()) use_ = use_ & ~samples.to(use_.device()).unsqueeze(1);
  }
  /// Adds a pair; the oldest leaves when there are too many. \param usable  bool [B]: the samples that it says something about
  void add(const Tensor& s, const Tensor& y, const Tensor& usable);
  Tensor step(const Tensor& g) const { return through(g * beta_, g, -1.0); }   ///< −H g
  Tensor apply(const Tensor& v) const { return through(v * -beta_, v, 1.0); }  ///< H v
  Tensor apply_transpose(const Tensor& v) const;

 private:
  std::int64_t size() const { return static_cast<std::int64_t>(t_.size()); }
  /// base + sign · T N⁻¹ Yᵀ v.
  Tensor through(const Tensor& base, const Tensor& v, double sign) const;
  /// N⁻¹ x or N⁻ᵀ x over the pairs in use, 0 for the others; x [B, n].
  Tensor solve(const Tensor& x, bool transposed) const;

  zstar::Products& products_;
  std::int64_t memory_;
  double beta_;
  Kept kept_;
  std::vector<Tensor> y_, t_;  // [B, D], oldest first
  Tensor n_, use_;             // N, [B, n, n], float64; bool [B, n]
};

inline void BadWindow::add(const Tensor& s, const Tensor& y, const Tensor& usable) {
  std::int64_t before = size();
  if (before == memory_) {
    y_.erase(y_.begin()), t_.erase(t_.begin());
    n_ = n_.narrow(1, 1, before - 1).narrow(2, 1, before - 1), use_ = use_.narrow(1, 1, before - 1);
    --before;
  }
  y_.push_back(kept_(y)), t_.push_back(kept_(torch::add(s, y, beta_)));
  const Tensor column = products_.dots(y_, {y}).squeeze(2);  // [B, n]
  const Tensor wider = torch::zeros({column.size(0), before + 1, before + 1}, column.options());
  if (before > 0) wider.narrow(1, 0, before).narrow(2, 0, before).copy_(n_);
  wider.select(2, before).copy_(column);
  n_ = wider;
  const Tensor size2 = column.select(1, before);
  const double rounding = rounding_of(s);
  const Tensor good = (usable.to(size2.device()) & size2.isfinite() & (size2 > rounding * rounding * zstar::length2(products_, s))).unsqueeze(1);
  use_ = before > 0 ? torch::cat({use_, good}, 1) : good;
}

inline Tensor BadWindow::solve(const Tensor& x, bool transposed) const {
  const Tensor pairs = use_.unsqueeze(1) & use_.unsqueeze(2), none = torch::zeros({}, x.options());
  const Tensor n = torch::where(pairs, n_, torch::eye(n_.size(1), n_.options())), b = torch::where(use_, x, none).unsqueeze(2);
  const Tensor solution = torch::linalg_solve_triangular(transposed ? n.transpose(1, 2) : n, b, /*upper=*/!transposed).squeeze(2);
  return torch::where(use_ & solution.isfinite(), solution, none);
}

inline Tensor BadWindow::through(const Tensor& base, const Tensor& v, double sign) const {
  if (size() == 0) return base;
  return products_.combine(base, t_, solve(products_.dots(y_, {v}).squeeze(2), /*transposed=*/false) * sign);
}

inline Tensor BadWindow::apply_transpose(const Tensor& v) const {
  if (size() == 0) return v * -beta_;
  return products_.combine(v * -beta_, y_, solve(products_.dots(t_, {v}).squeeze(2), /*transposed=*/true));
}

}  // namespace
}  // namespace zstar_broyden
