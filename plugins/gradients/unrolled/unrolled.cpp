/// \file Differentiation through the iterations themselves, all or the last. Equations and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/mixed.hpp>
#include <zstar/sdk.hpp>

#include <algorithm>

#include <zstar/abi/gradient.hpp>
#include <zstar/adjoint_report.hpp>

namespace {

using torch::Tensor;
using zstar::State;

enum class Tracked { all, last };

/// z ← (1 − β) z + β f(z), K times from z0, on the autograd graph: all steps, or the last k of them.
///
/// \par Cost  K evaluations of f forward; memory of as many graphs as steps are tracked (of one, with [gradient] checkpoint)
/// \par Sources  Shaban et al., Truncated back-propagation for bilevel optimization, AISTATS 2019, proposition 3.1
template <Tracked which>
class Unrolled final : public zstar::GradientMethod {
 public:
  struct Options {
    std::int64_t steps = 40, tracked = 5, every = 0;
    double beta = 1.0, tolerance = 0.0;
  };
  static auto options() {
    using O = Options;
    const auto common = std::tuple{
        zstar::opt("steps", &O::steps, "K, steps from the start", zstar::at_least(1)),
        zstar::opt("beta", &O::beta, "β, mixing; 1 is undamped", zstar::Range{.low = 0, .high = 2, .open_low = true}),
        zstar::opt("every", &O::every, "hand out every so many tracked steps, and the last; 0: the last alone", zstar::at_least(0)),
        zstar::opt("tolerance", &O::tolerance, "steps end early once ‖f(z) − z‖ ≤ this times ‖f(z)‖ for the whole batch; 0: never", zstar::at_least(0.0))};
    if constexpr (which == Tracked::all) return common;
    else return std::tuple_cat(common, std::tuple{zstar::opt("tracked", &O::tracked, "k, steps that are differentiated, the last ones", zstar::at_least(1))});
  }
  Unrolled(const Options& o, zstar::Host&) : o_(o) {
    if (which == Tracked::last && o_.tracked > o_.steps)
      throw zstar::OptionError("tracked", "tracked = " + std::to_string(o_.tracked) + " steps of " + std::to_string(o_.steps) + " cannot be differentiated; lower it or raise steps");
  }

  void* query(std::string_view id) override {
    if (id == zstar::Exemptions::id) return &exemptions_;
    if (id == zstar::ByAutograd::id) return &by_autograd_;
    return id == zstar::FromStart::id ? &from_start_ : nullptr;
  }

  std::vector<State> attach(const zstar::FixedPointMap& f, const State& z0, std::int64_t /*index*/, std::int64_t /*count*/,
                            zstar::GradientServices& services) override {
    State z = z0;
    std::int64_t left = o_.steps;
    const std::int64_t last = which == Tracked::all ? o_.steps : o_.tracked;
    {
      const torch::NoGradGuard no_grad;
      for (; left > last; --left) {
        const State fz = services.evaluate(f, z);
        const bool settled = is_settled(z, fz);
        z = zstar::mixed(z, fz, o_.beta);
        if (settled) left = last + 1;
      }
    }
    std::vector<State> out;
    for (std::int64_t k = 1; k <= last; ++k) {
      const State fz = services.evaluate(f, z);
      const bool end = k == last || (which == Tracked::all && is_settled(z, fz));
      z = zstar::mixed(z, fz, o_.beta);
      if (end || (o_.every > 0 && k % o_.every == 0)) out.push_back(z);
      if (end) break;
    }
    return out;
  }

 private:
  bool is_settled(const State& z, const State& fz) const {
    if (o_.tolerance == 0) return false;
    const torch::NoGradGuard no_grad;
    double residual2 = 0, size2 = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      residual2 += (fz[i] - z[i]).square().sum().template item<double>();
      size2 += fz[i].square().sum().template item<double>();
    }
    return residual2 <= o_.tolerance * o_.tolerance * size2;
  }

  Options o_;
  zstar::FromStart from_start_;
  zstar::ByAutograd by_autograd_{.whole = which == Tracked::all};
  zstar::Exemptions exemptions_{{{"states", "it iterates from the start by itself, so that no states of a solve are sampled"}}};
};

using All = Unrolled<Tracked::all>;
using Last = Unrolled<Tracked::last>;

}  // namespace

ZSTAR_PLUGIN("zstar.unrolled", "0.1.0", "differentiation through the iterations")
ZSTAR_GRADIENT(All, "unrolled", "every step of a damped iteration from the start on the autograd graph")
ZSTAR_GRADIENT(Last, "truncated", "a damped iteration from the start, of which the last steps are differentiated")
