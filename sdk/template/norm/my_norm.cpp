/// \file A norm that bounds weights, to start from: replace the equation, the options and the names.
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

/// W = V min(1, bound / ‖V‖_F): weights inside the ball are left alone.
class MyNorm final : public zstar::Norm {
 public:
  struct Options {
    double bound = 1.0;
  };
  static auto options() { return std::tuple{zstar::opt("bound", &Options::bound, "largest Frobenius norm of a weight", zstar::above(0.0))}; }
  MyNorm(const Options& o, zstar::Host&) : o_(o) {}

  std::vector<zstar::Stored> store(const Tensor& weight, const zstar::Geometry& /*geometry*/) override { return {{"_v", weight, /*trainable=*/true}}; }

  Tensor effective(const std::vector<Tensor>& stored, const zstar::Geometry& /*geometry*/, bool /*training*/) override {
    const Tensor& v = stored[0];
    return v * (o_.bound / v.norm().clamp_min(o_.bound));
  }

 private:
  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("me.my-norm", "0.1.0", "my norms")
ZSTAR_NORM(MyNorm, "my_norm", "weights scaled down to a Frobenius norm")
