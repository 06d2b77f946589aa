/// \file Phantom gradients, unrolled form. Equation and sources: README.md.
#include <zstar/mixed.hpp>
#include <zstar/sdk.hpp>

#include <algorithm>

#include <zstar/abi/gradient.hpp>
#include <zstar/adjoint_report.hpp>

namespace {

using zstar::State;

/// k damped steps on the autograd graph, from the solved state: z ← (1 − β) z + β f(z).
///
/// \par Cost  k tracked evaluations of f, and their backward pass
/// \par Sources  Geng, Zhang, Bai, Wang & Lin, On training implicit models, NeurIPS 2021, equation 7
class Phantom final : public zstar::GradientMethod {
 public:
  struct Options {
    std::vector<std::int64_t> steps = {1};
    double beta = 1.0;
    std::int64_t every = 0;
    std::vector<std::int64_t> at;
  };
  static auto options() {
    return std::tuple{
        zstar::opt("steps", &Options::steps, "k, steps on the graph: one number, or one for each sampled state",
                   zstar::at_least(1)),
        zstar::opt("beta", &Options::beta, "β, mixing of these steps; 1 is undamped", zstar::within(0.0, 2.0)),
        zstar::opt("every", &Options::every, "hand out every so many steps, and the last; 0: the last alone",
                   zstar::at_least(0)),
        zstar::opt("at", &Options::at, "hand out these steps, and the last; excludes every", zstar::at_least(1))};
  }
  Phantom(const Options& o, zstar::Host&) : o_(o), for_states_{static_cast<std::int64_t>(o.steps.size()), "steps"} {
    if (o_.steps.empty()) throw zstar::OptionError("steps", "steps is empty; expected one number, or one for each state");
    if (o_.every > 0 && !o_.at.empty()) throw zstar::OptionError("at", "at and every exclude one another; give one of them");
    for (std::size_t i = 0; i < o_.at.size(); ++i)
      if (const auto least = *std::min_element(o_.steps.begin(), o_.steps.end()); o_.at[i] > least)
        throw zstar::OptionError("at", "at holds step " + std::to_string(o_.at[i]) + ", only " + std::to_string(least) +
                                           " are made; lower it or raise steps");
  }

  void* query(std::string_view id) override {
    if (id == zstar::ForStates::id && o_.steps.size() != 1) return &for_states_;
    return id == zstar::ByAutograd::id ? &by_autograd_ : nullptr;
  }

  std::vector<State> attach(const zstar::FixedPointMap& f, const State& z0, std::int64_t index, std::int64_t, zstar::GradientServices& services) override {
    const std::int64_t steps = o_.steps.size() == 1 ? o_.steps[0] : o_.steps[static_cast<std::size_t>(index)];
    std::vector<State> out;
    State z = z0;
    for (std::int64_t k = 1; k <= steps; ++k) {
      z = zstar::mixed(z, services.evaluate(f, z), o_.beta);
      const bool listed = std::find(o_.at.begin(), o_.at.end(), k) != o_.at.end();
      if (k == steps || listed || (o_.every > 0 && k % o_.every == 0)) out.push_back(z);
    }
    return out;
  }

 private:
  Options o_;
  zstar::ByAutograd by_autograd_;
  zstar::ForStates for_states_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.phantom", "0.1.0", "phantom gradients")
ZSTAR_GRADIENT(Phantom, "phantom", "k damped steps on the autograd graph from the solved state")
