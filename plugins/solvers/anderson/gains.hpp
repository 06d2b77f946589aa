#pragma once
/// \file The gains of every step, by sample of the whole batch.

#include <limits>
#include <utility>
#include <vector>

#include <torch/types.h>

namespace zstar_anderson {
namespace {

using torch::Tensor;

/// θ_k of each sample and step, kept on the device until they are asked for.
class Gains {
 public:
  void begin(std::int64_t batch) {
    batch_ = batch;
    samples_ = Tensor();
    steps_.clear();
  }
  void keep(const Tensor& rows) { samples_ = samples_.defined() ? samples_.index_select(0, rows) : rows; }
  void add(const Tensor& gain) { steps_.push_back({samples_, gain}); }

  /// [B, steps], float64, on the CPU; NaN where a sample had left the batch.
  Tensor table() const {
    const Tensor all = torch::full({static_cast<std::int64_t>(steps_.size()), batch_}, std::numeric_limits<double>::quiet_NaN(), torch::kFloat64);
    for (std::size_t k = 0; k < steps_.size(); ++k) {
      const auto& [samples, gain] = steps_[k];
      Tensor row = all[static_cast<std::int64_t>(k)];
      if (samples.defined()) row.index_copy_(0, samples.cpu(), gain.cpu());
      else row.copy_(gain);
    }
    return all.t().contiguous();
  }

 private:
  std::int64_t batch_ = 0;
  Tensor samples_;                                // of the rows; undefined: all
  std::vector<std::pair<Tensor, Tensor>> steps_;
};

}  // namespace
}  // namespace zstar_anderson
