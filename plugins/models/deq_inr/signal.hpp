#pragma once
/// \file What all models of signals share: they see coordinates, are asked for values, and are measured by PSNR.

#include <zstar/predict.hpp>
#include <zstar/sdk.hpp>

namespace zstar_inr {
namespace {

using torch::Tensor;
using zstar::Batch;

/// A function of coordinates fitted to samples of a signal. Batch tensors: `coordinates` (N, d) and `values` (N, c) in [−1, 1].
class SignalModel : public zstar::Model, public zstar::Predicts {
 public:
  void* query(std::string_view id) override { return id == zstar::Predicts::id ? static_cast<zstar::Predicts*>(this) : nullptr; }

  Tensor loss(const Tensor& output, const Batch& batch) override { return torch::mse_loss(output, batch.at("values")); }

  zstar::Sums measure(const Tensor& output, const Batch& batch) override {
    const Tensor& values = batch.at("values");
    const Tensor shown = ((output.to(torch::kFloat64) + 1) / 2).clamp(0, 1), wanted = ((values.to(torch::kFloat64) + 1) / 2).clamp(0, 1);
    const Tensor sums = torch::stack({(shown - wanted).square().sum(), (output - values).to(torch::kFloat64).square().sum(), values.to(torch::kFloat64).square().sum()}).cpu();
    const double* s = sums.data_ptr<double>();
    return {{"shown_squares", s[0]}, {"squares", s[1]}, {"power", s[2]}, {"numbers", static_cast<double>(values.numel())}};
  }

  /// psnr = −10 log₁₀ of the mean squared error of (v + 1)/2, clamped to [0, 1]; snr = 10 log₁₀ of the signal's power over the error's.
  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override {
    const auto sum = [&sums](std::string_view name) {
      for (const auto& [key, value] : sums)
        if (key == name) return value;
      return 0.0;
    };
    return {{"psnr", -10 * std::log10(sum("shown_squares") / std::max(1.0, sum("numbers"))), true},
            {"snr", 10 * std::log10(sum("power") / sum("squares")), true}};
  }

  Tensor predict(const Batch& batch) override { return forward(batch).back(); }
  /// Three values are the colours of a picture.
  std::vector<std::string> values() const override {
    if (numbers_ == 1) return {"value"};
    if (numbers_ == 3) return {"red", "green", "blue"};
    std::vector<std::string> names;
    for (std::int64_t k = 0; k < numbers_; ++k) names.push_back("value " + std::to_string(k));
    return names;
  }

 protected:
  explicit SignalModel(zstar::Host& host) : numbers_(host.data().at("values")) {}
  std::int64_t numbers() const { return numbers_; }

 private:
  std::int64_t numbers_;
};

}  // namespace
}  // namespace zstar_inr
