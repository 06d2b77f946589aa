#pragma once
/// \file The gains of every step, by sample of the whole batch.

#include <limits>
#include <utility>
#include <vector>

#include <torch/types.h>

namespace zstar_anderson {
namespace {

using torch::Tensor;

/// θ_k of each sample and step, kept where they were made until they are asked for.
class Gains {
 public:
  void begin(std::int64_t batch) {
    batch_ = batch;
    samples_ = Tensor();
    steps_.clear(), numbers_.clear();
  }
  void keep(const Tensor& rows) { samples_ = samples_.defined() ? samples_.index_select(0, rows) : rows; }
  /// A step whose gains lie on a device.
  void add(const Tensor& gain) { steps_.push_back({samples_, gain}); }
  /// A step of so many samples, whose gains are to be written. Valid until the next step.
  double* add(std::int64_t samples) {
    steps_.push_back({samples_, {}});
    numbers_.resize(numbers_.size() + static_cast<std::size_t>(samples));
    return numbers_.data() + numbers_.size() - samples;
  }

  /// [B, steps], float64, on the CPU; NaN where a sample had left the batch.
  Tensor table() const {
    const auto steps = static_cast<std::int64_t>(steps_.size());
    const Tensor all = torch::full({batch_, steps}, std::numeric_limits<double>::quiet_NaN(), torch::kFloat64);
    double* out = all.data_ptr<double>();
    const double* next = numbers_.data();
    for (std::int64_t k = 0; k < steps; ++k) {
      const auto& [samples, gain] = steps_[static_cast<std::size_t>(k)];
      const Tensor read = gain.defined() ? gain.cpu() : gain, at = samples.defined() ? samples.cpu() : samples;
      const std::int64_t count = at.defined() ? at.size(0) : batch_;
      const double* from = read.defined() ? read.data_ptr<double>() : next;
      for (std::int64_t b = 0; b < count; ++b) out[(at.defined() ? at.data_ptr<std::int64_t>()[b] : b) * steps + k] = from[b];
      if (!read.defined()) next += count;
    }
    return all;
  }

 private:
  std::int64_t batch_ = 0;
  Tensor samples_;                                // of the rows; undefined: all
  std::vector<std::pair<Tensor, Tensor>> steps_;  // samples, and gains on a device
  std::vector<double> numbers_;                   // the others, step by step
};

}  // namespace
}  // namespace zstar_anderson
