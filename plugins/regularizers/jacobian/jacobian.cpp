/// \file Penalty on the Frobenius norm of the Jacobian. Equation and sources: README.md.
#include <zstar/sdk.hpp>

#include <cmath>

#include <zstar/abi/regularizer.hpp>
#include <zstar/penalty.hpp>

namespace {

using torch::Tensor;
using zstar::State;

/// (1/P) Σ_p ‖Jᵀ e_p‖² / (B D), e_p standard normal or of random signs: an unbiased estimate of ‖J‖²_F / (B D); or that value itself.
///
/// \par Cost  one evaluation of f and P (exact: D) vector–Jacobian products, all differentiable
/// \par Sources  Bai, Koltun & Kolter, Stabilizing equilibrium models by Jacobian regularization, ICML 2021, equation 6
class Jacobian final : public zstar::Regularizer, public zstar::Probed, public zstar::Statistics {
 public:
  struct Options {
    std::int64_t probes = 1, exact_below = 0;
    std::string distribution = "normal";
    bool through_solution = false;
  };
  static auto options() {
    return std::tuple{
        zstar::opt("probes", &Options::probes, "P, random vectors a penalty", zstar::at_least(1)),
        zstar::choice("distribution", &Options::distribution, "of the random vectors", {"normal", "rademacher"}),
        zstar::opt("exact_below", &Options::exact_below,
                   "states of at most this many numbers a sample get the exact value, by as many products; samples must be independent; 0: never", zstar::at_least(0)),
        zstar::opt("through_solution", &Options::through_solution,
                   "send a gradient into the equilibrium, too, and from there through the gradient method")};
  }
  Jacobian(const Options& o, zstar::Host&) : o_(o) {}

  void* query(std::string_view id) override {
    if (id == zstar::Statistics::id) return static_cast<zstar::Statistics*>(this);
    return id == zstar::Probed::id ? static_cast<zstar::Probed*>(this) : nullptr;
  }
  /// Of the last penalty: its standard error by the spread over the random vectors (P > 1), 0 where it is exact.
  std::vector<std::pair<std::string, Tensor>> statistics() override {
    if (!error_.defined()) return {};
    return {{"standard_error", error_}};
  }

  Tensor penalty(const zstar::Solved& solved, const at::Generator& generator) override {
    const State& z = solved.equilibrium.z();
    const std::int64_t width = width_of(z);
    if (o_.exact_below > 0 && width <= o_.exact_below) return exact(solved, width);
    std::vector<State> probes;
    for (std::int64_t p = 0; p < o_.probes; ++p) probes.push_back(zstar::random_like(z, o_.distribution, generator));
    return penalty(solved, probes);
  }

  Tensor penalty(const zstar::Solved& solved, const std::vector<State>& probes) override {
    const std::vector<Tensor> values = squares(solved, probes);
    Tensor sum = values[0];
    for (std::size_t p = 1; p < values.size(); ++p) sum = sum + values[p];
    error_ = Tensor();
    if (values.size() > 1) error_ = torch::stack(values).detach().std(/*unbiased=*/true) / std::sqrt(static_cast<double>(values.size()));
    return sum / static_cast<double>(probes.size());
  }

 private:
  static std::int64_t width_of(const State& z) {
    std::int64_t width = 0;
    for (std::size_t i = 0; i < z.size(); ++i) width += z.axis(i) < 0 ? z[i].numel() : z[i].numel() / std::max<std::int64_t>(1, z[i].size(z.axis(i)));
    return width;
  }

  /// ‖Jᵀe‖² / (B D) of each vector.
  std::vector<Tensor> squares(const zstar::Solved& solved, const std::vector<State>& probes) const {
    const torch::AutoGradMode grad(true);
    const State point = zstar::leaves_of(solved.equilibrium.z(), o_.through_solution), y = solved.map(point);
    double numbers = 0;
    for (const Tensor& t : point) numbers += static_cast<double>(t.numel());
    std::vector<Tensor> values;
    for (const State& e : probes) values.push_back(zstar::length2_of(zstar::pulled_back(y, point, e, /*create_graph=*/true)).sum() / numbers);
    return values;
  }

  /// One unit vector for each number of a sample, all samples at once.
  Tensor exact(const zstar::Solved& solved, std::int64_t width) {
    const State& z = solved.equilibrium.z();
    std::vector<State> basis;
    for (std::int64_t i = 0; i < width; ++i) {
      std::vector<Tensor> tensors;
      std::int64_t first = 0;
      for (std::size_t t = 0; t < z.size(); ++t) {
        Tensor unit = torch::zeros_like(z[t].detach());
        const Tensor rows = z.axis(t) > 0 ? unit.movedim(z.axis(t), 0) : unit;
        const std::int64_t batch = z.axis(t) < 0 ? 1 : rows.size(0), own = unit.numel() / std::max<std::int64_t>(1, batch);
        if (i >= first && i < first + own) {
          const Tensor flat = torch::zeros({batch, own}, unit.options());
          flat.select(1, i - first).fill_(1);
          unit = flat.reshape(rows.sizes());
          if (z.axis(t) > 0) unit = unit.movedim(0, z.axis(t));
        }
        first += own;
        tensors.push_back(unit);
      }
      basis.emplace_back(std::move(tensors), z.axes());
    }
    const Tensor mean = penalty(solved, basis);
    error_ = torch::zeros({}, torch::kFloat64);
    return mean * static_cast<double>(width);
  }

  Options o_;
  Tensor error_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.jacobian", "0.2.0", "Jacobian regularisation")
ZSTAR_REGULARIZER(Jacobian, "jacobian", "Hutchinson estimate of the squared Frobenius norm of ∂f/∂z, a number of the state")
