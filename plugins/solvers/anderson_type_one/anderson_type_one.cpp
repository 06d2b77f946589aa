/// \file Anderson acceleration of type I, safeguarded. Equations and sources: README.md.
#include <zstar/mixed.hpp>
#include <zstar/safeguarded.hpp>
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

/// Anderson acceleration that approximates the Jacobian, not its inverse. With g = f(z) − z, s_i = Δz, y_i = Δg:
///
///   γ = (SᵀY)⁻¹ Sᵀ g,   z⁺ = f(z) − (S + Y) γ
///
/// A sample takes the plain step instead where its system is ill-conditioned (then it also forgets) or where
/// ‖g‖ > D ‖g_0‖ (n + 1)^−(1+ε), n the accelerated steps it has made.
///
/// \par Cost per iteration  5 m + 6 passes over the state; no evaluation of f of its own
/// \par Converges  for every nonexpansive map, with the safeguard (Zhang, O'Donoghue & Boyd 2020, for its regularised form)
class AndersonTypeOne final : public zstar::Safeguarded {
 public:
  struct Options {
    std::int64_t memory = 5;
    double condition = 1e8, safeguard = 1e3, decay = 1e-6, beta = 0.5, growth = 4.0;
  };
  static auto options() {
    return std::tuple{
        zstar::opt("memory", &Options::memory, "m, pairs (Δz, Δg) kept", zstar::at_least(1)),
        zstar::opt("condition", &Options::condition, "largest ratio of pivots of SᵀY, for unit vectors", zstar::above(1.0)),
        zstar::opt("safeguard", &Options::safeguard, "D of the safeguard", zstar::above(0.0)),
        zstar::opt("decay", &Options::decay, "ε of the safeguard", zstar::above(0.0)),
        zstar::opt("beta", &Options::beta, "β, mixing of the steps that the safeguard makes", zstar::within(0.0, 1.0)),
        zstar::growth_option<Options>()};
  }
  AndersonTypeOne(const Options& o, zstar::Host& host)
      : Safeguarded(host.products(), o.growth, {.accelerates = true, .expansive = true}), o_(o) {}

  void begin(std::int64_t batch, std::int64_t width) override {
    Safeguarded::begin(batch, width);
    s_.clear(), y_.clear();
    z_ = g_ = cross_ = scale_ = known_ = first2_ = steps_ = Tensor();
  }
  void keep(const Tensor& rows) override {
    Safeguarded::keep(rows);
    for (auto* list : {&s_, &y_})
      for (Tensor& t : *list) t = t.index_select(0, rows);
    zstar::keep_rows({&z_, &g_, &cross_, &scale_, &known_, &first2_, &steps_}, rows);
  }

 private:
  Tensor step(const Tensor& z, const Tensor& fz, const Tensor& g, const Tensor& failed) override {
    if (z_.defined()) push(z - z_, g - g_);
    z_ = z, g_ = g;
    if (s_.empty()) {
      first2_ = zstar::length2(products_, g), steps_ = torch::zeros_like(first2_);
      return fz;
    }
    Tensor gamma = coefficients(g);  // [B, n]
    const Tensor bound = o_.safeguard * first2_.sqrt() * (steps_ + 1).pow(-1 - o_.decay);
    const Tensor trusted = zstar::length2(products_, g).sqrt() <= bound;
    steps_ = steps_ + (trusted & ~failed).to(steps_.scalar_type());
    gamma = torch::where(trusted.unsqueeze(1), gamma, torch::zeros_like(gamma));
    std::vector<Tensor> columns = s_;
    columns.insert(columns.end(), y_.begin(), y_.end());
    const Tensor next = products_.combine(fz, columns, torch::cat({-gamma, -gamma}, 1));
    known_ = known_ & ~failed.unsqueeze(1);
    return zstar::pick(trusted, next, zstar::mixed(z, fz, o_.beta));
  }

  /// Adds a pair, newest first, with its row and column of SᵀY.
  void push(const Tensor& s, const Tensor& y) {
    if (static_cast<std::int64_t>(s_.size()) == o_.memory) s_.pop_back(), y_.pop_back();
    s_.insert(s_.begin(), s), y_.insert(y_.begin(), y);
    const auto n = static_cast<std::int64_t>(s_.size());
    const Tensor row = products_.dots({s}, y_).squeeze(1), column = products_.dots(s_, {y}).squeeze(2);
    const Tensor size2 = torch::stack({zstar::length2(products_, s), zstar::length2(products_, y)}, 1);  // [B, 2]
    const Tensor usable = size2.isfinite().all(1) & (size2 > 0).all(1);
    const Tensor cross = torch::zeros({row.size(0), n, n}, row.options());
    if (n > 1) cross.narrow(1, 1, n - 1).narrow(2, 1, n - 1).copy_(cross_.narrow(1, 0, n - 1).narrow(2, 0, n - 1));
    cross.select(1, 0).copy_(row), cross.select(2, 0).copy_(column);
    cross_ = cross;
    const Tensor scale = torch::where(usable.unsqueeze(1), size2.rsqrt(), torch::ones_like(size2)).unsqueeze(1);
    scale_ = n == 1 ? scale : torch::cat({scale, scale_.narrow(1, 0, n - 1)}, 1);                        // [B, n, 2]
    known_ = n == 1 ? usable.unsqueeze(1) : torch::cat({usable.unsqueeze(1), known_.narrow(1, 0, n - 1)}, 1);
  }

  /// γ = (SᵀY)⁻¹ Sᵀ g for vectors of unit length; zero, and nothing known any more, where that cannot be solved.
  Tensor coefficients(const Tensor& g) {
    const std::int64_t n = cross_.size(1);
    const Tensor a = scale_.select(2, 0), b = scale_.select(2, 1), none = torch::zeros({}, cross_.options());
    const Tensor both = known_.unsqueeze(1) & known_.unsqueeze(2);
    const Tensor m = torch::where(both, cross_ * a.unsqueeze(2) * b.unsqueeze(1), torch::eye(n, cross_.options()));
    const Tensor rhs = torch::where(known_, products_.dots(s_, {g}).squeeze(2) * a, none);
    const auto solution = zstar::solve_small(m, rhs, o_.condition);
    const Tensor gamma = torch::where(known_, solution.x * b, none);
    known_ = known_ & solution.ok.unsqueeze(1);
    return gamma;
  }

  Options o_;
  std::vector<Tensor> s_, y_;        // Δz and Δg, [B, D], newest first
  Tensor z_, g_;                     // the last iterate and its residual
  Tensor cross_, scale_, known_;     // ⟨s_i, y_j⟩ [B, n, n]; 1/‖s_i‖, 1/‖y_i‖ [B, n, 2]; bool [B, n]
  Tensor first2_, steps_;            // ‖g_0‖², accelerated steps; [B]
};

}  // namespace

ZSTAR_PLUGIN("zstar.anderson-type-one", "0.1.0", "Anderson acceleration, type I")
ZSTAR_SOLVER(AndersonTypeOne, "anderson_type_one", "Anderson acceleration, type I, with a safeguard for each sample")
