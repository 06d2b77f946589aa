/// \file Spectral normalisation. Equation, symbols and sources: README.md.
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;
using zstar::Geometry;

/// W = V φ, φ = g / σ, σ = uᵀ M v the largest singular value of the weight as a matrix M [out, rest], by power iteration
/// that goes on from step to step. The gradient sees M alone: u and v are constants.
class SpectralNorm final : public zstar::Norm {
 public:
  struct Options {
    bool learn_scale = true, clip = false;
    std::string scale = "scalar";
    double target = 1.0, clip_value = 1.0;
    std::int64_t power_iterations = 1;
  };
  static auto options() {
    return std::tuple{
        zstar::opt("learn_scale", &Options::learn_scale, "g is a parameter; at first target"),
        zstar::choice("scale", &Options::scale, "g is one number, the operator norm; or one for each output, as published",
                      {"scalar", "per_row"}),
        zstar::opt("target", &Options::target, "operator norm without a learned scale, or g at first", zstar::above(0.0)),
        zstar::opt("clip", &Options::clip, "keep |φ| at or below clip_value"),
        zstar::opt("clip_value", &Options::clip_value, "bound of |φ|", zstar::above(0.0)),
        zstar::opt("power_iterations", &Options::power_iterations, "per solve in training", zstar::at_least(1))};
  }
  SpectralNorm(const Options& o, zstar::Host&) : o_(o) {}

  std::vector<zstar::Stored> store(const Tensor& weight, const Geometry& geometry) override {
    const torch::NoGradGuard no_grad;
    const Tensor m = matrix(weight, geometry);
    Tensor u = torch::randn({m.size(0)}, m.options()), v = torch::randn({m.size(1)}, m.options());
    u.div_(u.norm().clamp_min(eps)), v.div_(v.norm().clamp_min(eps));
    settle(m, u, v);
    std::vector<zstar::Stored> stored{{"_orig", weight, true}};
    if (o_.learn_scale) stored.push_back({"_g", torch::full(scale_sizes(weight, geometry), o_.target, weight.options()), true});
    stored.push_back({"_u", u, false});
    stored.push_back({"_v", v, false});
    return stored;
  }

  Tensor effective(const std::vector<Tensor>& stored, const Geometry& geometry, bool training) override {
    const Tensor &weight = stored.front(), &u = stored[stored.size() - 2], &v = stored.back();
    const Tensor m = matrix(weight, geometry);
    if (training) {
      const torch::NoGradGuard no_grad;
      for (std::int64_t k = 0; k < o_.power_iterations; ++k) iterate(m.detach(), u, v);
    }
    const Tensor sigma = torch::dot(u.clone(), m.mv(v.clone()));  // copies: later solves iterate u and v in place
    const Tensor g = o_.learn_scale ? stored[1] : torch::full({}, o_.target, weight.options());
    Tensor factor = g / sigma;
    if (o_.clip) factor = factor.clamp(-o_.clip_value, o_.clip_value);
    return weight * factor;
  }

 private:
  static constexpr double eps = 1e-12;

  static Tensor matrix(const Tensor& weight, const Geometry& geometry) {
    return weight.movedim(geometry.output_axis, 0).flatten(1);  // [out, rest]
  }
  static void iterate(const Tensor& m, const Tensor& u, const Tensor& v) {
    const Tensor a = m.t().mv(u);
    v.copy_(a / a.norm().clamp_min(eps));
    const Tensor b = m.mv(v);
    u.copy_(b / b.norm().clamp_min(eps));
  }
  /// Until σ moves by less than 1e-4 of itself, so that the weight is normalised from the first use on.
  static void settle(const Tensor& m, const Tensor& u, const Tensor& v) {
    double before = 0;
    for (int k = 0; k < 1000; ++k) {
      iterate(m, u, v);
      const double sigma = torch::dot(u, m.mv(v)).item<double>();
      if (std::abs(sigma - before) <= 1e-6 * std::abs(sigma)) return;
      before = sigma;
    }
  }
  std::vector<std::int64_t> scale_sizes(const Tensor& weight, const Geometry& geometry) const {
    if (o_.scale == "scalar") return {};
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(weight.dim()), 1);
    sizes[static_cast<std::size_t>(geometry.output_axis)] = weight.size(geometry.output_axis);
    return sizes;
  }

  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.spectral-norm", "0.1.0", "spectral normalisation")
ZSTAR_NORM(SpectralNorm, "spectral_norm", "W = V g / σ(V)")
