#pragma once
/// \file Directions and what the Jacobian of g(z) = f(z) − z makes of them.

#include <zstar/residual_window.hpp>
#include <zstar/sdk.hpp>

namespace zstar_newton_krylov {
namespace {

using torch::Tensor;

/// Pairs v_i of unit length and w_i = A v_i, newest first, each known to some of the samples.
class Subspace {
 public:
  Subspace(zstar::Products& products, std::int64_t capacity) : products_(products), capacity_(capacity) {}

  void clear() { v_.clear(), w_.clear(), gram_ = known_ = Tensor(); }
  void keep(const Tensor& rows) {
    for (auto* list : {&v_, &w_})
      for (Tensor& t : *list) t = t.index_select(0, rows);
    zstar::keep_rows({&gram_, &known_}, rows);
  }
  bool empty() const { return v_.empty(); }
  const Tensor& newest_image() const { return w_[0]; }

  /// Adds a pair that the samples `known` (bool [B]) know. The oldest leaves when there are `capacity`.
  void push(const Tensor& v, const Tensor& w, const Tensor& known) {
    if (static_cast<std::int64_t>(v_.size()) == capacity_) v_.pop_back(), w_.pop_back();
    v_.insert(v_.begin(), v), w_.insert(w_.begin(), w);
    const auto n = static_cast<std::int64_t>(v_.size());
    const Tensor row = products_.dots({w}, w_).squeeze(1);
    const Tensor gram = torch::zeros({row.size(0), n, n}, row.options());
    if (n > 1) gram.narrow(1, 1, n - 1).narrow(2, 1, n - 1).copy_(gram_.narrow(1, 0, n - 1).narrow(2, 0, n - 1));
    gram.select(1, 0).copy_(row), gram.select(2, 0).copy_(row);
    gram_ = gram;
    known_ = n == 1 ? known.unsqueeze(1) : torch::cat({known.unsqueeze(1), known_.narrow(1, 0, n - 1)}, 1);
  }
  void forget(const Tensor& samples) {
    if (known_.defined()) known_ = known_ & ~samples.unsqueeze(1);
  }

  struct Fit {
    Tensor c;          ///< argmin ‖g + Σ c_i w_i‖², [B, n]
    Tensor residual2;  ///< that minimum, [B]
  };
  Fit fit(const Tensor& g, const Tensor& size2) const {
    const Tensor right = masked(products_.dots(w_, {g}).squeeze(2));
    const Tensor gram = torch::where(known_.unsqueeze(1) & known_.unsqueeze(2), gram_, torch::zeros({}, gram_.options()));
    const bool wide = g.scalar_type() == torch::kFloat64;
    const Tensor c = zstar::gram_least_squares(gram, -right, wide ? 1e-15 : 1e-10, wide ? 1e-13 : 1e-9);
    const Tensor quadratic = (c.unsqueeze(1).matmul(gram).squeeze(1) * c).sum(1);
    return {c, (size2 + 2 * (c * right).sum(1) + quadratic).clamp_min(0)};
  }

  /// −⟨v_i, x⟩ of the pairs known, [B, n]: x plus their combination is orthogonal to all v_i, up to rounding.
  Tensor projection(const Tensor& x) const { return masked(-products_.dots(v_, {x}).squeeze(2)); }
  /// base + Σ c_i v_i, base + Σ c_i w_i; [B, D].
  Tensor directions(const Tensor& base, const Tensor& c) const { return products_.combine(base, v_, c); }
  Tensor images(const Tensor& base, const Tensor& c) const { return products_.combine(base, w_, c); }

  /// H x, H = A⁻¹ on the span of the w_i and −I across it.
  Tensor inverse(const Tensor& x) const {
    if (empty()) return -x;
    const Tensor c = fit(x, zstar::length2(products_, x)).c;  // −(WᵀW)⁻¹ Wᵀ x
    return images(directions(-x, -c), -c);
  }
  /// Hᵀ x.
  Tensor inverse_transpose(const Tensor& x) const {
    if (empty()) return -x;
    const Tensor right = masked((products_.dots(v_, {x}) + products_.dots(w_, {x})).squeeze(2));
    const Tensor gram = torch::where(known_.unsqueeze(1) & known_.unsqueeze(2), gram_, torch::zeros({}, gram_.options()));
    const bool wide = x.scalar_type() == torch::kFloat64;
    return images(-x, zstar::gram_least_squares(gram, right, wide ? 1e-15 : 1e-10, wide ? 1e-13 : 1e-9));
  }

 private:
  Tensor masked(const Tensor& t) const { return torch::where(known_, t, torch::zeros({}, t.options())); }

  zstar::Products& products_;
  std::int64_t capacity_;
  std::vector<Tensor> v_, w_;  // [B, D], newest first
  Tensor gram_, known_;        // ⟨w_i, w_j⟩ [B, n, n], float64; bool [B, n]
};

}  // namespace
}  // namespace zstar_newton_krylov
