/// \file Spectral normalisation. Equation, symbols and sources: README.md.
#include <zstar/sdk.hpp>

#include "operator.hpp"

namespace {

using torch::Tensor;
using zstar::Geometry;
using namespace zstar_spectral_norm;

Tensor wide(const Tensor& t) { return t.scalar_type() == torch::kFloat64 ? t : t.to(torch::kFloat32); }
Tensor unit(const Tensor& t) { return t / t.norm().clamp_min(1e-12); }

/// W = V φ, φ = g / σ, σ = ⟨u, A v⟩ the largest singular value of the map A that the weight stands for, by power iteration
/// that goes on from step to step. The gradient sees A alone: u and v are constants.
class SpectralNorm final : public zstar::Norm {
 public:
  struct Options {
    bool learn_scale = true, clip = false, clip_below = true, settle = true;
    std::string scale = "scalar", of = "matrix";
    double target = 1.0, clip_value = 1.0;
    std::int64_t power_iterations = 1;
    std::vector<std::int64_t> input_size;
  };
  static auto options() {
    return std::tuple{
        zstar::opt("learn_scale", &Options::learn_scale, "g is a parameter; at first target"),
        zstar::choice("scale", &Options::scale, "g is one number, the operator norm; or one for each output, as published",
                      {"scalar", "per_row"}),
        zstar::choice("of", &Options::of, "of a convolution: the norm of the kernel as a matrix, or that of the map of images",
                      {"matrix", "operator"}),
        zstar::opt("input_size", &Options::input_size,
                   "of = operator: length, height × width, … of images whose size the model does not say; one number: all axes",
                   zstar::at_least(1)),
        zstar::opt("target", &Options::target, "operator norm without a learned scale, or g at first", zstar::above(0.0)),
        zstar::opt("clip", &Options::clip, "keep |φ| at or below clip_value"),
        zstar::opt("clip_below", &Options::clip_below, "clip: a negative φ as well; false, as published: only one above clip_value"),
        zstar::opt("clip_value", &Options::clip_value, "bound of |φ|", zstar::above(0.0)),
        zstar::opt("power_iterations", &Options::power_iterations, "per solve in training", zstar::at_least(1)),
        zstar::opt("settle", &Options::settle, "bring u and v in line with weights that were loaded, or trained before they are evaluated; published programs do not")};
  }
  SpectralNorm(const Options& o, zstar::Host&) : o_(o) {}

 private:
  /// What f makes of the linear map of a weight of this geometry.
  template <class F>
  auto with_map(const Geometry& geometry, const F& f) const {
    if (o_.of == "matrix" || geometry.map == Geometry::Map::linear) return f(MatrixMap(geometry));
    return f(ConvolutionMap(geometry, image_size(geometry)));
  }

 public:

  std::vector<zstar::Stored> store(const Tensor& weight, const Geometry& geometry) override {
    const torch::NoGradGuard no_grad;
    const auto [u, v] = with_map(geometry, [&](const auto& map) {
      const Tensor u0 = unit(torch::randn(map.output_sizes(weight), weight.options())), v0 = unit(torch::randn(map.input_sizes(weight), weight.options()));
      settle(map, weight, u0, v0);
      return std::pair(u0, v0);
    });
    std::vector<zstar::Stored> stored{{"_orig", weight, true}};
    if (o_.learn_scale) stored.push_back({"_g", torch::full(scale_sizes(weight, geometry), o_.target, weight.options()), true});
    stored.push_back({"_u", u, false});
    stored.push_back({"_v", v, false});
    return stored;
  }

  void settle(const std::vector<Tensor>& stored, const Geometry& geometry) override {
    if (!o_.settle) return;
    const torch::NoGradGuard no_grad;
    with_map(geometry, [&](const auto& map) { return settle(map, stored.front().detach(), stored[stored.size() - 2], stored.back()), 0; });
  }

  Tensor effective(const std::vector<Tensor>& stored, const Geometry& geometry, bool training) override {
    const Tensor &weight = stored.front(), &u = stored[stored.size() - 2], &v = stored.back();
    const Tensor sigma = with_map(geometry, [&](const auto& map) {
      if (training) {
        const torch::NoGradGuard no_grad;
        for (std::int64_t k = 0; k < o_.power_iterations; ++k) iterate(map, wide(weight.detach()), u, v);
      }
      const Tensor image = map.forward(wide(weight), wide(v).clone());  // copies: later solves iterate u and v in place
      return torch::dot(wide(u).clone().flatten(), image.flatten());
    });
    const Tensor zero = sigma == 0, g = o_.learn_scale ? stored[1] : torch::full({}, o_.target, weight.options());
    Tensor factor = (g / sigma.masked_fill(zero, 1.0)).masked_fill(zero, 0.0);  // a weight of zeros stays
    if (o_.clip) factor = o_.clip_below ? factor.clamp(-o_.clip_value, o_.clip_value) : factor.clamp_max(o_.clip_value);
    return weight * factor.to(weight.scalar_type());
  }

 private:
  Sizes image_size(const Geometry& geometry) const {
    const std::size_t axes = geometry.stride.size();
    if (geometry.input_size.size() == axes) return geometry.input_size;
    if (o_.input_size.size() == axes) return o_.input_size;
    if (o_.input_size.size() == 1) return Sizes(axes, o_.input_size.front());
    throw zstar::OptionError("input_size", "of = \"operator\" needs the size of the images, which this model does not say; give input_size, "
                                           "one number or " + std::to_string(axes));
  }

  template <class Map>
  static Tensor iterate(const Map& map, const Tensor& weight, const Tensor& u, const Tensor& v) {
    const Tensor right = unit(map.transposed(weight, wide(u))), image = map.forward(weight, right);
    v.copy_(right);
    u.copy_(unit(image));
    return image.norm();
  }

  /// Until σ moves by less than 1e-6 of itself, so that the weight is normalised from the first use on. Vectors that the weight
  /// maps to nothing (from a damaged or another file) are drawn anew.
  template <class Map>
  static void settle(const Map& map, const Tensor& weight, const Tensor& u, const Tensor& v) {
    const Tensor w = wide(weight);
    if (!std::isnormal(map.transposed(w, wide(u)).norm().template item<double>())) u.normal_(), u.copy_(unit(wide(u)));
    double before = 0;
    for (int k = 0; k < 5000; ++k) {
      const double sigma = iterate(map, w, u, v).template item<double>();
      if (std::abs(sigma - before) <= 1e-7 * sigma) return;
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
