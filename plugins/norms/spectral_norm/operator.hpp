#pragma once
/// \file The linear map of a weight, whose largest singular value is sought: a matrix, or a convolution on images of one size.

#include <stdexcept>
#include <utility>
#include <vector>

#include <torch/types.h>

#include <zstar/abi/norm.hpp>

namespace zstar_spectral_norm {
namespace {

using torch::Tensor;
using zstar::Geometry;
using Sizes = std::vector<std::int64_t>;

/// The weight with its output axis in front and the rest flattened, [out, rest].
inline Tensor as_matrix(const Tensor& weight, const Geometry& geometry) { return weight.movedim(geometry.output_axis, 0).flatten(1); }

/// x ↦ M x and y ↦ Mᵀ y with M = as_matrix(weight).
class MatrixMap {
 public:
  explicit MatrixMap(const Geometry& geometry) : geometry_(geometry) {}
  Sizes input_sizes(const Tensor& w) const { return {w.numel() / w.size(geometry_.output_axis)}; }
  Sizes output_sizes(const Tensor& w) const { return {w.size(geometry_.output_axis)}; }
  Tensor forward(const Tensor& w, const Tensor& x) const { return as_matrix(w, geometry_).mv(x); }
  Tensor transposed(const Tensor& w, const Tensor& y) const { return as_matrix(w, geometry_).t().mv(y); }

 private:
  const Geometry& geometry_;
};

/// A (transposed) convolution of images [1, channels, size…] with zero padding, and its transpose.
class ConvolutionMap {
 public:
  /// \param size  of the input image
  ConvolutionMap(const Geometry& geometry, Sizes size) : g_(geometry), input_(std::move(size)), transposed_(g_.map == Geometry::Map::transposed_convolution) {}

  Sizes input_sizes(const Tensor& w) const { return with(transposed_ ? w.size(0) : w.size(1) * g_.groups, input_); }
  Sizes output_sizes(const Tensor& w) const { return with(transposed_ ? w.size(1) * g_.groups : w.size(0), output(w)); }
  Tensor forward(const Tensor& w, const Tensor& x) const { return convolve(w, x, transposed_, Sizes(input_.size(), 0)); }
  Tensor transposed(const Tensor& w, const Tensor& y) const {
    Sizes extra(input_.size(), 0);  // what a stride leaves unread at the end of the image
    if (!transposed_)
      for (std::size_t i = 0; i < extra.size(); ++i)
        extra[i] = input_[i] - ((output(w)[i] - 1) * g_.stride[i] - 2 * g_.padding[i] + reach(w, i));
    return convolve(w, y, !transposed_, extra);
  }

 private:
  /// Distance from the first to the last number that the kernel reads along an axis, and one.
  std::int64_t reach(const Tensor& w, std::size_t axis) const {
    return g_.dilation[axis] * (w.size(static_cast<std::int64_t>(axis) + 2) - 1) + 1;
  }
  Sizes output(const Tensor& w) const {
    Sizes size = input_;
    for (std::size_t i = 0; i < size.size(); ++i) {
      size[i] = transposed_ ? (size[i] - 1) * g_.stride[i] - 2 * g_.padding[i] + reach(w, i)
                            : (size[i] + 2 * g_.padding[i] - reach(w, i)) / g_.stride[i] + 1;
      if (size[i] < 1) throw std::invalid_argument("spectral_norm: input_size is below the size of the kernel");
    }
    return size;
  }
  static Sizes with(std::int64_t channels, Sizes size) {
    size.insert(size.begin(), {1, channels});
    return size;
  }
  Tensor convolve(const Tensor& w, const Tensor& x, bool transposed, const Sizes& extra) const {
    return at::convolution(x, w, /*bias=*/{}, g_.stride, g_.padding, g_.dilation, transposed, extra, g_.groups);
  }

  const Geometry& g_;
  const Sizes input_;
  const bool transposed_;
};

}  // namespace
}  // namespace zstar_spectral_norm
