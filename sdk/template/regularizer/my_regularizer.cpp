/// \file A penalty on the equilibrium, to start from: replace the equation, the options and the names.
#include <zstar/sdk.hpp>

#include <zstar/abi/regularizer.hpp>

namespace {

using torch::Tensor;

/// mean over all numbers of the state of max(0, |z⋆| − free)²
class MyRegularizer final : public zstar::Regularizer {
 public:
  struct Options {
    double free = 0.0;
  };
  static auto options() { return std::tuple{zstar::opt("free", &Options::free, "magnitude that costs nothing", zstar::at_least(0.0))}; }
  MyRegularizer(const Options& o, zstar::Host&) : o_(o) {}

  Tensor penalty(const zstar::Solved& solved, const at::Generator& /*generator*/) override {
    Tensor sum;
    std::int64_t numbers = 0;
    for (const Tensor& t : solved.equilibrium.z()) {
      const Tensor excess = (t.abs() - o_.free).clamp_min(0).square().sum();
      sum = sum.defined() ? sum + excess : excess;
      numbers += t.numel();
    }
    return sum / static_cast<double>(numbers);
  }

 private:
  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("me.my-regularizer", "0.1.0", "my regularizers")
ZSTAR_REGULARIZER(MyRegularizer, "my_regularizer", "mean square of the equilibrium")
