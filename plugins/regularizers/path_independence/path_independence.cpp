/// \file Path independence. Equation and sources: README.md.
#include <zstar/sdk.hpp>

#include <zstar/abi/host.hpp>
#include <zstar/abi/regularizer.hpp>
#include <zstar/nn/initial.hpp>
#include <zstar/penalty.hpp>

namespace {

using torch::Tensor;
using zstar::State;

/// mean_b ‖z′ − z⋆‖² / ‖z⋆‖², z′ the equilibrium that the same map reaches from a random start.
///
/// \par Cost  one more solve and its gradient
/// \par Sources  Anil et al., Path independent equilibrium models, NeurIPS 2022, section 4
class PathIndependence final : public zstar::Regularizer {
 public:
  struct Options {
    std::string start = "normal";
    double scale = 1.0;
    bool through_solution = true;
  };
  static auto options() {
    return std::tuple{zstar::choice("start", &Options::start, "the other start: standard normal numbers, or mixed: those times Bernoulli(1/2)", {"normal", "mixed"}),
                      zstar::opt("scale", &Options::scale, "of the start", zstar::above(0.0)),
                      zstar::opt("through_solution", &Options::through_solution, "send a gradient into z⋆, too; else only z′ is drawn towards it")};
  }
  PathIndependence(const Options& o, zstar::Host& host) : o_(o), layer_(host.layer()) {}

  Tensor penalty(const zstar::Solved& solved, const at::Generator& generator) override {
    const torch::AutoGradMode grad(true);
    const State& found = solved.equilibrium.z();
    std::vector<Tensor> start;
    for (const Tensor& t : found) start.push_back(zstar::nn::random_initial(t, o_.start, generator) * o_.scale);
    // Evaluation mode: the starts that training remembers are left alone.
    const auto other = layer_->solve(solved.map, State(std::move(start), found.axes()), {.training = false, .gradient = true});
    const State z = o_.through_solution ? found : zstar::detached_state(found);
    const Tensor size = zstar::length2_of(zstar::detached_state(found)), distance = zstar::length2_of(zstar::added(other.z(), z, -1.0));
    return (distance / size.clamp_min(1e-12)).mean();
  }

 private:
  Options o_;
  std::shared_ptr<zstar::EquilibriumLayer> layer_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.path-independence", "0.1.0", "path independence")
ZSTAR_REGULARIZER(PathIndependence, "path_independence", "distance of the equilibria that two starts lead to")
