/// \file Broyden's methods with limited memory. Equations, symbols and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/line_search.hpp>

#include "bad_window.hpp"
#include "product_form.hpp"

namespace {

using torch::Tensor;

/// Quasi-Newton iteration on g(z) = f(z) − z, each sample on its own:
///
///   z_{k+1} = z_k − s H_k g(z_k),
///
/// H_k the good or bad Broyden estimate of (J − I)⁻¹, s = 1 or from a derivative-free line search that a sample makes by
/// itself while the others go on: a rejected trial is simply followed by a shorter one.
///
/// \par Cost per iteration  m (good) or 2 m (bad) + 6 passes over the state; no evaluation of its own
/// \par Converges  locally superlinearly with full memory (Broyden, Dennis & Moré 1973)
class Broyden final : public zstar::Solver, public zstar::InverseJacobian, public zstar::Backtracking, public zstar::Statistics {
 public:
  struct Options {
    std::int64_t memory = 30;
    std::string update = "good";
    double beta = 1.0;
    bool line_search = false;
    std::int64_t patience = 0;
    std::string history = "state";
  };
  static auto options() {
    return std::tuple{
        zstar::opt("memory", &Options::memory, "m, pairs kept; when full, good keeps the newest alone and bad drops the oldest",
                   zstar::at_least(1)),
        zstar::choice("update", &Options::update, "which Broyden update of the inverse Jacobian", {"good", "bad"}),
        zstar::opt("beta", &Options::beta, "β, the first estimate is −β I: a plain step is damped by it", zstar::within(1e-3, 2.0)),
        zstar::opt("line_search", &Options::line_search,
                   "shorten steps that do not lower the residual (Li & Fukushima), and steps to where f is not finite"),
        zstar::opt("patience", &Options::patience, "evaluations without 5 % progress after which a sample forgets its pairs; 0: never",
                   zstar::at_least(0)),
        zstar::choice("history", &Options::history,
                      "dtype of the vectors kept: that of the state, or, for float32 states, bfloat16: half the memory, steps good to 0.4 %",
                      {"state", "bfloat16"})};
  }
  Broyden(const Options& o, zstar::Host& host)
      : o_(o), good_(o.update == "good"), products_(host.products()), product_(products_, o.memory, o.beta, {o.history == "bfloat16"}),
        window_(products_, o.memory, o.beta, {o.history == "bfloat16"}) {}

  void* query(std::string_view id) override {
    if (id == zstar::Claims::id) return &claims_;
    if (id == zstar::InverseJacobian::id) return static_cast<zstar::InverseJacobian*>(this);
    if (id == zstar::Backtracking::id) return static_cast<zstar::Backtracking*>(this);
    if (id == zstar::Statistics::id) return o_.line_search ? static_cast<zstar::Statistics*>(this) : nullptr;
    return nullptr;
  }
  std::int64_t patience() const override { return o_.line_search ? halvings_allowed + 1 : 0; }
  std::vector<std::pair<std::string, Tensor>> statistics() override { return {searches_.statistic()}; }
  Tensor apply(const Tensor& v) override { return good_ ? product_.apply(v) : window_.apply(v); }
  Tensor apply_transpose(const Tensor& v) override { return good_ ? product_.apply_transpose(v) : window_.apply_transpose(v); }

  void begin(std::int64_t /*batch*/, std::int64_t /*width*/) override {
    product_.clear();
    window_.clear();
    z_ = fz_ = step_ = proposed_ = merit_ = halvings_ = step2_ = mark_ = idle_ = Tensor();
    searches_.clear();
    iteration_ = 0;
  }

  void keep(const Tensor& rows) override {
    product_.keep(rows);
    window_.keep(rows);
    zstar::keep_rows({&z_, &fz_, &step_, &proposed_, &merit_, &halvings_, &step2_, &mark_, &idle_}, rows);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override { return o_.line_search ? searched(z, fz) : full_step(z, fz); }

 private:
  static constexpr std::int64_t halvings_allowed = 10;

  Tensor full_step(const Tensor& z, const Tensor& fz) {
    if (good_) product_.advance(z, fz, {z_, fz_}, proposed_);
    else if (z_.defined()) learn(z, fz, torch::ones({z.size(0)}, torch::kBool));
    if (o_.patience > 0) give_up_stalled(z, fz);
    z_ = z, fz_ = fz;
    proposed_ = good_ ? product_.stepped(z) : z + window_.step(fz - z);
    return proposed_;
  }

  /// The pair between the accepted iterate and (z, fz). A sample that did not move teaches nothing.
  void learn(const Tensor& z, const Tensor& fz, const Tensor& accepted) {
    if (good_) return product_.advance_by_part(z, fz, {z_, fz_}, accepted);
    const Tensor s = z - z_;
    window_.add(s, (fz - fz_) - s, accepted);
  }
  void forget(const Tensor& samples, const Tensor& z, const Tensor& fz) {
    if (good_) product_.forget(samples, z, fz);
    else window_.forget(samples);
  }

  void give_up_stalled(const Tensor& z, const Tensor& fz) {
    const Tensor size2 = zstar::length2(products_, fz - z);
    if (!mark_.defined()) mark_ = torch::full_like(size2, INFINITY), idle_ = torch::zeros_like(size2);
    const Tensor progress = size2 < 0.95 * 0.95 * mark_;
    mark_ = torch::where(progress, size2, mark_);
    idle_ = torch::where(progress, torch::zeros_like(idle_), idle_ + 1);
    const Tensor stalled = idle_ >= static_cast<double>(o_.patience);
    idle_ = idle_.masked_fill(stalled, 0);
    forget(stalled, z, fz);
  }

  Tensor searched(const Tensor& z, const Tensor& fz) {
    const Tensor merit = zstar::length2(products_, fz - z).sqrt();  // [B]
    ++iteration_;
    if (!z_.defined()) {
      if (good_) product_.advance(z, fz, {z_, fz_}, {});
      z_ = z, fz_ = fz, merit_ = merit, halvings_ = torch::zeros_like(merit);
      return stepped(z_ + whole_step());
    }
    // A sample that has left the loop stands still: what is shortened for it is never evaluated.
    searches_.count((halvings_ > 0) & (z == proposed_).all(1));
    const double eta = 1.0 / static_cast<double>((iteration_ + 1) * (iteration_ + 1));
    const Tensor enough = merit.isfinite() & (merit <= (1 + eta) * merit_ - 1e-4 * step2_);
    const Tensor exhausted = halvings_ > halvings_allowed, accepted = enough | (exhausted & merit.isfinite());
    learn(z, fz, accepted);
    return next_trial(z, fz, merit, accepted);
  }

  /// −H g at the accepted iterate.
  Tensor whole_step() const { return good_ ? product_.step() : window_.step(fz_ - z_); }

  /// Accepted samples take a new step; the others half the old one, or, when they have halved too often, a damped plain
  /// step from where they stand, with an empty history.
  Tensor next_trial(const Tensor& z, const Tensor& fz, const Tensor& merit, const Tensor& accepted) {
    const Tensor row = accepted.to(z.device()).unsqueeze(1);
    z_ = torch::where(row, z, z_), fz_ = torch::where(row, fz, fz_), merit_ = torch::where(accepted, merit, merit_);
    halvings_ = torch::where(accepted, torch::zeros_like(halvings_), halvings_ + 1);
    const Tensor plain = (halvings_ == halvings_allowed + 1) & ~accepted;
    forget(plain, z_, fz_);
    Tensor step = torch::where(row, whole_step(), 0.5 * step_);
    step = torch::where(plain.to(z.device()).unsqueeze(1), 0.5 * (fz_ - z_), step);
    return stepped(z_ + step);
  }

  Tensor stepped(Tensor trial) {
    step_ = trial - z_;
    step2_ = zstar::length2(products_, step_);
    return proposed_ = std::move(trial);
  }

  Options o_;
  zstar::Claims claims_{.accelerates = true, .expansive = true, .secant = true};
  bool good_;
  zstar::Products& products_;
  zstar_broyden::ProductForm product_;
  zstar_broyden::BadWindow window_;
  Tensor z_, fz_, proposed_;          // last accepted iterate and image, where the last step led, [B, D]
  Tensor step_, step2_;               // trial − z_, [B, D]; its squared length, [B]
  Tensor merit_, halvings_;           // ‖g(z_)‖ and halvings of the step under way, [B]
  Tensor mark_, idle_;                // ‖g‖² at the last progress, evaluations since, [B]
  zstar::LineSearchCalls searches_;
  std::int64_t iteration_ = 0;
};

}  // namespace

ZSTAR_PLUGIN("zstar.broyden", "0.1.0", "Broyden's methods with limited memory")
ZSTAR_SOLVER(Broyden, "broyden", "good or bad Broyden, limited memory, line search for each sample")
