#pragma once
/// \file Correlation of two feature maps and its lookup around a flow field.
/// \par Source  Teed & Deng, RAFT, ECCV 2020, section 3.2

#include <cmath>
#include <stdexcept>

#include <torch/csrc/autograd/custom_function.h>

#include <zstar/sdk.hpp>

namespace zstar_flow {
namespace {

using torch::Tensor;

/// Pixel positions (x, y) of a grid, [B, 2, h, w].
inline Tensor grid_of(std::int64_t batch, std::int64_t h, std::int64_t w, const torch::TensorOptions& options) {
  const Tensor y = torch::arange(h, options).view({h, 1}).expand({h, w}), x = torch::arange(w, options).view({1, w}).expand({h, w});
  return torch::stack({x, y}).unsqueeze(0).expand({batch, 2, h, w}).contiguous();
}

/// Average-pooled copies of t [N, C, h, w], halved (rounded down) level by level; level 0 is t.
inline std::vector<Tensor> pyramid(const Tensor& t, std::int64_t levels) {
  if ((t.size(2) >> (levels - 1)) < 1 || (t.size(3) >> (levels - 1)) < 1)
    throw std::invalid_argument("features of " + std::to_string(t.size(2)) + " x " + std::to_string(t.size(3)) + " have no level " + std::to_string(levels) +
                                " in a pyramid; use larger images or fewer correlation_levels");
  std::vector<Tensor> all{t};
  while (static_cast<std::int64_t>(all.size()) < levels) all.push_back(torch::avg_pool2d(all.back(), {2, 2}, {2, 2}));
  return all;
}

/// ⟨F1[b, :, p], F2[b, :, q]⟩ / √C for all positions p, pooled over q: level l is [B, h·w, h >> l, w >> l].
inline std::vector<Tensor> correlation_volume(const Tensor& f1, const Tensor& f2, std::int64_t levels) {
  const std::int64_t b = f1.size(0), c = f1.size(1), h = f1.size(2), w = f1.size(3);
  const Tensor all = torch::matmul(f1.flatten(2).transpose(1, 2), f2.flatten(2)) / std::sqrt(static_cast<double>(c));  // [B, hw, hw]
  std::vector<Tensor> volume;
  for (const Tensor& level : pyramid(all.view({b * h * w, 1, h, w}), levels)) volume.push_back(level.view({b, h * w, level.size(2), level.size(3)}));
  return volume;
}

/// The (2r + 2)² whole positions that the bilinear window of radius r around each centre touches, in one level.
struct Window {
  Tensor rows, columns;        ///< [B, P, 2r + 2], inside of the level
  Tensor row_in, column_in;    ///< 0 where the position lies outside, [B, P, 2r + 2]
  Tensor fx, fy;               ///< distance to the position before, [B, P, 1, 1]; carries the gradient of the centre
};

/// \param centres  (x, y) in pixels of the level, [B, P, 2]
inline Window window_of(const Tensor& centres, std::int64_t radius, std::int64_t height, std::int64_t width) {
  const std::int64_t n = 2 * radius + 2;
  const Tensor whole = centres.detach().floor();
  const auto axis = [&](std::int64_t k, std::int64_t size, Tensor& at, Tensor& inside) {
    const Tensor first = torch::nan_to_num(whole.select(2, k).clamp(-2 * n, size + 2 * n)).to(torch::kInt64) - radius;  // far outside is outside
    const Tensor all = first.unsqueeze(2) + torch::arange(n, first.options());
    inside = ((all >= 0) & (all < size)).to(centres.scalar_type());
    at = all.clamp(0, size - 1);
  };
  Window window;
  axis(0, width, window.columns, window.column_in);
  axis(1, height, window.rows, window.row_in);
  const Tensor f = centres - whole;
  window.fx = f.select(2, 0).unsqueeze(2).unsqueeze(3);
  window.fy = f.select(2, 1).unsqueeze(2).unsqueeze(3);
  return window;
}

/// Bilinear values of the window from those at whole positions, [B, P, 2r + 2 (y), 2r + 2 (x)] → [B, P, (2r + 1)²], the first
/// index moving x, as checkpoints expect it.
inline Tensor blend(const Tensor& v, const Window& window) {
  const std::int64_t n = v.size(3);
  const Tensor left = v.narrow(3, 0, n - 1), rows = left + window.fx * (v.narrow(3, 1, n - 1) - left);
  const Tensor upper = rows.narrow(2, 0, n - 1), all = upper + window.fy * (rows.narrow(2, 1, n - 1) - upper);
  return all.transpose(2, 3).flatten(2);
}

inline Tensor centres_of(const Tensor& coordinates, std::size_t level) {
  return coordinates.flatten(2).transpose(1, 2) / std::pow(2.0, static_cast<double>(level));
}

/// [B, h·w, channels] → [B, channels, h, w]
inline Tensor as_map(const std::vector<Tensor>& levels, const Tensor& like) {
  return torch::cat(levels, 2).transpose(1, 2).reshape({like.size(0), -1, like.size(2), like.size(3)});
}

/// Bilinear samples of every level in a window of radius r around coordinates / 2^l; zero outside.
/// \param volume  as of correlation_volume \param coordinates  (x, y) in frame 2, [B, 2, h, w]
/// \return [B, levels · (2r + 1)², h, w]
/// \par Cost  (2r + 2)² reads for each position and level: the offsets of a window share one fraction
inline Tensor lookup(const std::vector<Tensor>& volume, const Tensor& coordinates, std::int64_t radius) {
  std::vector<Tensor> out;
  for (std::size_t l = 0; l < volume.size(); ++l) {
    const Tensor& level = volume[l];
    const Window window = window_of(centres_of(coordinates, l), radius, level.size(2), level.size(3));
    const Tensor index = window.rows.unsqueeze(3) * level.size(3) + window.columns.unsqueeze(2);  // [B, P, n, n]
    const Tensor v = level.flatten(2).gather(2, index.flatten(2)).view(index.sizes());
    out.push_back(blend(v * window.row_in.unsqueeze(3) * window.column_in.unsqueeze(2), window));
  }
  return as_map(out, coordinates);
}

/// The products of F1 with F2 at the whole positions of a window, without the volume: forward and backward gather one row of every
/// window at a time. Memory grows linearly with the number of pixels.
class WindowProducts final : public torch::autograd::Function<WindowProducts> {
 public:
  /// \param f1  [B, P, C] \param f2  [B, Q, C], Q positions of a level row by row \param index  [B, P, n, n] → [B, P, n, n]
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& f1, const Tensor& f2, const Tensor& index) {
    context->save_for_backward({f1, f2, index});
    std::vector<Tensor> rows;
    for (std::int64_t i = 0; i < index.size(2); ++i)
      rows.push_back(torch::matmul(gathered(f2, index.select(2, i)), f1.unsqueeze(3)).squeeze(3));
    return torch::stack(rows, 2);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list cotangents) {
    const auto saved = context->get_saved_variables();
    const Tensor &f1 = saved[0], &f2 = saved[1], &index = saved[2], &v = cotangents[0];
    const Tensor g1 = torch::zeros_like(f1), g2 = torch::zeros_like(f2);
    for (std::int64_t i = 0; i < index.size(2); ++i) {
      const Tensor at = index.select(2, i), row = v.select(2, i).unsqueeze(2);  // [B, P, n], [B, P, 1, n]
      g1.add_(torch::matmul(row, gathered(f2, at)).squeeze(2));
      const Tensor spread = (row.transpose(2, 3) * f1.unsqueeze(2)).flatten(1, 2);
      g2.scatter_add_(1, at.flatten(1).unsqueeze(2).expand_as(spread), spread);
    }
    return {g1, g2, Tensor()};
  }

 private:
  /// [B, Q, C] at [B, P, n] → [B, P, n, C]
  static Tensor gathered(const Tensor& f2, const Tensor& at) {
    const Tensor flat = at.flatten(1).unsqueeze(2).expand({f2.size(0), at.size(1) * at.size(2), f2.size(2)});
    return f2.gather(1, flat).view({at.size(0), at.size(1), at.size(2), f2.size(2)});
  }
};

/// The same as lookup(correlation_volume(f1, f2, …), …) with the pyramid of the second map in the place of the volume.
/// \param f1  [B, C, h, w] \param f2  pyramid(F2, levels)
inline Tensor lookup_on_demand(const Tensor& f1, const std::vector<Tensor>& f2, const Tensor& coordinates, std::int64_t radius) {
  const Tensor first = (f1 / std::sqrt(static_cast<double>(f1.size(1)))).flatten(2).transpose(1, 2).contiguous();
  std::vector<Tensor> out;
  for (std::size_t l = 0; l < f2.size(); ++l) {
    const Window window = window_of(centres_of(coordinates, l), radius, f2[l].size(2), f2[l].size(3));
    const Tensor index = window.rows.unsqueeze(3) * f2[l].size(3) + window.columns.unsqueeze(2);
    const Tensor v = WindowProducts::apply(first, f2[l].flatten(2).transpose(1, 2).contiguous(), index);
    out.push_back(blend(v * window.row_in.unsqueeze(3) * window.column_in.unsqueeze(2), window));
  }
  return as_map(out, coordinates);
}

}  // namespace
}  // namespace zstar_flow
