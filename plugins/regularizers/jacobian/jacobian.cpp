/// \file Penalty on the Frobenius norm of the Jacobian. Equation and sources: README.md.
#include <zstar/sdk.hpp>

#include <zstar/abi/regularizer.hpp>

namespace {

using torch::Tensor;
using zstar::State;

/// (1/P) Σ_p ‖Jᵀ e_p‖² / (B D), e_p standard normal or of random signs: an unbiased estimate of ‖J‖²_F / (B D).
///
/// \par Cost  one evaluation of f and P vector–Jacobian products, all differentiable
/// \par Sources  Bai, Koltun & Kolter, Stabilizing equilibrium models by Jacobian regularization, ICML 2021, equation 6
class Jacobian final : public zstar::Regularizer, public zstar::Probed {
 public:
  struct Options {
    std::int64_t probes = 1;
    std::string distribution = "normal";
    bool through_solution = false;
  };
  static auto options() {
    return std::tuple{
        zstar::opt("probes", &Options::probes, "P, random vectors a penalty", zstar::at_least(1)),
        zstar::choice("distribution", &Options::distribution, "of the random vectors", {"normal", "rademacher"}),
        zstar::opt("through_solution", &Options::through_solution,
                   "send a gradient into the equilibrium, too, and from there through the gradient method")};
  }
  Jacobian(const Options& o, zstar::Host&) : o_(o) {}

  void* query(std::string_view id) override { return id == zstar::Probed::id ? static_cast<zstar::Probed*>(this) : nullptr; }

  Tensor penalty(const zstar::Solved& solved, const at::Generator& generator) override {
    std::vector<State> probes;
    for (std::int64_t p = 0; p < o_.probes; ++p) probes.push_back(draw(solved.equilibrium.z(), generator));
    return penalty(solved, probes);
  }

  Tensor penalty(const zstar::Solved& solved, const std::vector<State>& probes) override {
    const torch::AutoGradMode grad(true);
    const State& z = solved.equilibrium.z();
    std::vector<Tensor> leaves;
    std::int64_t numbers = 0;
    for (const Tensor& t : z) {
      leaves.push_back(o_.through_solution && t.requires_grad() ? t : t.detach().requires_grad_());
      numbers += t.numel();
    }
    const State point(std::move(leaves), z.axes()), y = solved.map(point);
    const bool wide = y[0].scalar_type() == torch::kFloat64;
    Tensor sum = torch::zeros({}, y[0].options().dtype(wide ? torch::kFloat64 : torch::kFloat32));
    for (const State& e : probes)
      for (const Tensor& t : torch::autograd::grad(y.tensors(), point.tensors(), e.tensors(), /*retain_graph=*/true,
                                                   /*create_graph=*/true, /*allow_unused=*/true))
        if (t.defined()) sum = sum + t.to(sum.scalar_type()).square().sum();
    return sum / static_cast<double>(numbers * static_cast<std::int64_t>(probes.size()));
  }

 private:
  State draw(const State& like, const at::Generator& generator) const {
    std::vector<Tensor> tensors;
    for (const Tensor& t : like) {
      const Tensor e = torch::empty_like(t.detach());
      tensors.push_back(o_.distribution == "normal" ? e.normal_(0.0, 1.0, generator)
                                                    : e.bernoulli_(0.5, generator).mul_(2.0).sub_(1.0));
    }
    return {std::move(tensors), like.axes()};
  }

  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.jacobian", "0.1.0", "Jacobian regularisation")
ZSTAR_REGULARIZER(Jacobian, "jacobian", "Hutchinson estimate of the squared Frobenius norm of ∂f/∂z, a number of the state")
