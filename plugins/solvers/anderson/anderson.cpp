/// \file Anderson acceleration (type II) of z = f(z). Equations, symbols and sources: README.md.
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

/// Combines the last m + 1 iterates so that the combined residual is least, for each sample on its own:
///
///   γ = argmin ‖r_k − Σ_j γ_j (r_{k−j} − r_{k−j−1})‖²,   z_{k+1} = Σ_i α_i (z_i + β r_i),
///   α_k = 1 − γ_0, α_{k−j} = γ_{j−1} − γ_j, α_{k−m} = γ_{m−1}.
///
/// The small problem is solved in float64 from inner products, newest difference first, on columns of unit length; the
/// oldest columns are dropped where they depend on newer ones. A sample whose residual exceeds `growth` times its best
/// starts again from the best of its history.
///
/// \par Cost per iteration  2 (m + 1) + 4 passes over the state; no evaluation of f of its own
/// \par Converges  if f is a contraction (Toth & Kelley 2015); on an affine map with m ≥ D in D + 1 iterations
class Anderson final : public zstar::Solver {
 public:
  struct Options {
    std::int64_t memory = 5;
    double beta = 1.0;
    std::optional<double> lambda;
    double growth = 2.0;
  };
  static auto options() {
    return std::tuple{
        zstar::opt("memory", &Options::memory, "m, residual differences kept", zstar::at_least(1)),
        zstar::opt("beta", &Options::beta, "β, mixing; 1 is undamped", zstar::within(0.0, 2.0)),
        zstar::opt("lambda", &Options::lambda,
                   "λ, ridge relative to unit columns; unset: 1e-14 for float64 states, 1e-9 below", zstar::at_least(0.0)),
        zstar::opt("growth", &Options::growth,
                   "a sample whose residual exceeds this many times its best starts again from there", zstar::above(1.0))};
  }
  Anderson(const Options& o, zstar::Host& host) : o_(o), products_(host.products()) {}

  void begin(std::int64_t /*batch*/, std::int64_t /*width*/) override {
    r_.clear(), f_.clear();
    gram_ = length_ = best_ = Tensor();
    next_ = 0;
  }

  void keep(const Tensor& rows) override {
    for (auto* history : {&r_, &f_})
      for (Tensor& t : *history) t = t.index_select(0, rows);
    for (Tensor* t : {&gram_, &length_, &best_}) *t = t->index_select(0, rows.to(t->device()));
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    remember(fz - z, fz);
    const auto n = static_cast<std::int64_t>(r_.size());
    if (n == 1) return o_.beta == 1.0 ? fz : torch::lerp(z, fz, o_.beta);
    const Tensor alpha = weights(n, z.scalar_type());  // [B, n] by slot
    if (o_.beta == 1.0) return combine(fz, f_, alpha);
    std::vector<Tensor> columns = f_;
    columns.insert(columns.end(), r_.begin(), r_.end());
    return combine(fz, columns, torch::cat({alpha, alpha * (o_.beta - 1.0)}, 1));
  }

 private:
  /// Puts r and f in the ring and the inner products of r in the Gram matrix.
  void remember(Tensor r, const Tensor& f) {
    const auto capacity = static_cast<std::size_t>(o_.memory) + 1;
    slot_ = next_;
    next_ = (next_ + 1) % static_cast<std::int64_t>(capacity);
    if (r_.size() < capacity) r_.emplace_back(), f_.emplace_back();
    r_[static_cast<std::size_t>(slot_)] = std::move(r);
    f_[static_cast<std::size_t>(slot_)] = f;
    const Tensor& newest = r_[static_cast<std::size_t>(slot_)];
    const Tensor row = products_.dots(r_, {newest}).squeeze(2);  // [B, n]
    const auto n = static_cast<std::int64_t>(r_.size()), width = static_cast<std::int64_t>(capacity);
    if (!gram_.defined()) {
      gram_ = torch::zeros({row.size(0), width, width}, row.options());
      length_ = torch::zeros({row.size(0)}, row.options());
      best_ = torch::full({row.size(0)}, INFINITY, row.options());
    }
    gram_.select(1, slot_).narrow(1, 0, n).copy_(row);
    gram_.select(2, slot_).narrow(1, 0, n).copy_(row);
    length_.add_(1).clamp_max_(static_cast<double>(n));
  }

  /// α by slot, [B, n].
  Tensor weights(std::int64_t n, torch::ScalarType dtype) {
    std::vector<std::int64_t> order;  // slots, newest first
    const std::int64_t capacity = o_.memory + 1;
    for (std::int64_t age = 0; age < n; ++age) order.push_back((slot_ - age + capacity) % capacity);
    const Tensor index = torch::tensor(order, torch::kInt64).to(gram_.device());
    const Tensor g = gram_.index_select(1, index).index_select(2, index);  // [B, n, n], newest first
    const Tensor size2 = g.diagonal(0, 1, 2);
    const Tensor age = torch::arange(n, g.options()).unsqueeze(0);
    const Tensor known = age < length_.unsqueeze(1);  // [B, n]

    const auto difference = [](const Tensor& t, std::int64_t axis) {
      const std::int64_t k = t.size(axis) - 1;
      return t.narrow(axis, 0, k) - t.narrow(axis, 1, k);
    };
    const Tensor pair = known.narrow(1, 1, n - 1);  // difference j needs iterate j + 1
    const Tensor none = torch::zeros({}, g.options());
    const Tensor k = torch::where(pair.unsqueeze(1) & pair.unsqueeze(2), difference(difference(g, 1), 2), none);
    const Tensor rhs = torch::where(pair, difference(g.select(1, 0), 1), none);
    const bool wide = dtype == torch::kFloat64;
    const Tensor gamma = zstar::gram_least_squares(k, rhs, o_.lambda.value_or(wide ? 1e-14 : 1e-9), wide ? 1e-13 : 1e-8);

    const Tensor zero = torch::zeros({gamma.size(0), 1}, gamma.options());
    Tensor alpha = torch::cat({zero, gamma}, 1) - torch::cat({gamma, zero}, 1);
    alpha.select(1, 0).add_(1.0);
    alpha = restarted(alpha, torch::where(known, size2, torch::full({}, INFINITY, g.options())));
    return torch::empty_like(alpha).index_copy_(1, index, alpha);
  }

  /// Samples that grew too far, or whose weights are wild, take their best iterate instead and forget the rest.
  Tensor restarted(const Tensor& alpha, const Tensor& size2) {
    best_ = torch::minimum(best_, size2.select(1, 0));
    const Tensor wild = ~(alpha.abs().amax(1) <= 1e4);
    const Tensor restart = (size2.select(1, 0) > o_.growth * o_.growth * best_) | wild;
    length_.masked_fill_(restart, 0);
    const Tensor best = torch::zeros_like(alpha).scatter_(1, size2.argmin(1, /*keepdim=*/true), 1.0);
    return torch::where(restart.unsqueeze(1), best, alpha);
  }

  /// Σ_i α_i columns_i, where the columns begin with the images in slot order; `newest` is the one in slot_.
  Tensor combine(const Tensor& newest, const std::vector<Tensor>& columns, Tensor alpha) {
    alpha.select(1, slot_).sub_(1.0);
    return products_.combine(newest, columns, alpha);
  }

  Options o_;
  zstar::Products& products_;
  std::vector<Tensor> r_, f_;        // rings of [B, D]: residuals and images
  Tensor gram_, length_, best_;      // [B, m + 1, m + 1], [B] residuals known, [B] least ‖r‖²; float64
  std::int64_t next_ = 0, slot_ = 0;
};

}  // namespace

ZSTAR_PLUGIN("zstar.anderson", "0.1.0", "Anderson acceleration")
ZSTAR_SOLVER(Anderson, "anderson", "Anderson acceleration, type II, each sample on its own")
