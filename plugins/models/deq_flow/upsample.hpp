#pragma once
/// \file From the flow at an eighth of the size to full size; padding of images; the flow of a frame as the start of the next.

#include <zstar/sdk.hpp>

namespace zstar_flow {
namespace {

using torch::Tensor;

/// Every pixel as a convex combination of the 3x3 coarse flows around it, times n, the factor.
/// \param flow  [B, 2, h, w] \param mask  logits, channel k·n² + i·n + j for tap k of pixel (ny + i, nx + j), [B, 9n², h, w]
/// \param replicate  the flow goes on beyond the border; else it is 0 there, as published checkpoints expect
/// \return [B, 2, nh, nw] \par Source  Teed & Deng, RAFT, ECCV 2020, section 3.3
inline Tensor upsample_convex(const Tensor& flow, const Tensor& mask, bool replicate = false, std::int64_t n = 8) {
  const std::int64_t b = flow.size(0), h = flow.size(2), w = flow.size(3);
  const Tensor scaled = n * flow, padded = replicate ? torch::replication_pad2d(scaled, {1, 1, 1, 1}) : torch::constant_pad_nd(scaled, {1, 1, 1, 1});
  const Tensor taps = torch::im2col(padded, {3, 3}, {1, 1}, {0, 0}, {1, 1}).view({b, 2, 9, 1, h, w});
  const Tensor weights = torch::softmax(mask.view({b, 1, 9, n * n, h, w}), 2);
  return (weights * taps).sum(2).view({b, 2, n, n, h, w}).permute({0, 1, 4, 2, 5, 3}).reshape({b, 2, n * h, n * w});
}

/// Eight times the flow at eight times the size, bilinear with aligned corners. [B, 2, h, w] → [B, 2, 8h, 8w]
inline Tensor upsample_bilinear(const Tensor& flow) {
  return 8 * torch::upsample_bilinear2d(flow, {8 * flow.size(2), 8 * flow.size(3)}, /*align_corners=*/true);
}

/// Pixels added so that height and width are multiples of 8: left, right, top, bottom.
struct Padding {
  std::int64_t left, right, top, bottom;
  /// \param bottom_only  all rows at the bottom (KITTI), or both sides alike, the smaller half first (Sintel)
  Padding(std::int64_t height, std::int64_t width, bool bottom_only) {
    const std::int64_t rows = (8 - height % 8) % 8, columns = (8 - width % 8) % 8;
    left = columns / 2, right = columns - left;
    top = bottom_only ? 0 : rows / 2, bottom = rows - top;
  }
  Tensor pad(const Tensor& x) const {
    return left + right + top + bottom == 0 ? x : torch::replication_pad2d(x, {left, right, top, bottom});
  }
  Tensor unpad(const Tensor& x) const { return x.narrow(2, top, x.size(2) - top - bottom).narrow(3, left, x.size(3) - left - right); }
};

/// Carries every flow vector to where it points and gives each pixel the nearest of them; those that leave the image are dropped.
/// \param flow  of one frame, [2, h, w], any device \return [2, h, w]; zero if none stays
inline Tensor interpolate_forward(const Tensor& flow) {
  const std::int64_t h = flow.size(1), w = flow.size(2);
  const Tensor f = flow.detach().to(torch::kCPU, torch::kFloat64).flatten(1).contiguous(), out = torch::zeros_like(f);
  const double *u = f.data_ptr<double>(), *v = u + h * w;
  double* result = out.data_ptr<double>();
  std::vector<std::int64_t> kept;
  std::vector<double> xs, ys;
  for (std::int64_t i = 0; i < h * w; ++i) {
    const double x = static_cast<double>(i % w) + u[i], y = static_cast<double>(i / w) + v[i];
    if (x > 0 && x < static_cast<double>(w) && y > 0 && y < static_cast<double>(h)) kept.push_back(i), xs.push_back(x), ys.push_back(y);
  }
  // Buckets of one pixel: rings around a pixel are searched until no nearer point can follow.
  std::vector<std::vector<std::size_t>> buckets(static_cast<std::size_t>(h * w));
  for (std::size_t k = 0; k < kept.size(); ++k)
    buckets[static_cast<std::size_t>(static_cast<std::int64_t>(ys[k]) * w + static_cast<std::int64_t>(xs[k]))].push_back(k);
  for (std::int64_t i = 0; !kept.empty() && i < h * w; ++i) {
    const std::int64_t px = i % w, py = i / w;
    double nearest = std::numeric_limits<double>::infinity();
    std::size_t found = 0;
    for (std::int64_t ring = 0; ring <= std::max(h, w) && static_cast<double>((ring - 1) * (ring - 1)) * (ring > 0) <= nearest; ++ring)
      for (std::int64_t y = std::max<std::int64_t>(0, py - ring); y <= std::min(h - 1, py + ring); ++y)
        for (std::int64_t x = std::max<std::int64_t>(0, px - ring); x <= std::min(w - 1, px + ring); ++x) {
          if (std::max(std::abs(x - px), std::abs(y - py)) != ring) continue;
          for (const std::size_t k : buckets[static_cast<std::size_t>(y * w + x)]) {
            const double dx = xs[k] - static_cast<double>(px), dy = ys[k] - static_cast<double>(py), d = dx * dx + dy * dy;
            if (d < nearest || (d == nearest && k < found)) nearest = d, found = k;
          }
        }
    result[i] = u[kept[found]];
    result[h * w + i] = v[kept[found]];
  }
  return out.view({2, h, w}).to(flow.options());
}

}  // namespace
}  // namespace zstar_flow
