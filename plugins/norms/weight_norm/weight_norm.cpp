/// \file Weight normalisation. Equation, symbols and sources: README.md.
#include <zstar/sdk.hpp>

#include <optional>

namespace {

using torch::Tensor;
using zstar::Geometry;

/// W = V φ, φ = g / ‖V‖ over everything but the output axis; without a learned scale g is `target`. Zero rows stay zero.
class WeightNorm final : public zstar::Norm {
 public:
  struct Options {
    bool learn_scale = true, clip = false, clip_below = true;
    std::optional<double> target;
    double clip_value = 1.0;
  };
  static auto options() {
    return std::tuple{
        zstar::opt("learn_scale", &Options::learn_scale, "g is a parameter, one number an output"),
        zstar::opt("target", &Options::target,
                   "norm of every row, at first if g is learned; unset: the norms of the weight as it is, or 1 without a learned scale",
                   zstar::above(0.0)),
        zstar::opt("clip", &Options::clip, "keep |φ| at or below clip_value"),
        zstar::opt("clip_below", &Options::clip_below, "clip: a negative φ as well; false, as published: only one above clip_value"),
        zstar::opt("clip_value", &Options::clip_value, "bound of |φ|", zstar::above(0.0))};
  }
  WeightNorm(const Options& o, zstar::Host&) : o_(o) {}

  std::vector<zstar::Stored> store(const Tensor& weight, const Geometry& geometry) override {
    if (!o_.learn_scale) return {{"_v", weight, true}};
    const Tensor norms = slice_norms(weight.detach(), geometry);
    return {{"_g", o_.target ? torch::full_like(norms, *o_.target) : norms, true}, {"_v", weight, true}};
  }

  Tensor effective(const std::vector<Tensor>& stored, const Geometry& geometry, bool /*training*/) override {
    const Tensor& v = stored.back();
    const Tensor norm = slice_norms(v, geometry), zero = norm == 0;
    const Tensor g = o_.learn_scale ? stored.front() : torch::full_like(norm, o_.target.value_or(1.0));
    Tensor factor = (g / norm.masked_fill(zero, 1.0)).masked_fill(zero, 0.0);  // a row of zeros has no direction: it stays
    if (o_.clip) factor = o_.clip_below ? factor.clamp(-o_.clip_value, o_.clip_value) : factor.clamp_max(o_.clip_value);
    return v * factor;
  }

 private:
  /// ‖V‖ of every output's slice, in a shape that broadcasts against V. The gradient at a slice of zeros is zero.
  static Tensor slice_norms(const Tensor& v, const Geometry& geometry) {
    std::vector<std::int64_t> axes;
    for (std::int64_t axis = 0; axis < v.dim(); ++axis)
      if (axis != geometry.output_axis) axes.push_back(axis);
    return v.norm(2, axes, /*keepdim=*/true);
  }

  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.weight-norm", "0.1.0", "weight normalisation")
ZSTAR_NORM(WeightNorm, "weight_norm", "W = V g / ‖V‖, row by row")
