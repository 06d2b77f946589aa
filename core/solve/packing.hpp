#pragma once
/// \file Packing: a state as one contiguous [B, D] buffer and back, without a copy where it can.

#include <string>
#include <vector>

#include "zstar/abi/state.hpp"

namespace zstar::solve {

/// The shapes, dtypes, memory formats and batch axes of a state. Solvers see the tensors of a sample side by side in one row, the numbers
/// of a tensor in the order of its memory; low precision is widened to float32, so that iterates have no rounding of their own.
class Packing {
 public:
  /// \throws std::invalid_argument  for no tensor, integer tensors, different batch sizes or devices, naming the tensor
  explicit Packing(const State& z0);

  std::int64_t batch() const { return batch_; }
  std::int64_t width() const { return width_; }
  /// float64 if any tensor is, else float32.
  torch::ScalarType dtype() const { return dtype_; }
  /// The coarsest ε of the tensors' dtypes.
  double epsilon() const { return epsilon_; }

  Tensor pack(const State& z) const;    ///< [B, D] \throws std::invalid_argument  if shapes, dtypes or count differ from z0's
  State unpack(const Tensor& z) const;  ///< in the shapes and dtypes of z0; views where the dtype allows
  Packing with_batch(std::int64_t batch) const;

 private:
  struct Piece {
    std::vector<std::int64_t> sizes;  // of the original tensor
    std::int64_t axis, width;
    torch::ScalarType dtype;
    bool channels_last;  // in memory, and so in the rows
  };
  Tensor rows_of(const Tensor& t, const Piece& p) const;
  Tensor restore(const Tensor& rows, const Piece& p) const;
  void check(const State& z) const;

  std::vector<Piece> pieces_;
  std::vector<std::int64_t> axes_;
  std::int64_t batch_ = 0, width_ = 0;
  torch::ScalarType dtype_ = torch::kFloat32;
  double epsilon_ = 0;
};

}  // namespace zstar::solve
