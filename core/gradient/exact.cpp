#include "core/gradient/exact.hpp"

#include "core/gradient/gmres.hpp"
#include "zstar/adjoint_report.hpp"

namespace zstar::gradient {
namespace {

struct Systems {
  std::int64_t count, unknowns;  // matrices, and the rows of each
};

Systems systems_of(const AdjointProblem& problem) {
  const Tensor& v = problem.cotangent;
  const bool apart = problem.samples_independent || v.size(0) == 1;
  return apart ? Systems{v.size(0), v.size(1)} : Systems{1, v.numel()};
}

bool fits(const Systems& s, const ExactLimits& limits) {
  return s.unknowns <= limits.dense_unknowns && s.count * s.unknowns * s.unknowns <= limits.dense_bytes / static_cast<std::int64_t>(sizeof(double));
}

Tensor solved(const AdjointProblem& problem, const Systems& s) {
  const Tensor a = torch::eye(s.unknowns, torch::TensorOptions(torch::kFloat64).device(problem.cotangent.device())) - dense_transposed_jacobian(problem);
  const Tensor v = problem.cotangent.to(torch::kFloat64).reshape({s.count, s.unknowns, 1});
  return torch::linalg_solve(a, v).reshape(problem.cotangent.sizes()).to(problem.cotangent.scalar_type());
}

class Exact final : public GradientMethod {
 public:
  explicit Exact(const ExactLimits& limits) : limits_(limits) {}

  std::vector<State> attach(const FixedPointMap& f, const State& z, std::int64_t /*index*/, std::int64_t /*count*/, GradientServices& services) override {
    const auto adjoint = [limits = limits_](const AdjointProblem& problem, AdjointServices& s) {
      const torch::NoGradGuard no_grad;
      const Tensor& v = problem.cotangent;
      const Systems systems = systems_of(problem);
      if (!fits(systems, limits)) {
        const Tensor all = torch::ones({v.size(0), 1}, v.options().dtype(torch::kBool));
        auto found = gmres(s.products(), problem, torch::zeros_like(v), all, {limits.tolerance, limits.products, /*restart=*/60});
        s.record(std::move(found.report));
        return found.u;
      }
      const Tensor u = solved(problem, systems);
      // LU is backward stable: the residual is some ε ‖I − Jᵀ‖ ‖u‖, far below this unless I − J is as good as singular
      s.record(adjoint_report(s.products(), "dense", v + problem.vjp(u) - u, v, {.products = systems.unknowns + 1, .tolerance = 1e-8}));
      return u;
    };
    return {services.implicit(f, z, adjoint, JacobianAt::state)};
  }

 private:
  ExactLimits limits_;
};

}  // namespace

Tensor dense_transposed_jacobian(const AdjointProblem& problem) {
  const Systems s = systems_of(problem);
  const auto options = problem.cotangent.options();
  const Tensor matrix = torch::empty({s.count, s.unknowns, s.unknowns}, options.dtype(torch::kFloat64));
  for (std::int64_t j = 0; j < s.unknowns; ++j) {
    const Tensor unit = torch::zeros({s.count, s.unknowns}, options);
    unit.select(1, j).fill_(1);
    matrix.select(2, j).copy_(problem.vjp(unit.reshape(problem.cotangent.sizes())).reshape({s.count, s.unknowns}));
  }
  return matrix;
}

std::shared_ptr<GradientMethod> exact_gradient(const ExactLimits& limits) { return std::make_shared<Exact>(limits); }

}  // namespace zstar::gradient
