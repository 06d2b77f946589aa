/// \file Solvers with one fault each, and the one without that they are made from: what the conformance suite must tell apart.
#include <clocale>

#include <zstar/claims.hpp>
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

enum class Fault {
  none,
  sign,               ///< the step goes the other way
  missing_transpose,  ///< Hᵀ is H
  stale_history,      ///< begin forgets nothing
  off_by_one,         ///< the change of z is paired with the change of g before it
  disabled,           ///< the estimate is learned and never used
  batch_mates,        ///< one denominator for the whole batch
  modifies,           ///< the image it was given is overwritten
  reuses_buffer,      ///< every iterate is written over the one before
  keeps_graph,        ///< the step is made on an autograd graph
  wrong_dtype,        ///< float64 whatever came
  ignores_keep,       ///< rows are not selected
  keep_sorted,        ///< rows are selected in rising order, not in the one asked for
  random,             ///< a step length from the global generator
  not_finite,         ///< divides by a change that may be zero
  absolute_guard,     ///< a guard that is not scaled by the state
  one_too_few,        ///< a batch of one sample is squeezed
  standstill,         ///< proposes the iterate that it was given
  range,              ///< the edge of an option's range breaks it
  locale,             ///< keep changes the locale of the process
};

/// Good Broyden with a dense estimate: H ← H + (s − H y)(sᵀH) / (sᵀH y), z ← z − H g.
template <Fault fault>
class Sick final : public zstar::Solver, public zstar::InverseJacobian {
 public:
  struct Options {
    double damping = 1.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("damping", &Options::damping, "share of the step", zstar::Range{.low = 0, .high = 1, .open_low = fault != Fault::range})};
  }
  Sick(const Options& o, zstar::Host&) : damping_(o.damping) {}

  void* query(std::string_view id) override {
    if (id == zstar::InverseJacobian::id) return static_cast<zstar::InverseJacobian*>(this);
    return id == zstar::Claims::id ? &claims_ : nullptr;
  }
  void begin(std::int64_t, std::int64_t) override {
    if (fault == Fault::stale_history) z_ = Tensor();
    else h_ = z_ = g_ = s_ = Tensor();
  }
  void keep(const Tensor& rows) override {
    if (fault == Fault::ignores_keep) return;
    if (fault == Fault::locale) std::setlocale(LC_ALL, "C.UTF-8");
    const Tensor chosen = fault == Fault::keep_sorted ? std::get<0>(rows.sort()) : rows;
    for (Tensor* t : {&h_, &z_, &g_, &s_})
      if (t->defined()) *t = t->index_select(0, chosen);
  }
  Tensor apply(const Tensor& v) override { return torch::bmm(h_, v.unsqueeze(2)).squeeze(2); }
  Tensor apply_transpose(const Tensor& v) override {
    return fault == Fault::missing_transpose ? apply(v) : torch::bmm(h_.transpose(1, 2), v.unsqueeze(2)).squeeze(2);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    const Tensor g = fz - z;
    if (!h_.defined() || h_.size(0) != z.size(0) || h_.size(1) != z.size(1)) h_ = -torch::eye(z.size(1), z.options()).expand({z.size(0), -1, -1}).clone();
    else if (z_.defined()) learn(z - z_, g - g_);
    z_ = z, g_ = g;
    return finished(z, fz, fault == Fault::disabled ? g : -apply(g));
  }

 private:
  void learn(const Tensor& s_now, const Tensor& y) {
    const Tensor s = fault == Fault::off_by_one && s_.defined() ? s_ : s_now;
    s_ = s_now;
    const Tensor hy = apply(y), sh = torch::bmm(h_.transpose(1, 2), s.unsqueeze(2)).squeeze(2);
    Tensor d = (s * hy).sum(1, true), least = 1e-8 * s.norm(2, {1}, true) * hy.norm(2, {1}, true);
    if (fault == Fault::batch_mates) d = d.mean().expand_as(d);
    if (fault == Fault::absolute_guard) least = torch::full_like(d, 1e-8);
    const Tensor update = ((s - hy) / d).unsqueeze(2) * sh.unsqueeze(1);
    const Tensor good = (d.abs() > least).unsqueeze(2) & update.isfinite().all(2, true).all(1, true);
    h_ = fault == Fault::not_finite ? h_ + update : torch::where(good, h_ + update, h_);
  }

  Tensor finished(const Tensor& z, const Tensor& fz, Tensor step) {
    step = step * damping_;
    if (fault == Fault::range) step = step / (damping_ > 0 ? 1.0 : damping_);
    if (fault == Fault::sign) return z - step;
    if (fault == Fault::standstill) return z;
    if (fault == Fault::random) return z + step * (0.9 + 0.1 * torch::rand({1}).item<double>());
    if (fault == Fault::modifies) fz.zero_();
    if (fault == Fault::wrong_dtype) return (z + step).to(torch::kFloat64);
    if (fault == Fault::one_too_few) return z.size(0) == 1 ? (z + step).squeeze(0) : z + step;
    if (fault == Fault::keeps_graph) {
      const torch::AutoGradMode grad(true);
      return z + step.detach().requires_grad_();
    }
    if (fault != Fault::reuses_buffer) return z + step;
    if (!buffer_.defined() || buffer_.sizes() != z.sizes() || buffer_.scalar_type() != z.scalar_type()) buffer_ = torch::empty_like(z);
    return buffer_.copy_(z + step);
  }

  double damping_;
  zstar::Claims claims_{.accelerates = true, .expansive = true, .secant = true};
  Tensor h_, z_, g_, s_, buffer_;
};

/// Picard iteration by a driver that writes over what it had evaluated: the report is of another state.
class LiesAboutResidual final : public zstar::Solver, public zstar::Driver {
 public:
  explicit LiesAboutResidual(zstar::Host&) {}
  void* query(std::string_view id) override { return id == zstar::Driver::id ? static_cast<zstar::Driver*>(this) : nullptr; }
  void begin(std::int64_t, std::int64_t) override {}
  void keep(const Tensor&) override {}
  Tensor propose(const Tensor&, const Tensor& fz) override { return fz; }
  Tensor drive(zstar::Evaluator& f, const Tensor& z0) override {
    Tensor z = z0.clone();
    std::int64_t calls = 0;
    while (const auto fz = f.evaluate(z)) {
      z.copy_(*fz);
      ++calls;
      for (const std::int64_t at : f.limits().sample_at)
        if (at == calls) f.sample(z.clone());
    }
    return {};
  }
};

}  // namespace

ZSTAR_PLUGIN("test.faults", "0.1.0", "parts with one fault each")
ZSTAR_SOLVER(Sick<Fault::none>, "healthy_solver", "no fault")
ZSTAR_SOLVER(Sick<Fault::sign>, "sign", "the step goes the other way")
ZSTAR_SOLVER(Sick<Fault::locale>, "locale_solver", "changes the locale of the process when samples leave")
ZSTAR_SOLVER(Sick<Fault::standstill>, "standstill", "the iterate that it was given is proposed again")
ZSTAR_SOLVER(Sick<Fault::missing_transpose>, "missing_transpose", "Hᵀ of the exported estimate is H")
ZSTAR_SOLVER(Sick<Fault::stale_history>, "stale_history", "begin keeps what was learned in the solve before")
ZSTAR_SOLVER(Sick<Fault::off_by_one>, "off_by_one", "the change of z is paired with that of g one step later")
ZSTAR_SOLVER(Sick<Fault::disabled>, "disabled", "the acceleration is computed and not used")
ZSTAR_SOLVER(Sick<Fault::batch_mates>, "batch_mates", "one denominator, the mean over the batch, for all samples")
ZSTAR_SOLVER(Sick<Fault::modifies>, "modifies", "the image that it was given is overwritten")
ZSTAR_SOLVER(Sick<Fault::reuses_buffer>, "reuses_buffer", "each iterate is written over the one before")
ZSTAR_SOLVER(Sick<Fault::keeps_graph>, "keeps_graph", "the step is made on an autograd graph")
ZSTAR_SOLVER(Sick<Fault::wrong_dtype>, "wrong_dtype", "iterates are float64, whatever the state is")
ZSTAR_SOLVER(Sick<Fault::ignores_keep>, "ignores_keep", "samples that leave take no rows of the history with them")
ZSTAR_SOLVER(Sick<Fault::keep_sorted>, "keep_sorted", "kept rows come in rising order, not in the one asked for")
ZSTAR_SOLVER(Sick<Fault::random>, "random", "step lengths from the global generator")
ZSTAR_SOLVER(Sick<Fault::not_finite>, "not_finite", "divides by a change that may be zero")
ZSTAR_SOLVER(Sick<Fault::absolute_guard>, "absolute_guard", "a guard that is not scaled by the state")
ZSTAR_SOLVER(Sick<Fault::one_too_few>, "one_too_few", "a batch of one sample loses its axis")
ZSTAR_SOLVER(Sick<Fault::range>, "range", "the edge of an option's range divides by zero")
ZSTAR_SOLVER(LiesAboutResidual, "lies_about_residual", "the state returned is not the one that was measured")
