#pragma once
/// \file State: the tensors of one equilibrium.

#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include <torch/types.h>

namespace zstar {

using torch::Tensor;

/// The tensors of one equilibrium, of any shapes and floating dtypes. Axis `axes[i]` of tensor i counts the samples;
/// all tensors have equally many. `no_batch` for every tensor: the whole state is one sample.
class State {
 public:
  static constexpr std::int64_t no_batch = -1;

  State() = default;
  State(Tensor tensor) { tensors_.push_back(std::move(tensor)); }
  State(std::vector<Tensor> tensors, std::vector<std::int64_t> axes = {})
      : tensors_(std::move(tensors)), axes_(std::move(axes)) {}
  State(std::initializer_list<Tensor> tensors) : tensors_(tensors) {}

  /// The same tensors as one sample without a batch axis.
  static State one_sample(std::vector<Tensor> tensors) {
    const auto n = tensors.size();
    return {std::move(tensors), std::vector<std::int64_t>(n, no_batch)};
  }

  std::size_t size() const { return tensors_.size(); }
  bool empty() const { return tensors_.empty(); }
  const Tensor& operator[](std::size_t i) const { return tensors_[i]; }
  Tensor& operator[](std::size_t i) { return tensors_[i]; }
  auto begin() const { return tensors_.begin(); }
  auto end() const { return tensors_.end(); }

  const std::vector<Tensor>& tensors() const { return tensors_; }
  /// Axis of the samples of tensor i: 0 unless said otherwise.
  std::int64_t axis(std::size_t i) const { return axes_.empty() ? 0 : axes_[i]; }
  const std::vector<std::int64_t>& axes() const { return axes_; }

 private:
  std::vector<Tensor> tensors_;
  std::vector<std::int64_t> axes_;  // empty: all 0
};

}  // namespace zstar
