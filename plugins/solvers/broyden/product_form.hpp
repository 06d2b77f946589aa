#pragma once
/// \file The good Broyden update in product form: one vector a step, one pass over them a step.

#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include <zstar/residual_window.hpp>
#include <zstar/sdk.hpp>

#include "kept.hpp"

namespace zstar_broyden {
namespace {

using torch::Tensor;

inline double choose(bool m, double a, double b) { return m ? a : b; }
inline Tensor choose(const Tensor& m, const Tensor& a, const Tensor& b) { return torch::where(m, a, b); }
inline bool finite(double x) { return std::isfinite(x); }
inline Tensor finite(const Tensor& x) { return x.isfinite(); }
inline double nothing(double) { return 0; }
inline Tensor nothing(const Tensor& x) { return torch::zeros_like(x); }
inline double magnitude(double x) { return std::abs(x); }
inline Tensor magnitude(const Tensor& x) { return x.abs(); }

/// H ≈ (J − I)⁻¹, H_0 = −β I, for each sample: H_{k+1} = (I + c_k l_k r_kᵀ) H_k with r_k = s_k = z_{k+1} − z_k and
/// c_k l_k = (s_k − H_k y_k) / (s_kᵀ H_k y_k), y_k = Δg.
///
/// After a full step s_k = −H_k g_k the vector l_k is the next step itself, up to a factor, so that one vector a step is all
/// that is remembered (Kelley 1995, section 7.3); H v is one pass over them. After any other step l_k is formed and kept.
/// No system is solved, and the form is as accurate after 200 pairs as after two. When it is full, the newest pair alone stays.
/// A pair whose sᵀ H y is what rounding leaves where g does not change, or tiny beside ‖s‖ ‖H y‖, is left out.
class ProductForm {
 public:
  struct Before {
    const Tensor &z, &fz;
  };
  ProductForm(zstar::Products& products, std::int64_t memory, double beta, Kept kept)
      : products_(products), memory_(memory), beta_(beta), kept_(kept) {}

  void clear() {
    left_.clear(), right_.clear();
    c_ = direction_ = remembered_ = alpha_ = size2_ = stale_ = Tensor();
  }
  void keep(const Tensor& rows);
  /// These samples (bool [B]) forget all pairs; their step is a plain one: β (fz − z).
  void forget(const Tensor& samples, const Tensor& z, const Tensor& fz);

  /// Learns from the step to z, whose image is fz, and makes the step from there.
  /// \param before  where the last step began, and its image \param proposed  where it should have led
  void advance(const Tensor& z, const Tensor& fz, const Before& before, const Tensor& proposed);
  /// The same where the step is any part of the last one. \param usable  bool [B]; the other samples learn nothing, and keep their step
  void advance_by_part(const Tensor& z, const Tensor& fz, const Before& before, const Tensor& usable);
  /// −H g of the last iterate, [B, D].
  Tensor step() const { return direction_ * alpha_.unsqueeze(1).to(direction_.device(), direction_.scalar_type()); }
  /// z + step.
  Tensor stepped(const Tensor& z) const { return products_.combine(z, {direction_}, alpha_.unsqueeze(1)); }

  Tensor apply(const Tensor& v) const { return run(v, {}, left_, right_, c_).v * -beta_; }
  Tensor apply_transpose(const Tensor& v) const {
    const std::vector<Tensor> l(right_.rbegin(), right_.rend()), r(left_.rbegin(), left_.rend());
    return run(v, {}, l, r, c_.defined() ? c_.flip(1) : c_).v * -beta_;
  }

 private:
  zstar::ChainResult run(const Tensor& a, const Tensor& b, const std::vector<Tensor>& l, const std::vector<Tensor>& r, const Tensor& c) const {
    return products_.chain(a, b, l, r, l.empty() ? Tensor() : c, Tensor());
  }
  /// Whether a pair says anything of J. \param pivot, ss, image2  sᵀ H y, ⟨s, s⟩, ⟨H y, H y⟩, the first and the last with the rounding of H g
  template <class X>
  auto tells(const X& pivot, const X& ss, const X& image2) const {
    return finite(pivot) & (magnitude(pivot) > rounding_ * ss) & (pivot * pivot > 1e-16 * ss * image2);
  }
  /// Step and factor after a full step. Scalars of one sample, or the same of all samples as [B].
  /// \param alpha, dd  the last step is α d, dd = ⟨d, d⟩ \param dv, vv  ⟨d, v⟩, ⟨v, v⟩, where H g = −β v \return α of d = v; c
  template <class X, class M>
  std::pair<X, X> full_step(const X& alpha, const X& dd, const X& dv, const X& vv, const M& moved) const {
    const X ss = alpha * alpha * dd, sh = -beta_ * alpha * dv, pivot = sh + ss, image2 = beta_ * beta_ * vv + 2.0 * sh + ss;
    const M usable = moved & tells(pivot, ss, image2);
    const X next = choose(usable, beta_ * ss / pivot, nothing(ss) + beta_);
    return {next, choose(usable, next / (alpha * dd), nothing(ss))};
  }
  void restart(const Tensor& z, const Tensor& fz);
  bool is_full() const { return static_cast<std::int64_t>(left_.size()) == memory_; }
  void renew(const Tensor& z, const Tensor& fz, const Before& before, const Tensor& usable);
  void full(const zstar::ChainResult& r, const Tensor& moved);
  void append(const Tensor& c);
  /// Takes d as the direction; what is remembered of it later is made once, so that all who keep it share it.
  void direct(const Tensor& d) { direction_ = d, remembered_ = kept_(d); }
  static Tensor moved_as_proposed(const Tensor& z, const Tensor& before, const Tensor& proposed);

  zstar::Products& products_;
  std::int64_t memory_;
  double beta_, rounding_ = 0;  // rounding_: of sᵀ H y, relative to ⟨s, s⟩
  Kept kept_;
  std::vector<Tensor> left_, right_;   // l_k, r_k, [B, D]
  Tensor c_;                           // [B, pairs], float64; 0: the sample does not know the pair
  Tensor direction_, alpha_, size2_;   // the step is α d: d [B, D], α [B], ⟨d, d⟩ [B]
  Tensor remembered_;                  // d as it is kept
  Tensor stale_;                       // bool [B]: the step is not −H g; undefined: it is for all
};

inline void ProductForm::keep(const Tensor& rows) {
  // l_k may be r_{k+1}, and stays the same tensor.
  const bool one = direction_.defined() && remembered_.is_same(direction_);
  for (std::size_t k = 0; k < left_.size(); ++k) {
    const bool shared = left_[k].is_same(k + 1 < right_.size() ? right_[k + 1] : remembered_);
    right_[k] = right_[k].index_select(0, rows);
    if (k > 0 && !left_[k - 1].defined()) left_[k - 1] = right_[k];
    left_[k] = shared ? Tensor() : left_[k].index_select(0, rows);
  }
  zstar::keep_rows({&c_, &direction_, &alpha_, &size2_, &stale_}, rows);
  if (one) remembered_ = direction_;
  else zstar::keep_rows({&remembered_}, rows);
  if (!left_.empty() && !left_.back().defined()) left_.back() = remembered_;
}

inline void ProductForm::forget(const Tensor& samples, const Tensor& z, const Tensor& fz) {
  const Tensor g = fz - z, m = samples.to(alpha_.device());
  if (c_.defined()) c_ = c_.masked_fill(m.unsqueeze(1), 0);
  direct(zstar::pick(samples.to(g.device()), g, direction_));
  alpha_ = alpha_.masked_fill(m, beta_);
  size2_ = torch::where(m, zstar::length2(products_, g), size2_);
}

inline void ProductForm::append(const Tensor& c) {
  if (!c_.defined() || !c.is_cpu()) {
    c_ = c_.defined() ? torch::cat({c_, c.unsqueeze(1)}, 1) : c.unsqueeze(1);
    return;
  }
  const std::int64_t batch = c_.size(0), n = c_.size(1);
  const Tensor longer = torch::empty({batch, n + 1}, c_.options());
  const double *from = c_.data_ptr<double>(), *last = c.data_ptr<double>();
  double* to = longer.data_ptr<double>();
  for (std::int64_t b = 0; b < batch; ++b) {
    std::copy_n(from + b * n, n, to + b * (n + 1));
    to[b * (n + 1) + n] = last[b];
  }
  c_ = longer;
}

inline void ProductForm::restart(const Tensor& z, const Tensor& fz) {
  clear();
  rounding_ = rounding_of(z);
  const auto r = run(fz, z, {}, {}, {});
  direct(r.v);
  size2_ = r.dots.select(1, 0).contiguous();
  alpha_ = torch::full_like(size2_, beta_);
}

/// Forgets all pairs but the one from `before` to z: to begin with a plain step instead costs, on a stiff map, as many evaluations again as
/// the pairs had saved. \param usable  bool [B]: the samples that the pair says something about
inline void ProductForm::renew(const Tensor& z, const Tensor& fz, const Before& before, const Tensor& usable) {
  clear();
  const Tensor s = z - before.z, y = (fz - before.fz) - s;
  const Tensor dots = products_.dots({s, y}, {s, y});  // [B, 2, 2]
  const auto dot = [&dots](std::int64_t i, std::int64_t j) { return dots.select(1, i).select(1, j); };
  const Tensor pivot = -beta_ * dot(0, 1);  // sᵀ H y
  const Tensor good = usable.to(pivot.device()) & tells(pivot, dot(0, 0), beta_ * beta_ * dot(1, 1));
  right_.push_back(kept_(s)), left_.push_back(kept_(torch::add(s, y, beta_)));  // s − H y, H = −β I
  append(torch::where(good, pivot.reciprocal(), torch::zeros_like(pivot)));
  const auto r = run(fz, z, left_, right_, c_);
  direct(r.v);
  size2_ = r.dots.select(1, r.dots.size(1) - 1).contiguous();
  alpha_ = torch::full_like(size2_, beta_);
}

/// bool [B] where each sample stands where it was sent, or where it was before; undefined where one stands elsewhere.
inline Tensor ProductForm::moved_as_proposed(const Tensor& z, const Tensor& before, const Tensor& proposed) {
  const auto options = torch::TensorOptions(torch::kBool);
  if (z.is_same(proposed)) return torch::ones({z.size(0)}, options.device(z.device()));
  if (!z.is_cpu() || !z.is_contiguous() || !before.is_contiguous() || !proposed.is_contiguous()) return {};
  const Tensor moved = torch::empty({z.size(0)}, options);
  const std::size_t bytes = static_cast<std::size_t>(z.size(1)) * z.element_size();
  const auto row = [bytes](const Tensor& t, std::int64_t b) { return static_cast<const char*>(t.data_ptr()) + static_cast<std::size_t>(b) * bytes; };
  for (std::int64_t b = 0; b < z.size(0); ++b) {
    const bool as_sent = std::memcmp(row(z, b), row(proposed, b), bytes) == 0;
    if (!as_sent && std::memcmp(row(z, b), row(before, b), bytes) != 0) return {};
    moved.data_ptr<bool>()[b] = as_sent;
  }
  return moved;
}

inline void ProductForm::advance(const Tensor& z, const Tensor& fz, const Before& before, const Tensor& proposed) {
  if (!direction_.defined()) return restart(z, fz);
  const Tensor moved = moved_as_proposed(z, before.z, proposed);
  if (moved.defined() && is_full()) return renew(z, fz, before, moved);
  if (!moved.defined()) return advance_by_part(z, fz, before, torch::ones({z.size(0)}, torch::TensorOptions(torch::kBool).device(z.device())));
  right_.push_back(remembered_);
  const auto r = run(fz, z, left_, right_, c_);
  full(r, moved.to(alpha_.device()));
  direct(r.v);
  left_.push_back(remembered_);
}

inline void ProductForm::full(const zstar::ChainResult& r, const Tensor& moved) {
  const std::int64_t columns = r.dots.size(1), batch = r.dots.size(0);
  if (!r.dots.is_cpu()) {
    const Tensor vv = r.dots.select(1, columns - 1);
    const auto [alpha, c] = full_step(alpha_, size2_, r.dots.select(1, columns - 2), vv, moved);
    append(c);
    alpha_ = alpha, size2_ = vv;
    return;
  }
  const Tensor alpha = torch::empty_like(alpha_), c = torch::empty_like(alpha_), size2 = torch::empty_like(alpha_);
  const double* dots = r.dots.data_ptr<double>();
  for (std::int64_t b = 0; b < batch; ++b) {
    const double dv = dots[b * columns + columns - 2], vv = dots[b * columns + columns - 1];
    const auto [a, factor] = full_step(alpha_.data_ptr<double>()[b], size2_.data_ptr<double>()[b], dv, vv, moved.data_ptr<bool>()[b]);
    alpha.data_ptr<double>()[b] = a, c.data_ptr<double>()[b] = factor, size2.data_ptr<double>()[b] = vv;
  }
  append(c);
  alpha_ = alpha, size2_ = size2;
}

inline void ProductForm::advance_by_part(const Tensor& z, const Tensor& fz, const Before& before, const Tensor& usable) {
  if (!direction_.defined()) return restart(z, fz);
  if (is_full()) {
    const Tensor d = direction_, alpha = alpha_, size2 = size2_, m = usable.to(alpha.device());
    renew(z, fz, before, usable);  // the others keep a step that is no longer −H g
    stale_ = ~m;
    direct(zstar::pick(usable.to(d.device()), direction_, d));
    alpha_ = torch::where(m, alpha_, alpha), size2_ = torch::where(m, size2_, size2);
    return;
  }
  const Tensor s = z - before.z, p = step();
  right_.push_back(kept_(s));
  const Tensor v = run(fz, z, left_, right_, c_).v;  // H g = −β v
  const Tensor dots = products_.dots({s, v, p}, {s, v, p});
  const auto dot = [&dots](std::int64_t i, std::int64_t j) { return dots.select(1, i).select(1, j); };
  const Tensor sh = -beta_ * dot(0, 1), pivot = sh + dot(0, 2);  // sᵀ H y with H y = −β v + p
  const Tensor image2 = beta_ * beta_ * dot(1, 1) - 2 * beta_ * dot(1, 2) + dot(2, 2);
  const Tensor m = usable.to(pivot.device()), fresh = stale_.defined() ? m & ~stale_ : m;
  if (stale_.defined()) stale_ = stale_ & ~m;
  const Tensor good = fresh & tells(pivot, dot(0, 0), image2);
  const Tensor none = torch::zeros_like(pivot), ones = torch::ones_like(pivot);
  const Tensor left = products_.combine(s, {v, p}, torch::stack({ones * beta_, -ones}, 1));  // s − H y
  const Tensor next = products_.combine(v, {v, left}, torch::stack({ones * (beta_ - 1), torch::where(good, -sh / pivot, none)}, 1));
  left_.push_back(kept_(left));
  append(torch::where(good, pivot.reciprocal(), none));
  direct(zstar::pick(usable.to(next.device()), next, direction_));
  alpha_ = torch::where(m, ones, alpha_);
  size2_ = torch::where(m, zstar::length2(products_, next), size2_);
}

}  // namespace
}  // namespace zstar_broyden
