/// \file Broyden's methods with limited memory. Equations, symbols and sources: README.md.
#include <zstar/sdk.hpp>

#include "history.hpp"

namespace {

using torch::Tensor;
using zstar_broyden::History;
using zstar_broyden::Update;

/// Quasi-Newton iteration on g(z) = f(z) − z, each sample on its own:
///
///   z_{k+1} = z_k − s H_k g(z_k),
///
/// H_k the good or bad Broyden estimate of (J − I)⁻¹, s = 1 or from a derivative-free line search that a sample makes by
/// itself while the others go on: a rejected trial is simply followed by a shorter one.
///
/// \par Cost per iteration  3 m (good) or 2 m (bad) + 6 passes over the state; no evaluation of its own
/// \par Converges  locally superlinearly with full memory (Broyden, Dennis & Moré 1973)
class Broyden final : public zstar::Solver, public zstar::InverseJacobian, public zstar::Backtracking {
 public:
  struct Options {
    std::int64_t memory = 30;
    std::string update = "good";
    bool line_search = false;
  };
  static auto options() {
    return std::tuple{
        zstar::opt("memory", &Options::memory, "m, pairs kept; when full, good starts afresh and bad drops the oldest",
                   zstar::at_least(1)),
        zstar::choice("update", &Options::update, "which Broyden update of the inverse Jacobian", {"good", "bad"}),
        zstar::opt("line_search", &Options::line_search,
                   "shorten steps that do not lower the residual (Li & Fukushima), and steps to where f is not finite")};
  }
  Broyden(const Options& o, zstar::Host& host)
      : o_(o), products_(host.products()),
        history_(products_, o.update == "good" ? Update::good : Update::bad, o.memory) {}

  void* query(std::string_view id) override {
    if (id == zstar::InverseJacobian::id) return static_cast<zstar::InverseJacobian*>(this);
    if (id == zstar::Backtracking::id) return static_cast<zstar::Backtracking*>(this);
    return nullptr;
  }
  std::int64_t patience() const override { return o_.line_search ? halvings_allowed + 1 : 0; }
  Tensor apply(const Tensor& v) override { return history_.apply(v); }
  Tensor apply_transpose(const Tensor& v) override { return history_.apply_transpose(v); }

  void begin(std::int64_t /*batch*/, std::int64_t /*width*/) override {
    history_.clear();
    z_ = fz_ = step_ = merit_ = halvings_ = step2_ = Tensor();
    iteration_ = 0;
  }

  void keep(const Tensor& rows) override {
    history_.keep(rows);
    for (Tensor* t : {&z_, &fz_, &step_}) if (t->defined()) *t = t->index_select(0, rows);
    for (Tensor* t : {&merit_, &halvings_, &step2_}) if (t->defined()) *t = t->index_select(0, rows.to(t->device()));
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override { return o_.line_search ? searched(z, fz) : full_step(z, fz); }

 private:
  static constexpr std::int64_t halvings_allowed = 10;

  Tensor full_step(const Tensor& z, const Tensor& fz) {
    if (z_.defined()) learn(z, fz, torch::ones({z.size(0)}, torch::kBool));
    z_ = z;
    fz_ = fz;
    return history_.apply_correction(fz, fz - z);  // z − H g = f(z) + (H + I)-part
  }

  /// The pair between the accepted iterate and (z, fz). A sample that did not move teaches nothing.
  void learn(const Tensor& z, const Tensor& fz, const Tensor& accepted) {
    history_.add(z - z_, fz - fz_, accepted);
  }

  Tensor searched(const Tensor& z, const Tensor& fz) {
    const Tensor g = fz - z, merit = products_.dots({g}, {g}).squeeze(2).squeeze(1).sqrt();  // [B]
    ++iteration_;
    if (!z_.defined()) {
      z_ = z, fz_ = fz, merit_ = merit, halvings_ = torch::zeros_like(merit);
      return stepped(history_.apply_correction(fz, g));
    }
    const double eta = 1.0 / static_cast<double>((iteration_ + 1) * (iteration_ + 1));
    const Tensor enough = merit.isfinite() & (merit <= (1 + eta) * merit_ - 1e-4 * step2_);
    const Tensor exhausted = halvings_ > halvings_allowed, accepted = enough | (exhausted & merit.isfinite());
    learn(z, fz, accepted);
    return next_trial(z, fz, merit, accepted);
  }

  /// Accepted samples take a new step; the others half the old one, or, when they have halved too often, a damped plain
  /// step from where they stand, with an empty history.
  Tensor next_trial(const Tensor& z, const Tensor& fz, const Tensor& merit, const Tensor& accepted) {
    const Tensor row = accepted.to(z.device()).unsqueeze(1);
    z_ = torch::where(row, z, z_), fz_ = torch::where(row, fz, fz_), merit_ = torch::where(accepted, merit, merit_);
    halvings_ = torch::where(accepted, torch::zeros_like(halvings_), halvings_ + 1);
    const Tensor plain = (halvings_ == halvings_allowed + 1) & ~accepted;
    history_.forget(plain);
    const Tensor fresh = history_.apply_correction(fz_, fz_ - z_) - z_;
    Tensor step = torch::where(row, fresh, 0.5 * step_);
    step = torch::where(plain.to(z.device()).unsqueeze(1), 0.5 * (fz_ - z_), step);
    return stepped(z_ + step);
  }

  Tensor stepped(Tensor trial) {
    step_ = trial - z_;
    step2_ = products_.dots({step_}, {step_}).squeeze(2).squeeze(1);
    return trial;
  }

  Options o_;
  zstar::Products& products_;
  History history_;
  Tensor z_, fz_;                     // last accepted iterate and image, [B, D]
  Tensor step_, step2_;               // trial − z_, [B, D]; its squared length, [B]
  Tensor merit_, halvings_;           // ‖g(z_)‖ and halvings of the step under way, [B]
  std::int64_t iteration_ = 0;
};

}  // namespace

ZSTAR_PLUGIN("zstar.broyden", "0.1.0", "Broyden's methods with limited memory")
ZSTAR_SOLVER(Broyden, "broyden", "good or bad Broyden, limited memory, line search for each sample")
