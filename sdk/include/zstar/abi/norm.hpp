#pragma once
/// \file Norm: the effective weight of a layer, computed from stored parameters.

#include <string>
#include <vector>

#include "zstar/abi/object.hpp"
#include "zstar/abi/state.hpp"

namespace zstar {

/// What a weight does, as far as a norm may care.
struct Geometry {
  enum class Map : std::uint32_t { linear, convolution, transposed_convolution };
  Map map = Map::linear;
  std::int64_t output_axis = 0;                      ///< axis of the weight that counts outputs: 0, transposed: 1
  std::vector<std::int64_t> stride, padding, dilation;
  std::int64_t groups = 1;
  std::vector<std::int64_t> input_size;              ///< of a convolution's input: length, height × width, …; empty: unknown
};

/// A tensor that a norm keeps in the place of the weight. Its full name is the weight's name and the suffix.
struct Stored {
  std::string suffix;      ///< "_g", "_v", "_orig": published checkpoints use these names
  Tensor value;
  bool trainable = true;   ///< a parameter, or else a buffer
};

/// A parameterisation of weights. One object serves every layer: all it remembers is stored in the layers.
class Norm : public Object {
 public:
  /// The tensors that stand for `weight`; the effective weight of these is normalised at once.
  virtual std::vector<Stored> store(const Tensor& weight, const Geometry& geometry) = 0;
  /// The effective weight, differentiable. Called once per solve.
  /// \param stored  in the order of store(); buffers may be updated in place when `training`
  virtual Tensor effective(const std::vector<Tensor>& stored, const Geometry& geometry, bool training) = 0;
  /// Brings the buffers in line with parameters that came from elsewhere. Called before effective() when the stored tensors were
  /// loaded or converted, and in evaluation after training.
  virtual void settle(const std::vector<Tensor>& /*stored*/, const Geometry& /*geometry*/) {}
};

}  // namespace zstar
