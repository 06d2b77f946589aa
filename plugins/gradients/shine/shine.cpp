/// \file SHINE: the forward solver's inverse Jacobian, shared with the backward pass. Equations and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/sdk.hpp>

#include <zstar/abi/gradient.hpp>

#include <zstar/adjoint_report.hpp>
#include <zstar/krylov.hpp>

namespace {

using torch::Tensor;
using zstar::AdjointProblem;
using zstar::AdjointServices;

/// u₀ = −Hᵀv with the estimate H ≈ (J − I)⁻¹ that the forward solve left; then k steps of GMRES preconditioned by −Hᵀ, or the solver of
/// `[gradient] solver` from there.
///
/// \par Cost  no product at all for k = 0; else k + 1, and k + 2 states
/// \par Sources  Ramzi et al., SHINE, ICLR 2022, sections 2 and 3
class Shine final : public zstar::GradientMethod {
 public:
  struct Options {
    std::int64_t refine = 5;
    double fallback = 1.3, tolerance = 1e-6;
    bool solve = false, measure = true;
  };
  static auto options() {
    using O = Options;
    return std::tuple{
        zstar::opt("refine", &O::refine, "k, steps of GMRES from u₀, preconditioned by the estimate; 0: the estimate alone", zstar::at_least(0)),
        zstar::opt("fallback", &O::fallback, "samples with ‖u₀‖ > this times ‖v‖ begin with the one-step gradient v; 0: never", zstar::at_least(0.0)),
        zstar::opt("tolerance", &O::tolerance, "refinement ends once the residual of every sample is below this times its ‖v‖; where samples interact, that of the batch", zstar::at_least(0.0)),
        zstar::opt("solve", &O::solve, "go on with the solver of [gradient] solver instead, from u₀, to its tolerance"),
        zstar::opt("measure", &O::measure, "report the residual of the estimate alone, for one product")};
  }
  Shine(const Options& o, zstar::Host&) : o_(o) {}

  void* query(std::string_view id) override {
    if (id == zstar::Exemptions::id) return &exemptions_;
    return id == zstar::UsesEstimate::id ? &uses_ : nullptr;
  }

  std::vector<zstar::State> attach(const zstar::FixedPointMap& f, const zstar::State& z, std::int64_t /*index*/, std::int64_t /*count*/,
                                   zstar::GradientServices& services) override {
    return {services.implicit(f, z, [o = o_](const AdjointProblem& p, AdjointServices& s) { return adjoint(o, p, s); }, zstar::JacobianAt::state)};
  }

 private:
  static Tensor adjoint(const Options& o, const AdjointProblem& problem, AdjointServices& services) {
    const torch::NoGradGuard no_grad;
    if (!problem.estimate)
      throw std::runtime_error("shine needs a forward solver that leaves an estimate of the inverse Jacobian, and this one leaves none; use [solver] name = \"broyden\", "
                               "or [gradient] name = \"implicit\"");
    const Tensor& v = problem.cotangent;
    Tensor u = -problem.estimate->apply_transpose(v);
    const Tensor length2 = (u * u).sum(1, true), size2 = (v * v).sum(1, true);
    Tensor bad = ~length2.isfinite();
    if (o.fallback > 0) bad = bad | (length2 > o.fallback * o.fallback * size2);
    u = torch::where(bad, v, u);
    if (o.solve) return services.solve(problem, u);
    if (o.refine == 0 && !o.measure) return report(services, torch::full_like(v, std::numeric_limits<double>::quiet_NaN()), v, {.known = false}), u;
    const Tensor r = v + problem.vjp(u) - u;
    if (o.refine == 0) return report(services, r, v, {.products = 1}), u;
    return refined(o, problem, services, u, r);
  }

  /// u + M y, y of least ‖r − (I − Jᵀ) M y‖ in the Krylov space of (I − Jᵀ) M, M = −Hᵀ.
  static Tensor refined(const Options& o, const AdjointProblem& problem, AdjointServices& services, const Tensor& u, const Tensor& r) {
    const auto shape = r.sizes().vec();
    const bool together = !problem.samples_independent && shape[0] > 1;
    const auto apart = [&](const Tensor& t) { return together ? t.reshape({1, -1}) : t; };
    const auto inverse = [&](const Tensor& t) { return -problem.estimate->apply_transpose(t.reshape(shape).contiguous()); };
    const Tensor bounds = (apart(problem.cotangent).norm(2, {1}) * o.tolerance).to(torch::kFloat64).cpu().contiguous();
    zstar::KrylovSpace space(services.products(), apart(r), o.refine);
    while (space.open()) {
      const Tensor p = inverse(space.direction());
      space.add(apart(p - problem.vjp(p)));
      bool done = true;
      for (std::int64_t b = 0; b < bounds.size(0); ++b) done = done && space.residual(static_cast<std::size_t>(b)) <= bounds.data_ptr<double>()[b];
      if (done) break;
    }
    const Tensor p = inverse(space.solution());
    // The residual is known from the rotations: its length is put into a vector that has it.
    Tensor left = torch::zeros_like(apart(r));
    for (std::int64_t b = 0; b < left.size(0); ++b) left[b][0] = space.residual(static_cast<std::size_t>(b));
    if (together) left = left[0][0].expand({shape[0], 1}) / std::sqrt(static_cast<double>(shape[0]));
    report(services, left.contiguous(), problem.cotangent, {.products = space.size() + 1, .tolerance = o.tolerance});
    return u + p;
  }

  static void report(AdjointServices& services, const Tensor& residual, const Tensor& cotangent, const zstar::AdjointRun& run) {
    services.record(zstar::adjoint_report(services.products(), "shine", residual, cotangent, run));
  }

  Options o_;
  zstar::UsesEstimate uses_;
  zstar::Exemptions exemptions_{{{"alone", "the refinement ends for the whole batch at once"}}};
};

}  // namespace

ZSTAR_PLUGIN("zstar.shine", "0.1.0", "SHINE: the inverse Jacobian of the forward solve in the backward pass")
ZSTAR_GRADIENT(Shine, "shine", "the forward solver's inverse Jacobian as adjoint, with fallback and refinement")
