/// \file GMRES for affine maps. Equations, symbols and sources: README.md.
#include <zstar/krylov.hpp>

#include "affine.hpp"

namespace {

using torch::Tensor;
using zstar_krylov::Affine;

/// Restarted GMRES for u = K u + c, right preconditioned where the forward solve left an estimate:
///
///   A M y = r,  u = u₀ + M y,  A = I − K,  M ≈ A⁻¹,
///
/// with y of least residual in the Krylov space, each sample in a space of its own.
///
/// \par Cost  an evaluation a step and one a restart; restart + 3 states of memory; one small read-back a step
/// \par Converges  whether K contracts or not; in at most D steps without restart
/// \par Sources  Saad & Schultz, SIAM J. Sci. Stat. Comput. 7 (1986)
class Gmres final : public zstar_krylov::LinearBase {
 public:
  struct Options {
    std::int64_t restart = 20;
    std::string preconditioner = "none", start = "given", space = "auto";
  };
  static auto options() {
    using O = Options;
    return std::tuple{
        zstar::opt("restart", &O::restart, "k, steps before the space is given up for a new one", zstar::at_least(1)),
        zstar::choice("preconditioner", &O::preconditioner,
                      "M: none, or the estimate of the inverse Jacobian that the forward solver left (adjoint solves; broyden, chord, …)", {"none", "forward"}),
        zstar::choice("start", &O::start, "u₀: as given, or M c by the forward solver's estimate", {"given", "forward"}),
        zstar::choice("space", &O::space, zstar_krylov::space_words, {"auto", "sample", "batch"})};
  }
  Gmres(const Options& o, zstar::Host& host) : LinearBase("gmres", o.space, zstar_krylov::for_affine_maps()), o_(o), products_(host.products()), host_(host) {}

  bool wants_estimate() const override { return o_.preconditioner == "forward" || o_.start == "forward"; }

  Tensor drive(zstar::Evaluator& f, const Tensor& start) override {
    Affine problem(f, start, together(start));
    if (!problem.begun()) return {};
    if (wants_estimate() && !estimate()) host_.warn("gmres has no estimate of the inverse Jacobian to use: the forward solver leaves none");
    Tensor r = problem.first_residual(), x = torch::zeros_like(r);
    if (o_.start == "forward" && estimate() && problem.affords_step()) {
      x = inverse(problem, r, start);
      if (const auto measured = problem.residual(x)) r = *measured;
      else return {};
    }
    while (problem.affords_product()) {
      zstar::KrylovSpace space(products_, r, o_.restart);
      if (!grow(problem, space, start)) return {};
      if (space.size() == 0) {
        if (problem.tighten()) continue;
        return {};
      }
      const Tensor y = space.solution();
      x = x + (o_.preconditioner == "forward" && estimate() ? inverse(problem, y, start) : y);
      const auto measured = problem.residual(x);
      if (!measured) return {};
      expect_affine(r, residuals(space, r.size(0)).to(r.device()), *measured, x);
      r = *measured;
    }
    return {};
  }

 private:
  zstar::InverseJacobian* estimate() const { return facts() ? facts()->estimate : nullptr; }
  /// M t = −Hᵀ t, H ≈ (J − I)⁻¹ of the forward solve and K = Jᵀ.
  Tensor inverse(const Affine& problem, const Tensor& t, const Tensor& like) const {
    return problem.apart(-estimate()->apply_transpose(t.reshape(like.sizes()).contiguous()));
  }
  static Tensor residuals(const zstar::KrylovSpace& space, std::int64_t batch) {
    const Tensor all = torch::empty({batch}, torch::kFloat64);
    for (std::int64_t b = 0; b < batch; ++b) all.data_ptr<double>()[b] = space.residual(static_cast<std::size_t>(b));
    return all;
  }
  /// Adds products until every sample's residual is small enough, or the space or the budget is full. \return false if the solve is over
  bool grow(Affine& problem, zstar::KrylovSpace& space, const Tensor& like) const {
    const auto done = [&, &targets = problem.targets()] {
      for (std::size_t b = 0; b < targets.size(); ++b)
        if (space.residual(b) > targets[b]) return false;
      return true;
    };
    while (space.open() && problem.affords_product() && !done()) {
      const Tensor v = space.direction();
      const auto w = problem.product(o_.preconditioner == "forward" && estimate() ? inverse(problem, v, like) : v);
      if (!w) return false;
      space.add(*w);
    }
    return true;
  }

  Options o_;
  zstar::Products& products_;
  zstar::Host& host_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.krylov", "0.1.0", "Krylov methods for affine maps, such as the adjoint equation")
ZSTAR_SOLVER(Gmres, "gmres", "GMRES for affine maps, restarted, a Krylov space for each sample")
