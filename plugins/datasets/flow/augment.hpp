#pragma once
/// \file Augmentation of flow pairs: colour, erased rectangles, scale, flips, crops; dense and sparse ground truth.
/// \par Source  Teed & Deng, RAFT, ECCV 2020, supplement

#include <cmath>
#include <random>

#include <zstar/sdk.hpp>

namespace zstar_flow_files {
namespace {

using torch::Tensor;

/// Images [3, H, W] of 0 … 255, flow [2, H, W], valid [H, W].
struct Pair {
  Tensor image1, image2, flow, valid;
};

struct Augmentation {
  std::vector<std::int64_t> crop;  ///< height, width; empty: nothing is done at all
  double min_scale = -0.1, max_scale = 1.0, jitter = 0.4, hue = 0.5 / 3.14, flip_horizontal = 0.5, flip_vertical = 0.1;
  bool sparse = false;
};

/// Draws of one sample.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : engine_(seed) {}
  double uniform(double low, double high) { return low + (high - low) * static_cast<double>(engine_() >> 11) * 0x1p-53; }
  bool with(double probability) { return uniform(0, 1) < probability; }
  /// In [low, high).
  std::int64_t whole(std::int64_t low, std::int64_t high) {
    return std::min(high - 1, static_cast<std::int64_t>(std::floor(uniform(static_cast<double>(low), static_cast<double>(high)))));
  }

 private:
  std::mt19937_64 engine_;
};

/// Hue turned by `turn` of a circle. \param image  [3, H, W] of 0 … 1
inline Tensor turn_hue(const Tensor& image, double turn) {
  const auto [most, which] = image.max(0);
  const Tensor least = std::get<0>(image.min(0)), spread = most - least, safe = spread.clamp_min(1e-12);
  const Tensor r = image[0], g = image[1], b = image[2];
  Tensor h = torch::where(which == 0, ((g - b) / safe).remainder(6), torch::where(which == 1, (b - r) / safe + 2, (r - g) / safe + 4)) / 6;
  h = (h + turn).remainder(1);
  std::vector<Tensor> channels;
  for (const double n : {5.0, 3.0, 1.0}) {  // f(n) = V − (V − least) · clamp(min(k, 4 − k), 0, 1), k = (n + 6h) mod 6
    const Tensor k = (n + 6 * h).remainder(6);
    channels.push_back(most - spread * torch::minimum(k, 4 - k).clamp(0, 1));
  }
  return torch::stack(channels);
}

/// Brightness, contrast, saturation and hue in random order. \param image  [3, H, W] of 0 … 255
inline Tensor jittered(const Tensor& image, double amount, double hue, Chance& chance) {
  std::vector<int> order{0, 1, 2, 3};
  for (std::size_t i = 3; i > 0; --i) std::swap(order[i], order[static_cast<std::size_t>(chance.whole(0, static_cast<std::int64_t>(i) + 1))]);
  Tensor x = image / 255;
  const auto grey = [&] { return 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2]; };
  for (const int what : order) {
    const double share = chance.uniform(1 - amount, 1 + amount);
    if (what == 0) x = x * share;
    else if (what == 1) x = share * x + (1 - share) * grey().mean();
    else if (what == 2) x = share * x + (1 - share) * grey().unsqueeze(0);
    else x = turn_hue(x, chance.uniform(-hue, hue));
    x = x.clamp(0, 1);
  }
  return (x * 255).round();
}

inline Tensor resized(const Tensor& t, std::int64_t height, std::int64_t width) {
  return torch::upsample_bilinear2d(t.unsqueeze(0), {height, width}, /*align_corners=*/false).squeeze(0);
}

/// Known vectors carried, in single precision as flow files hold them, to where scaling puts their pixels (rounded half to even); of
/// several the last one stays; row and column 0 stay empty, as published. \return flow and valid at the new size
inline std::pair<Tensor, Tensor> resize_sparse(const Tensor& flow, const Tensor& valid, double fx, double fy) {
  const std::int64_t h = valid.size(0), w = valid.size(1);
  const auto scaled = [](std::int64_t n, double f) { return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(n) * f)); };
  const std::int64_t nh = scaled(h, fy), nw = scaled(w, fx);
  const Tensor out = torch::zeros({2, nh, nw}, flow.options()), known = torch::zeros({nh, nw}, valid.options());
  const Tensor from = flow.to(torch::kFloat64).contiguous(), mask = valid.to(torch::kFloat64).contiguous(), to = out.to(torch::kFloat64), set = known.to(torch::kFloat64);
  const double *u = from.data_ptr<double>(), *v = u + h * w, *inside = mask.data_ptr<double>();
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x) {
      if (inside[y * w + x] < 1) continue;
      const std::int64_t nx = scaled(x, fx), ny = scaled(y, fy);
      if (nx <= 0 || ny <= 0 || nx >= nw || ny >= nh) continue;
      to.data_ptr<double>()[ny * nw + nx] = static_cast<float>(u[y * w + x] * fx);
      to.data_ptr<double>()[nh * nw + ny * nw + nx] = static_cast<float>(v[y * w + x] * fy);
      set.data_ptr<double>()[ny * nw + nx] = 1;
    }
  return {to.to(flow.scalar_type()), set.to(valid.scalar_type())};
}

class Augmentor {
 public:
  Augmentor(const Augmentation& o, std::uint64_t seed) : o_(o), chance_(seed) {}

  Pair operator()(Pair p) {
    if (o_.crop.empty()) return p;
    colour(p);
    if (chance_.with(0.5)) erase(p.image2);
    scale(p);
    if (chance_.with(o_.flip_horizontal)) flip(p, 2, 0);
    if (chance_.with(o_.flip_vertical)) flip(p, 1, 1);
    return cropped(p);
  }

 private:
  void colour(Pair& p) {
    if (!o_.sparse && chance_.with(0.2)) {
      p.image1 = jittered(p.image1, o_.jitter, o_.hue, chance_), p.image2 = jittered(p.image2, o_.jitter, o_.hue, chance_);
      return;
    }
    const auto both = jittered(torch::cat({p.image1, p.image2}, 1), o_.jitter, o_.hue, chance_).chunk(2, 1);
    p.image1 = both[0], p.image2 = both[1];
  }

  void erase(Tensor& image) {
    image = image.clone();
    const Tensor mean = image.mean({1, 2}).view({3, 1, 1});
    const std::int64_t h = image.size(1), w = image.size(2);
    for (std::int64_t k = chance_.whole(1, 3); k > 0; --k) {
      const std::int64_t y = chance_.whole(0, h), x = chance_.whole(0, w), dy = chance_.whole(50, 100), dx = chance_.whole(50, 100);
      image.slice(1, y, std::min(h, y + dy)).slice(2, x, std::min(w, x + dx)).copy_(mean);
    }
  }

  void scale(Pair& p) {
    const double h = static_cast<double>(p.valid.size(0)), w = static_cast<double>(p.valid.size(1)), rim = o_.sparse ? 1 : 8;
    const double least = std::max((static_cast<double>(o_.crop[0]) + rim) / h, (static_cast<double>(o_.crop[1]) + rim) / w);
    double x = std::exp2(chance_.uniform(o_.min_scale, o_.max_scale)), y = x;
    if (!o_.sparse && chance_.with(0.8)) x *= std::exp2(chance_.uniform(-0.2, 0.2)), y *= std::exp2(chance_.uniform(-0.2, 0.2));
    x = std::max(x, least), y = std::max(y, least);
    if (!chance_.with(0.8) && least <= 1) return;
    const auto nh = static_cast<std::int64_t>(std::nearbyint(h * y)), nw = static_cast<std::int64_t>(std::nearbyint(w * x));
    p.image1 = resized(p.image1, nh, nw), p.image2 = resized(p.image2, nh, nw);
    if (o_.sparse) {
      std::tie(p.flow, p.valid) = resize_sparse(p.flow, p.valid, x, y);
    } else {
      p.flow = resized(p.flow, nh, nw) * torch::tensor({static_cast<float>(x), static_cast<float>(y)}).view({2, 1, 1});
      p.valid = torch::ones({nh, nw});
    }
  }

  static void flip(Pair& p, std::int64_t axis, std::int64_t component) {
    p.image1 = p.image1.flip({axis}), p.image2 = p.image2.flip({axis}), p.valid = p.valid.flip({axis - 1});
    p.flow = p.flow.flip({axis});
    p.flow[component].neg_();
  }

  /// Sparse sets draw the corner beyond the image by 20 rows and 50 columns and push it back: border crops are likelier.
  Pair cropped(const Pair& p) {
    const std::int64_t spare_y = p.valid.size(0) - o_.crop[0], spare_x = p.valid.size(1) - o_.crop[1];
    std::int64_t y = o_.sparse ? chance_.whole(0, spare_y + 20) : chance_.whole(0, spare_y + 1), x = o_.sparse ? chance_.whole(-50, spare_x + 50) : chance_.whole(0, spare_x + 1);
    y = std::clamp<std::int64_t>(y, 0, spare_y), x = std::clamp<std::int64_t>(x, 0, spare_x);
    const auto cut = [&](const Tensor& t) { return t.narrow(-2, y, o_.crop[0]).narrow(-1, x, o_.crop[1]).contiguous(); };
    return {cut(p.image1), cut(p.image2), cut(p.flow), cut(p.valid)};
  }

  const Augmentation& o_;
  Chance chance_;
};

}  // namespace
}  // namespace zstar_flow_files
