/// \file Reversible iteration: exact gradients of all steps without storing them. Equations and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/mixed.hpp>
#include <zstar/sdk.hpp>

#include <algorithm>
#include <cmath>

#include <zstar/abi/gradient.hpp>
#include <zstar/adjoint_report.hpp>

#include "node.hpp"

namespace {

using torch::Tensor;
using zstar::State;
using zstar_reversible::Course;

/// Two coupled averages, each step of which can be undone:
///
///   y⁺ = (1 − β) y + β f(z),  z⁺ = (1 − β) z + β f(y⁺);   z = (z⁺ − β f(y⁺)) / (1 − β),  y = (y⁺ − β f(z)) / (1 − β)
///
/// Rounding grows backwards by at most a factor g a step, so that a pair is stored every s steps with ε gˢ ≤ tolerance.
///
/// \par Cost  2 K evaluations of f forward; as many, with their products, backward; memory of 2 K / s + 4 states and one graph of f
/// \par Sources  Reversible deep equilibrium models, arXiv:2509.12917; Zhuang et al., MALI, ICLR 2021 (bounds of undoing a step)
class Reversible final : public zstar::GradientMethod, public zstar::Statistics {
 public:
  struct Options {
    std::int64_t steps = 20, every = 0;
    double beta = 0.5, tolerance = 1e-3;
  };
  static auto options() {
    using O = Options;
    return std::tuple{
        zstar::opt("steps", &O::steps, "K, steps of the pair from the start", zstar::at_least(1)),
        zstar::opt("beta", &O::beta, "β, mixing of both averages", zstar::Range{.low = 0, .high = 1, .open_low = true, .open_high = true}),
        zstar::opt("tolerance", &O::tolerance, "relative error of a state made again that is allowed", zstar::above(0.0)),
        zstar::opt("every", &O::every, "s, steps from one stored pair to the next; 0: as far as the tolerance allows", zstar::at_least(0))};
  }
  Reversible(const Options& o, zstar::Host& host) : o_(o), host_(host) {}

  void* query(std::string_view id) override {
    if (id == zstar::FromStart::id) return &from_start_;
    if (id == zstar::Exemptions::id) return &exemptions_;
    if (id == zstar::ByAutograd::id) return &by_autograd_;
    return id == zstar::Statistics::id ? static_cast<zstar::Statistics*>(this) : nullptr;
  }
  /// Of the last call: ε gˢ, the largest relative difference between a pair made again and the one stored, pairs stored.
  std::vector<std::pair<std::string, Tensor>> statistics() override {
    if (!measured_) return {};
    return {{"predicted_error", torch::full({}, predicted_, torch::kFloat64)}, {"measured_error", torch::full({}, *measured_, torch::kFloat64)},
            {"stored_pairs", torch::full({}, static_cast<double>(stored_), torch::kFloat64)}};
  }

  std::vector<State> attach(const zstar::FixedPointMap& f, const State& z0, std::int64_t /*index*/, std::int64_t /*count*/,
                            zstar::GradientServices& services) override {
    const double epsilon = precision(z0), growth = growth_of(f.declared().lipschitz.value_or(1.0));
    const std::int64_t every = o_.every > 0 ? std::min(o_.every, o_.steps) : spacing(epsilon, growth);
    predicted_ = epsilon * std::pow(growth, static_cast<double>(every));
    if (predicted_ > o_.tolerance)
      host_.warn("reversible: states made again may be wrong by " + std::to_string(predicted_) + " of their size; lower every or beta, or use a wider dtype");
    Course course{f, o_.beta, {}, {}, {}, {}, every};
    State z = z0, y = z0;
    {
      const torch::NoGradGuard no_grad;
      for (std::int64_t k = 0; k < o_.steps; ++k) {
        if (k % every == 0) course.stored.push_back({y, z});
        y = zstar::mixed(y, services.evaluate(f, z), o_.beta);
        z = zstar::mixed(z, services.evaluate(f, y), o_.beta);
      }
    }
    course.y = y, course.z = z;
    stored_ = course.stored.size();
    measured_ = std::make_shared<double>(0.0);
    return {zstar_reversible::attached(std::move(course), o_.steps, measured_)};
  }

 private:
  static double precision(const State& z) {
    double epsilon = 0;
    for (const Tensor& t : z)
      epsilon = std::max(epsilon, t.scalar_type() == torch::kFloat64 ? 2.3e-16 : t.scalar_type() == torch::kFloat32 ? 1.2e-7 : t.scalar_type() == torch::kHalf ? 1e-3 : 8e-3);
    return epsilon;
  }
  /// Largest growth of an error of the pair when a step is undone, in the larger of the two norms, for ‖J‖ ≤ L.
  double growth_of(double lipschitz) const {
    const double c = o_.beta * lipschitz;
    return (1 + c * std::max(1.0, (1 + c) / (1 - o_.beta))) / (1 - o_.beta);
  }
  std::int64_t spacing(double epsilon, double growth) const {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::log(o_.tolerance / epsilon) / std::log(growth)), 1, o_.steps);
  }

  Options o_;
  zstar::Host& host_;
  zstar::FromStart from_start_;
  zstar::ByAutograd by_autograd_{.whole = true};
  zstar::Exemptions exemptions_{{{"states", "it iterates from the start by itself, so that no states of a solve are sampled"},
                                  {"no_coupling", "states that are made again agree up to the option tolerance"}}};
  double predicted_ = 0;
  std::size_t stored_ = 0;
  std::shared_ptr<double> measured_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.reversible", "0.1.0", "reversible iteration")
ZSTAR_GRADIENT(Reversible, "reversible", "a coupled iteration that backward undoes step by step, with stored pairs where rounding would grow")
