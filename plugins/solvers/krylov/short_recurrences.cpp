/// \file BiCGStab and CG for affine maps. Equations, symbols and sources: README.md.
#include <zstar/residual_window.hpp>

#include "affine.hpp"

namespace {

using torch::Tensor;
using zstar_krylov::Affine;

Tensor inner(zstar::Products& products, const Tensor& a, const Tensor& b) { return products.dots({a}, {b}).view({a.size(0)}); }

/// a / b where b ≠ 0 and the quotient is finite, else 0: such a sample does not move.
Tensor quotient(const Tensor& a, const Tensor& b) {
  const Tensor q = a / b;
  return torch::where(q.isfinite(), q, torch::zeros_like(q));
}

Tensor plus(zstar::Products& products, const Tensor& base, const Tensor& direction, const Tensor& factor) {
  return products.combine(base, {direction}, factor.unsqueeze(1));
}

/// Whether every residual that the recurrence predicts is below its target; one small read-back.
bool done(const Tensor& size2, const std::vector<double>& targets) {
  const Tensor host = size2.cpu();
  for (std::size_t b = 0; b < targets.size(); ++b)
    if (!(std::sqrt(host.data_ptr<double>()[b]) <= targets[b])) return false;
  return true;
}

/// A recurrence with few vectors, started afresh from the measured residual when it says that it is done.
class ShortRecurrence : public zstar_krylov::LinearBase {
 public:
  Tensor drive(zstar::Evaluator& f, const Tensor& start) override {
    Affine problem(f, start, together(start));
    if (!problem.begun()) return {};
    Tensor r = problem.first_residual(), x = torch::zeros_like(r);
    while (problem.affords_product()) {
      Tensor predicted = r;
      if (!recur(problem, x, predicted, problem.targets())) return {};
      const auto measured = problem.residual(x);
      if (!measured) return {};
      expect_affine(r, predicted.norm(2, {1}), *measured, x);
      r = *measured;
      if (done(r.to(torch::kFloat64).square().sum({1}), problem.targets())) problem.tighten();
    }
    return {};
  }

 protected:
  using LinearBase::LinearBase;
  /// Steps from the residual r of x; both are replaced. \return false if the solve is over
  virtual bool recur(Affine& problem, Tensor& x, Tensor& r, const std::vector<double>& targets) const = 0;
};

/// BiCGStab for u = K u + c: two products a step and no space to store. Started afresh also for a sample whose recurrence
/// has broken down.
///
/// \par Cost  two evaluations a step; 9 states of memory; one small read-back a step
/// \par Sources  van der Vorst, SIAM J. Sci. Stat. Comput. 13 (1992)
class Bicgstab final : public ShortRecurrence {
 public:
  struct Options {
    std::int64_t refresh = 50;
    std::string space = "auto";
  };
  static auto options() {
    return std::tuple{zstar::opt("refresh", &Options::refresh, "steps after which the residual is measured and the recurrence begins anew", zstar::at_least(1)),
                      zstar::choice("space", &Options::space, zstar_krylov::space_words, {"auto", "sample", "batch"})};
  }
  Bicgstab(const Options& o, zstar::Host& host) : ShortRecurrence("bicgstab", o.space, zstar_krylov::for_affine_maps()), o_(o), products_(host.products()) {}

 private:
  bool recur(Affine& problem, Tensor& x, Tensor& r, const std::vector<double>& targets) const override {
    const Tensor shadow = r;
    Tensor p = r, rho = inner(products_, shadow, r);
    for (std::int64_t k = 0; k < o_.refresh && problem.affords_product(); ++k) {
      const auto v = problem.product(p);
      if (!v) return false;
      const Tensor alpha = quotient(rho, inner(products_, shadow, *v)), s = plus(products_, r, *v, -alpha);
      if (!problem.affords_product() || done(inner(products_, s, s), targets)) {
        x = plus(products_, x, p, alpha), r = s;
        return true;
      }
      const auto t = problem.product(s);
      if (!t) return false;
      const Tensor omega = quotient(inner(products_, *t, s), inner(products_, *t, *t));
      x = plus(products_, plus(products_, x, p, alpha), s, omega);
      r = plus(products_, s, *t, -omega);
      if (done(inner(products_, r, r), targets)) return true;
      const Tensor next = inner(products_, shadow, r), beta = quotient(next * alpha, rho * omega);
      p = plus(products_, r, plus(products_, p, *v, -omega), beta);  // β = 0 begins anew with p = r
      rho = torch::where(beta == 0, inner(products_, shadow, p), next);
    }
    return true;
  }

  Options o_;
  zstar::Products& products_;
};

/// Conjugate gradients for u = K u + c with K symmetric and I − K positive definite.
///
/// \par Cost  an evaluation a step; 5 states of memory; one small read-back a step
/// \par Sources  Hestenes & Stiefel, J. Res. Natl. Bur. Stand. 49 (1952)
class Cg final : public ShortRecurrence {
 public:
  struct Options {
    std::int64_t refresh = 100;
    std::string symmetric = "declared", space = "auto";
  };
  static auto options() {
    return std::tuple{zstar::opt("refresh", &Options::refresh, "steps after which the residual is measured and the recurrence begins anew", zstar::at_least(1)),
                      zstar::choice("symmetric", &Options::symmetric, "whether the map must declare its Jacobian symmetric, or is taken to be so", {"declared", "assumed"}),
                      zstar::choice("space", &Options::space, zstar_krylov::space_words, {"auto", "sample", "batch"})};
  }
  Cg(const Options& o, zstar::Host& host) : ShortRecurrence("cg", o.space, {{{"*", "it solves adjoint equations of maps that declare a symmetric Jacobian"}}}), o_(o), products_(host.products()) {}

  Tensor drive(zstar::Evaluator& f, const Tensor& start) override {
    if (o_.symmetric == "declared" && !(facts() && facts()->symmetric))
      throw std::runtime_error(facts() ? "cg needs a symmetric Jacobian, which the map does not declare; let the model declare it (FixedPointMap::declare), set symmetric = \"assumed\" "
                                         "if you know it, or use gmres"
                                       : "cg solves adjoint equations of maps that declare a symmetric Jacobian; as a forward solver it cannot know: set symmetric = \"assumed\" for an "
                                         "affine map, or use anderson");
    return ShortRecurrence::drive(f, start);
  }

 private:
  bool recur(Affine& problem, Tensor& x, Tensor& r, const std::vector<double>& targets) const override {
    Tensor p = r, size2 = inner(products_, r, r);
    for (std::int64_t k = 0; k < o_.refresh && problem.affords_product(); ++k) {
      const auto w = problem.product(p);
      if (!w) return false;
      const Tensor curvature = inner(products_, p, *w);
      const Tensor alpha = torch::where(curvature > 0, quotient(size2, curvature), torch::zeros_like(size2));  // an indefinite direction is not followed
      x = plus(products_, x, p, alpha);
      r = plus(products_, r, *w, -alpha);
      const Tensor next = inner(products_, r, r);
      if (done(next, targets) || !(alpha != 0).any().item<bool>()) return true;
      p = plus(products_, r, p, quotient(next, size2));
      size2 = next;
    }
    return true;
  }

  Options o_;
  zstar::Products& products_;
};

}  // namespace

ZSTAR_SOLVER(Bicgstab, "bicgstab", "BiCGStab for affine maps: two products a step, constant memory")
ZSTAR_SOLVER(Cg, "cg", "conjugate gradients for affine maps with a symmetric Jacobian below one")
