/// \file Gradient methods and norms with one fault each.
#include <clocale>

#include <zstar/claims.hpp>
#include <zstar/sdk.hpp>

#include <zstar/abi/gradient.hpp>

namespace {

using torch::Tensor;

enum class Fault {
  none,
  one_step,        ///< passes the cotangent on, and claims to be exact
  sign,            ///< u = v − Jᵀu
  image,           ///< an adjoint that is not the one whose residual was reported
  absolute,        ///< ends when the residual is small, not small against v
  leaks,           ///< remembers the last map
  second_backward, ///< the second backward is the one-step gradient
  batch_mean,      ///< cotangents are centred over the batch
  locale,          ///< the locale of the process is changed in the second call of the adjoint
};

template <Fault fault>
class Sick final : public zstar::GradientMethod {
 public:
  explicit Sick(zstar::Host&) {}
  void* query(std::string_view id) override { return id == zstar::GradientClaims::id ? &claims_ : nullptr; }

  std::vector<zstar::State> attach(const zstar::FixedPointMap& f, const zstar::State& z, std::int64_t, std::int64_t,
                                   zstar::GradientServices& services) override {
    if (fault == Fault::leaks) last_ = f;
    auto calls = std::make_shared<int>(0);
    return {services.implicit(f, z, [calls](const zstar::AdjointProblem& p, zstar::AdjointServices& s) { return adjoint(p, s, ++*calls); }, zstar::JacobianAt::state)};
  }

 private:
  static Tensor adjoint(const zstar::AdjointProblem& problem, zstar::AdjointServices& services, int call) {
    if (fault == Fault::locale && call > 1) std::setlocale(LC_ALL, "C.UTF-8");
    if (fault == Fault::one_step || (fault == Fault::second_backward && call > 1)) return problem.cotangent;
    if (fault == Fault::absolute) return plain(problem);
    zstar::AdjointProblem p = problem;
    if (fault == Fault::sign) p.vjp = [&problem](const Tensor& u) { return -problem.vjp(u); };
    if (fault == Fault::batch_mean) p.cotangent = problem.cotangent - problem.cotangent.mean(0, true);
    const Tensor u = services.solve(p);
    return fault == Fault::image ? problem.vjp(u) + problem.cotangent + 1e-3 * u : u;
  }
  static Tensor plain(const zstar::AdjointProblem& problem) {
    Tensor u = problem.cotangent;
    for (int k = 0; k < 400; ++k) {
      const Tensor next = problem.vjp(u) + problem.cotangent;
      if ((next - u).norm().item<double>() < 1e-11) return next;
      u = next;
    }
    return u;
  }

  zstar::GradientClaims claims_{.exact = true};
  zstar::FixedPointMap last_;
};

enum class NormFault { none, detached, zero_row, wrong_dtype, not_pure, locale };

/// W = V g / ‖V‖, row by row.
template <NormFault fault>
class SickNorm final : public zstar::Norm {
 public:
  explicit SickNorm(zstar::Host&) {}
  std::vector<zstar::Stored> store(const Tensor& weight, const zstar::Geometry& geometry) override {
    if (fault == NormFault::locale) std::setlocale(LC_ALL, "C.UTF-8");
    const Tensor g = lengths(weight.detach(), geometry);
    return {{"_g", fault == NormFault::wrong_dtype ? g.to(torch::kFloat32) : g, true}, {"_v", weight, true}};
  }
  Tensor effective(const std::vector<Tensor>& stored, const zstar::Geometry& geometry, bool training) override {
    const Tensor& v = stored[1];
    const Tensor length = lengths(fault == NormFault::detached ? v.detach() : v, geometry);
    if (fault == NormFault::not_pure) {
      const torch::NoGradGuard no_grad;
      stored[0].mul_(1.01);
    }
    if (fault == NormFault::zero_row) return v * (stored[0] / length);
    const Tensor zero = length == 0;
    return v * (stored[0] / length.masked_fill(zero, 1.0)).masked_fill(zero, 0.0);
  }

 private:
  static Tensor lengths(const Tensor& v, const zstar::Geometry& geometry) {
    std::vector<std::int64_t> axes;
    for (std::int64_t axis = 0; axis < v.dim(); ++axis)
      if (axis != geometry.output_axis) axes.push_back(axis);
    return v.norm(2, axes, true);
  }
};

}  // namespace

ZSTAR_GRADIENT(Sick<Fault::none>, "healthy_gradient", "no fault")
ZSTAR_GRADIENT(Sick<Fault::one_step>, "one_step", "the one-step gradient, passed off as exact")
ZSTAR_GRADIENT(Sick<Fault::sign>, "adjoint_sign", "solves u = v − Jᵀu")
ZSTAR_GRADIENT(Sick<Fault::image>, "false_report", "returns another adjoint than the one whose residual it reports")
ZSTAR_GRADIENT(Sick<Fault::absolute>, "absolute_residual", "an adjoint solve that ends at an absolute residual")
ZSTAR_GRADIENT(Sick<Fault::leaks>, "leaks", "holds the map of its last call")
ZSTAR_GRADIENT(Sick<Fault::second_backward>, "second_backward", "the second backward of one graph is the one-step gradient")
ZSTAR_GRADIENT(Sick<Fault::batch_mean>, "batch_mean", "cotangents are centred over the batch")
ZSTAR_GRADIENT(Sick<Fault::locale>, "locale_gradient", "changes the locale of the process in the second backward of a graph")
ZSTAR_NORM(SickNorm<NormFault::locale>, "locale_norm", "changes the locale of the process when it takes a weight")
ZSTAR_NORM(SickNorm<NormFault::none>, "healthy_norm", "no fault")
ZSTAR_NORM(SickNorm<NormFault::detached>, "detached", "no gradient through the length of the rows")
ZSTAR_NORM(SickNorm<NormFault::zero_row>, "zero_row", "divides by the length of a row that may be zero")
ZSTAR_NORM(SickNorm<NormFault::wrong_dtype>, "scale_dtype", "the scale is float32, whatever the weight is")
ZSTAR_NORM(SickNorm<NormFault::not_pure>, "not_pure", "evaluation changes a parameter")
