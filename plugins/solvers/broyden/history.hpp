#pragma once
/// \file The limited-memory inverse Jacobian of Broyden's methods in compact form.

#include <zstar/sdk.hpp>

namespace zstar_broyden {
namespace {

using torch::Tensor;

enum class Update { good, bad };

/// H ≈ (J − I)⁻¹ from pairs s_i = Δz, t_i = Δf (so y_i = Δg = t_i − s_i), with H_0 = −I, for each sample:
///
///   good: H = −I − T M⁻¹ Sᵀ,  M = N(S, S) − SᵀT      bad: H = −I + T M⁻¹ Yᵀ,  M = N(Y, Y)
///
/// N(A, B) is the upper triangle of AᵀB with its diagonal, in the order of age. The kept pairs give exactly the Broyden
/// matrix of these pairs, whatever was forgotten.
/// \par Sources  Byrd, Nocedal & Schnabel, Math. Programming 63 (1994), doi:10.1007/BF01581269, section 7
class History {
 public:
  History(zstar::Products& products, Update update, std::int64_t memory)
      : products_(products), update_(update), memory_(memory) {}

  void clear();
  void keep(const Tensor& rows);
  std::int64_t size() const { return static_cast<std::int64_t>(t_.size()); }

  /// Adds a pair. \param usable  bool [B]: the samples that it says something about
  void add(const Tensor& s, const Tensor& t, const Tensor& usable);
  /// Takes the pairs of these samples (bool [B]) out.
  void forget(const Tensor& samples);
  /// Σ_j c_j t_j with c = ±M⁻¹ Aᵀ v (A is S or Y): the image of v under H + I. Samples whose M is too ill-conditioned to be
  /// solved lose their pairs.
  Tensor apply_correction(const Tensor& base, const Tensor& v);
  Tensor apply(const Tensor& v);            ///< H v
  Tensor apply_transpose(const Tensor& v);  ///< Hᵀ v

 private:
  Tensor matrix() const;  ///< M for unit vectors, unused pairs replaced by the identity, [B, L, L]
  Tensor coefficients(const Tensor& right, bool transposed);

  zstar::Products& products_;
  Update update_;
  std::int64_t memory_, next_ = 0;
  std::vector<Tensor> a_, t_;   // S or Y, and T; each [B, D]; slots of a ring
  Tensor m_, use_;              // M, [B, L, L], float64; bool [B, L]
  Tensor scale_;                // 1/‖a_i‖, [B, L]: M is solved for vectors of unit length
};

inline void History::clear() {
  a_.clear(), t_.clear();
  m_ = use_ = scale_ = Tensor();
  next_ = 0;
}

inline void History::keep(const Tensor& rows) {
  for (auto* ring : {&a_, &t_})
    for (Tensor& v : *ring) v = v.index_select(0, rows);
  if (!m_.defined()) return;
  const Tensor small_rows = rows.to(m_.device());
  m_ = m_.index_select(0, small_rows);
  scale_ = scale_.index_select(0, small_rows);
  use_ = use_.index_select(0, small_rows);
}

inline void History::forget(const Tensor& samples) {
  if (use_.defined()) use_ = use_ & ~samples.to(use_.device()).unsqueeze(1);
}

inline void History::add(const Tensor& s, const Tensor& t, const Tensor& usable) {
  if (size() == memory_ && update_ == Update::good) clear();  // a window of the good update loses more than a restart
  if (size() < memory_) a_.emplace_back(), t_.emplace_back(), next_ = size() - 1;
  const auto slot = static_cast<std::size_t>(next_);
  a_[slot] = update_ == Update::good ? s : t - s;
  t_[slot] = t;
  const std::int64_t n = size();
  // Columns j of M belong to pair j; N keeps the products of an older with a newer vector only.
  Tensor column, row, size2;
  if (update_ == Update::good) {
    const Tensor with_s = products_.dots(a_, {s, t});                           // [B, n, 2]
    size2 = with_s.select(2, 0).select(1, next_);
    column = with_s.select(2, 0) - with_s.select(2, 1);
    row = -products_.dots({s}, t_).squeeze(1);
  } else {
    column = products_.dots(a_, {a_[slot]}).squeeze(2);
    row = torch::zeros_like(column);
    size2 = column.select(1, next_);
  }
  if (!m_.defined()) {
    m_ = torch::zeros({column.size(0), memory_, memory_}, column.options());
    use_ = torch::zeros({column.size(0), memory_}, column.options().dtype(torch::kBool));
    scale_ = torch::ones({column.size(0), memory_}, column.options());
  }
  m_.select(1, next_).narrow(1, 0, n).copy_(row);
  m_.select(2, next_).narrow(1, 0, n).copy_(column);
  const Tensor pivot = column.select(1, next_), good = usable.to(use_.device()) & pivot.isfinite() & pivot.ne(0) & (size2 > 0);
  use_.select(1, next_).copy_(good);
  scale_.select(1, next_).copy_(torch::where(good, size2.rsqrt(), torch::ones_like(size2)));
  next_ = (next_ + 1) % memory_;
}

inline Tensor History::matrix() const {
  const std::int64_t n = size();
  const Tensor s = scale_.narrow(1, 0, n), use = use_.narrow(1, 0, n);
  const Tensor m = m_.narrow(1, 0, n).narrow(2, 0, n) * s.unsqueeze(1) * s.unsqueeze(2);
  return torch::where(use.unsqueeze(1) & use.unsqueeze(2), m, torch::eye(n, m.options()));
}

inline Tensor History::coefficients(const Tensor& right, bool transposed) {
  const Tensor use = use_.narrow(1, 0, size());
  const Tensor s = scale_.narrow(1, 0, size());
  const Tensor m = matrix(), b = torch::where(use, right * s, torch::zeros({}, right.options()));
  const auto solution = zstar::solve_small(transposed ? m.transpose(1, 2) : m, b, /*max_condition=*/1e10);
  forget(~solution.ok);
  return torch::where(use, solution.x * s, torch::zeros({}, right.options()));
}

inline Tensor History::apply_correction(const Tensor& base, const Tensor& v) {
  if (size() == 0) return base;
  const Tensor c = coefficients(products_.dots(a_, {v}).squeeze(2), /*transposed=*/false);
  return products_.combine(base, t_, update_ == Update::good ? c : -c);
}

inline Tensor History::apply(const Tensor& v) { return -apply_correction(v, v); }

inline Tensor History::apply_transpose(const Tensor& v) {
  if (size() == 0) return -v;
  const Tensor c = coefficients(products_.dots(t_, {v}).squeeze(2), /*transposed=*/true);
  return -products_.combine(v, a_, update_ == Update::good ? c : -c);
}

}  // namespace
}  // namespace zstar_broyden
