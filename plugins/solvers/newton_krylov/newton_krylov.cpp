/// \file Newton–Krylov and chord iteration. Equations and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/line_search.hpp>

#include "subspace.hpp"

namespace {

using torch::Tensor;
using zstar_newton_krylov::Subspace;

enum class Jacobian { fresh, frozen };

/// Inexact Newton iteration on g(z) = f(z) − z without derivatives, each sample at its own pace: a proposal is either a probe
///
///   z_J + h v,  which gives A v ≈ (g(z_J + h v) − g(z_J)) / h,  A = J − I,
///
/// or, once ‖g + A s‖ ≤ η ‖g‖ for the best s in the span of the probes, the trial z + s, halved until the residual falls.
/// Directions are an Arnoldi basis, so s is the iterate of GMRES. With a frozen Jacobian (chord) basis and images serve all steps
/// until one lowers the residual too little.
///
/// \par Cost per iteration  7 k + 12 passes over the state with k probes known; no evaluation of f beyond its proposals
/// \par Converges  locally superlinearly (fresh, Eisenstat & Walker 1996) or linearly (frozen), contraction or not
template <Jacobian jacobian>
class NewtonKrylov final : public zstar::Solver, public zstar::Backtracking, public zstar::InverseJacobian, public zstar::Statistics {
 public:
  struct Options {
    std::int64_t memory = 20, halvings = 8;
    double forcing = 0.5, forcing_max = 0.9, gamma = 0.9, exponent = 2.0, refresh = 0.5;
    std::optional<double> difference;
  };
  static auto options() {
    using O = Options;
    const zstar::Range unit{.low = 0, .high = 1, .open_low = true, .open_high = true};
    const auto common = std::tuple{
        zstar::opt("memory", &O::memory, "m, most probes for one step", zstar::at_least(1)),
        zstar::opt("halvings", &O::halvings, "halvings of a step that does not lower the residual; 0: every step is taken",
                   zstar::at_least(0)),
        zstar::opt("forcing", &O::forcing, "η of the first step", unit),
        zstar::opt("forcing_max", &O::forcing_max, "greatest η", unit),
        zstar::opt("gamma", &O::gamma, "γ of η = γ (‖g‖ / ‖g before‖)^α", zstar::Range{.low = 0, .high = 1, .open_low = true}),
        zstar::opt("exponent", &O::exponent, "α of η", zstar::Range{.low = 1, .high = 2, .open_low = true}),
        zstar::opt("difference", &O::difference, "h relative to ‖z‖ + ‖g‖; unset: √ε of the dtype", zstar::above(0.0))};
    if constexpr (jacobian == Jacobian::fresh) return common;
    else
      return std::tuple_cat(common, std::tuple{zstar::opt("refresh", &O::refresh,
                                                          "a step that leaves more than this part of the residual renews the Jacobian",
                                                          zstar::Range{.low = 0, .high = 1, .open_low = true})});
  }
  NewtonKrylov(const Options& o, zstar::Host& host) : o_(o), products_(host.products()), space_(products_, o.memory) {}

  void* query(std::string_view id) override {
    if (id == zstar::Backtracking::id) return static_cast<zstar::Backtracking*>(this);
    if (id == zstar::InverseJacobian::id && jacobian == Jacobian::frozen) return static_cast<zstar::InverseJacobian*>(this);
    if (id == zstar::Statistics::id) return static_cast<zstar::Statistics*>(this);
    if (id == zstar::Claims::id) return &claims_;
    return nullptr;
  }
  std::int64_t patience() const override { return o_.halvings == 0 ? 0 : o_.halvings + 1; }
  std::vector<std::pair<std::string, Tensor>> statistics() override { return {searches_.statistic()}; }
  Tensor apply(const Tensor& v) override { return space_.inverse(v); }
  Tensor apply_transpose(const Tensor& v) override { return space_.inverse_transpose(v); }

  void begin(std::int64_t, std::int64_t) override {
    space_.clear();
    for (Tensor* t : all()) *t = Tensor();
    searches_.clear();
  }
  void keep(const Tensor& rows) override {
    space_.keep(rows);
    for (Tensor* t : all()) zstar::keep_rows({t}, rows);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const Tensor g = fz - z, size = zstar::length2(products_, g).sqrt();
    if (!z_.defined()) start(z, fz, g, size);
    else {
      searches_.count(trial_ & (halvings_ > 0) & (z == proposed_).all(1));  // a sample that has left the loop stands still
      learn(z, fz);
      judge(z, fz, g, size);
    }
    return proposed_ = next();
  }

 private:
  std::vector<Tensor*> all() {
    return {&z_, &g_, &base_z_, &base_f_, &step_, &size_, &eta_, &halvings_, &probes_, &trial_, &rejected_, &proposed_};
  }

  void start(const Tensor& z, const Tensor& fz, const Tensor& g, const Tensor& size) {
    z_ = base_z_ = z, base_f_ = fz, g_ = g, size_ = size, step_ = torch::zeros_like(z);
    eta_ = torch::full_like(size, o_.forcing);
    halvings_ = probes_ = torch::zeros_like(size);
    rejected_ = torch::zeros_like(size, torch::kBool);
  }

  /// What a probe says of A. Samples at a trial learn nothing.
  void learn(const Tensor& z, const Tensor& fz) {
    const Tensor v = z - base_z_, w = (fz - base_f_) - v, length = zstar::length2(products_, v).sqrt();
    const Tensor usable = ~trial_ & (length > 0) & zstar::length2(products_, w).isfinite();
    const Tensor scale = (1.0 / length).to(z.scalar_type()).unsqueeze(1), none = torch::zeros({}, z.options());
    const auto unit = [&](const Tensor& t) { return torch::where(usable.unsqueeze(1), t * scale, none); };
    space_.push(unit(v), unit(w), usable);
    probes_ = torch::where(trial_, probes_, probes_ + 1);
  }

  /// Accepts or shortens trials. A step halved too often becomes a plain one, which is accepted as it is.
  void judge(const Tensor& z, const Tensor& fz, const Tensor& g, const Tensor& size) {
    const Tensor last = halvings_ >= static_cast<double>(o_.halvings), plain = trial_ & (halvings_ == static_cast<double>(o_.halvings - 1));
    const Tensor lower = size <= (1 - 1e-4 * torch::exp2(-halvings_)) * size_;
    const Tensor accepted = trial_ & (lower | last) & size.isfinite();
    rejected_ = trial_ & ~accepted;
    const Tensor ratio = size / size_, safe = o_.gamma * eta_.pow(o_.exponent);
    Tensor eta = o_.gamma * ratio.pow(o_.exponent);
    eta = torch::where(safe > 0.1, torch::maximum(eta, safe), eta);
    eta_ = torch::where(accepted, eta.clamp(z.scalar_type() == torch::kFloat64 ? 1e-6 : 1e-3, o_.forcing_max), eta_);
    const Tensor renew = jacobian == Jacobian::fresh ? accepted : accepted & (ratio > o_.refresh);
    space_.forget(renew);
    base_z_ = zstar::pick(renew, z, base_z_), base_f_ = zstar::pick(renew, fz, base_f_);
    z_ = zstar::pick(accepted, z, z_), g_ = zstar::pick(accepted, g, g_);
    size_ = torch::where(accepted, size, size_);
    halvings_ = torch::where(accepted, torch::zeros_like(halvings_), halvings_ + rejected_.to(halvings_.scalar_type()));
    probes_ = torch::where(accepted, torch::zeros_like(probes_), probes_);
    step_ = zstar::pick(rejected_, zstar::pick(plain, g_, 0.5 * step_), step_);
  }

  /// For each sample the shortened trial, a new trial, or the next probe.
  Tensor next() {
    if (space_.empty()) return probe(g_, size_, Tensor());
    const auto fit = space_.fit(g_, size_ * size_);
    const Tensor fresh = probes_ == 0;
    const Tensor seed = zstar::pick(fresh, space_.images(g_, fit.c), space_.newest_image());
    const Tensor before = zstar::length2(products_, seed).sqrt();
    const Tensor once = space_.directions(seed, space_.projection(seed)), again = space_.projection(once);
    const Tensor direction = space_.directions(once, again), length = zstar::length2(products_, direction).sqrt();
    const bool wide = z_.scalar_type() == torch::kFloat64;
    const Tensor exhausted = ~(length > (wide ? 1e-10 : 1e-5) * before) | (probes_ >= static_cast<double>(o_.memory));
    const Tensor solved = ~rejected_ & ((fit.residual2 <= (eta_ * size_).square()) | exhausted);
    step_ = zstar::pick(solved, space_.directions(torch::zeros_like(z_), fit.c), step_);
    return probe(direction, length, solved | rejected_);
  }

  /// z_J + h direction/‖direction‖, but the trial z + s for the samples `trial`.
  Tensor probe(const Tensor& direction, const Tensor& length, const Tensor& trial) {
    const bool wide = z_.scalar_type() == torch::kFloat64;
    const double relative = o_.difference.value_or(wide ? 1.5e-8 : 3.5e-4);
    const Tensor scale = zstar::length2(products_, base_z_).sqrt() + zstar::length2(products_, base_f_ - base_z_).sqrt();
    const Tensor h = relative * scale / length;
    const Tensor known = torch::where(h.isfinite(), h, torch::zeros_like(h)).unsqueeze(1);
    const Tensor probes = products_.combine(base_z_, {direction}, known);
    trial_ = trial.defined() ? trial : torch::zeros_like(size_, torch::kBool);
    return zstar::pick(trial_, z_ + step_, probes);
  }

  zstar::Claims claims_{.accelerates = true, .expansive = true};
  Options o_;
  zstar::Products& products_;
  Subspace space_;
  Tensor z_, g_, base_z_, base_f_, step_;     // accepted iterate, its residual, where J is taken, s; [B, D]
  Tensor proposed_;                           // what was handed out last, [B, D]
  Tensor size_, eta_, halvings_, probes_;     // ‖g‖, η, counts since the last accepted step; [B], float64
  Tensor trial_, rejected_;                   // bool [B]: what is evaluated now is a trial; the last trial was no good
  zstar::LineSearchCalls searches_;
};

using Newton = NewtonKrylov<Jacobian::fresh>;
using Chord = NewtonKrylov<Jacobian::frozen>;

}  // namespace

ZSTAR_PLUGIN("zstar.newton-krylov", "0.1.0", "Newton–Krylov and chord iteration")
ZSTAR_SOLVER(Newton, "newton_krylov", "inexact Newton iteration with GMRES, without derivatives")
ZSTAR_SOLVER(Chord, "chord", "Newton–Krylov with a Jacobian that is kept while it serves")
