/// \file Generated flow: textured shapes over a textured ground, each moving affinely. Definition: README.md.
#include "pairs.hpp"

namespace {

using namespace zstar_flow_files;

/// p ↦ M (p − centre) + centre + shift, its powers being the positions of later frames.
struct Motion {
  double a, b, c, d, cx, cy, tx, ty;

  void apply(double& x, double& y) const {
    const double u = x - cx, v = y - cy;
    x = a * u + b * v + cx + tx, y = c * u + d * v + cy + ty;
  }
  void undo(double& x, double& y) const {
    const double u = x - cx - tx, v = y - cy - ty, det = a * d - b * c;
    x = (d * u - b * v) / det + cx, y = (a * v - c * u) / det + cy;
  }
};

/// An ellipse, or all of the plane (radius 0), with a texture of its own.
struct Shape {
  Motion motion;
  double x = 0, y = 0, rx = 0, ry = 0, turn = 0;
  Tensor texture;  ///< [3, side, side], repeated

  bool covers(double px, double py) const {
    if (rx == 0) return true;
    const double u = px - x, v = py - y, p = (u * std::cos(turn) + v * std::sin(turn)) / rx, q = (v * std::cos(turn) - u * std::sin(turn)) / ry;
    return p * p + q * q <= 1;
  }
};

class Synthetic final : public Pairs {
 public:
  struct Options {
    std::int64_t height = 64, width = 64, train = 1000, validation = 0, test = 32, shapes = 3, frames = 2, seed = 1;
    double shift = 6.0, turn = 0.0, scale = 0.0;
  };
  static auto options() {
    using O = Options;
    return std::tuple{
        zstar::opt("height", &O::height, "of the images", zstar::at_least(8), "pixels"), zstar::opt("width", &O::width, "of the images", zstar::at_least(8), "pixels"),
        zstar::opt("train", &O::train, "videos to train on", zstar::at_least(1)), zstar::opt("validation", &O::validation, "videos to validate on", zstar::at_least(0)),
        zstar::opt("test", &O::test, "videos to test on", zstar::at_least(0)), zstar::opt("shapes", &O::shapes, "ellipses in front of the ground", zstar::at_least(0)),
        zstar::opt("frames", &O::frames, "of a video; each but the last begins a pair", zstar::at_least(2)),
        zstar::opt("shift", &O::shift, "motion from frame to frame, each axis at most this much", zstar::at_least(0.0), "pixels"),
        zstar::opt("turn", &O::turn, "rotation from frame to frame, at most this much", zstar::within(0.0, 3.2), "radians"),
        zstar::opt("scale", &O::scale, "growth from frame to frame: a factor of at most 1 ± this", zstar::within(0.0, 0.5)),
        zstar::opt("seed", &O::seed, "of all videos", zstar::at_least(0))};
  }

  Synthetic(const Options& o, zstar::Host&) : o_(o) {}

  zstar::Description describe() const override { return {{{"channels", 3}, {"height", o_.height}, {"width", o_.width}}}; }
  std::int64_t size(Split split) const override {
    return (split == Split::train ? o_.train : split == Split::validation ? o_.validation : o_.test) * (o_.frames - 1);
  }

  std::pair<std::int64_t, std::int64_t> place(Split, std::int64_t index) const override { return {index / (o_.frames - 1), index % (o_.frames - 1)}; }

  Pair pair(Split split, std::int64_t index, std::uint64_t) const override {
    const auto [video, frame] = place(split, index);
    Chance chance((static_cast<std::uint64_t>(o_.seed) * 3 + static_cast<std::uint64_t>(split)) * 0x100000001b3ULL + static_cast<std::uint64_t>(video));
    std::vector<Shape> shapes;
    for (std::int64_t k = 0; k <= o_.shapes; ++k) shapes.push_back(shape(k > 0, chance));
    Pair out{torch::empty({3, o_.height, o_.width}), torch::empty({3, o_.height, o_.width}), torch::empty({2, o_.height, o_.width}), torch::ones({o_.height, o_.width})};
    draw(shapes, frame, out.image1, &out.flow);
    draw(shapes, frame + 1, out.image2, nullptr);
    return out;
  }

 private:
  /// Noise at strides of 32, 8 and 2 pixels, weights 0.4, 0.35 and 0.25.
  static Tensor texture(Chance& chance) {
    constexpr std::int64_t side = 128;
    Tensor sum = torch::zeros({3, side, side});
    for (const auto& [stride, weight] : {std::pair(32, 0.4), std::pair(8, 0.35), std::pair(2, 0.25)}) {
      Tensor noise = torch::empty({3, side / stride + 1, side / stride + 1});
      for (std::int64_t i = 0; i < noise.numel(); ++i) noise.data_ptr<float>()[i] = static_cast<float>(chance.uniform(0, 1));
      sum += weight * torch::upsample_bilinear2d(noise.unsqueeze(0), {side, side}, /*align_corners=*/false).squeeze(0);
    }
    return sum * 255;
  }

  Shape shape(bool ellipse, Chance& chance) const {
    const double h = static_cast<double>(o_.height), w = static_cast<double>(o_.width), angle = chance.uniform(-o_.turn, o_.turn), grow = chance.uniform(1 - o_.scale, 1 + o_.scale);
    Shape s;
    s.x = chance.uniform(0, w), s.y = chance.uniform(0, h), s.turn = chance.uniform(0, 3.2);
    if (ellipse) s.rx = chance.uniform(0.1, 0.35) * std::min(h, w), s.ry = chance.uniform(0.1, 0.35) * std::min(h, w);
    else s.x = w / 2, s.y = h / 2;
    s.motion = {grow * std::cos(angle), -grow * std::sin(angle), grow * std::sin(angle), grow * std::cos(angle), s.x, s.y,
                chance.uniform(-o_.shift, o_.shift), chance.uniform(-o_.shift, o_.shift)};
    s.texture = texture(chance);
    return s;
  }

  /// Each pixel by the last shape that covers it, seen where it was in frame 0; its flow is the next step of that shape's motion.
  void draw(const std::vector<Shape>& shapes, std::int64_t frame, Tensor& image, Tensor* flow) const {
    const std::int64_t h = o_.height, w = o_.width;
    for (std::int64_t i = 0; i < h * w; ++i) {
      const double px = static_cast<double>(i % w), py = static_cast<double>(i / w);
      for (std::size_t k = shapes.size(); k-- > 0;) {
        const Shape& s = shapes[k];
        double x = px, y = py;
        for (std::int64_t f = 0; f < frame; ++f) s.motion.undo(x, y);
        if (!s.covers(x, y)) continue;
        for (std::int64_t c = 0; c < 3; ++c) image.data_ptr<float>()[c * h * w + i] = sample(s.texture, c, x, y);
        if (!flow) break;
        double nx = px, ny = py;
        s.motion.apply(nx, ny);
        flow->data_ptr<float>()[i] = static_cast<float>(nx - px), flow->data_ptr<float>()[h * w + i] = static_cast<float>(ny - py);
        break;
      }
    }
  }

  /// Bilinear, the texture repeated.
  static float sample(const Tensor& texture, std::int64_t channel, double x, double y) {
    const std::int64_t side = texture.size(1);
    const auto wrap = [side](double v) { return (static_cast<std::int64_t>(v) % side + side) % side; };
    const double fx = x - std::floor(x), fy = y - std::floor(y);
    const std::int64_t x0 = wrap(std::floor(x)), y0 = wrap(std::floor(y)), x1 = (x0 + 1) % side, y1 = (y0 + 1) % side;
    const float* t = texture.data_ptr<float>() + channel * side * side;
    return static_cast<float>((1 - fy) * ((1 - fx) * t[y0 * side + x0] + fx * t[y0 * side + x1]) + fy * ((1 - fx) * t[y1 * side + x0] + fx * t[y1 * side + x1]));
  }

  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.flow", "0.1.0", "pairs of images with their optical flow")
ZSTAR_DATASET(Synthetic, "synthetic_flow", "generated videos of textured shapes with exact flow")
