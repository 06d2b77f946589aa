/// \file The one-step gradient. Equation and sources: README.md.
#include <zstar/sdk.hpp>

#include <zstar/abi/gradient.hpp>

#include <zstar/adjoint_report.hpp>

namespace {

using torch::Tensor;

/// y = f(z⋆) on the graph: the adjoint equation u = v + Jᵀu with u ≈ v.
///
/// \par Cost  one tracked evaluation of f; no product backward, one if it is measured
/// \par Sources  Fung et al., JFB, AAAI 2022, theorem 3.1; Bolte, Pauwels & Vaiter, NeurIPS 2023
class JacobianFree final : public zstar::GradientMethod {
 public:
  struct Options {
    bool measure = false;
  };
  static auto options() {
    return std::tuple{zstar::opt("measure", &Options::measure, "report the residual ‖Jᵀv‖ of the adjoint equation, for an evaluation and a product backward")};
  }
  JacobianFree(const Options& o, zstar::Host&) : o_(o) {}

  void* query(std::string_view id) override { return id == zstar::ByAutograd::id && !o_.measure ? &by_autograd_ : nullptr; }

  std::vector<zstar::State> attach(const zstar::FixedPointMap& f, const zstar::State& z, std::int64_t /*index*/, std::int64_t /*count*/,
                                   zstar::GradientServices& services) override {
    if (!o_.measure) return {services.evaluate(f, z)};
    const auto adjoint = [](const zstar::AdjointProblem& problem, zstar::AdjointServices& s) {
      const torch::NoGradGuard no_grad;
      s.record(zstar::adjoint_report(s.products(), "jacobian_free", problem.vjp(problem.cotangent), problem.cotangent, {.products = 1}));
      return problem.cotangent;
    };
    return {services.implicit(f, z, adjoint, zstar::JacobianAt::state)};
  }

 private:
  Options o_;
  zstar::ByAutograd by_autograd_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.jacobian-free", "0.1.0", "the one-step gradient")
ZSTAR_GRADIENT(JacobianFree, "jacobian_free", "one evaluation of f on the graph: the Jacobian of the iteration is left out")
