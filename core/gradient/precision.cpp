#include "core/gradient/precision.hpp"

#include <algorithm>
#include <chrono>

namespace zstar::gradient {
namespace {

Tensor in(const Tensor& t, torch::ScalarType dtype) { return t.is_floating_point() ? t.detach().to(dtype) : t; }

/// The map wholly in `dtype`; its captured tensors are converted here, once for the solve.
FixedPointMap lowered(const FixedPointMap& f, torch::ScalarType dtype) {
  std::vector<Tensor> captured;
  for (const Tensor& t : f.captured()) captured.push_back(t.defined() ? in(t, dtype) : t);
  return {[f, captured = std::move(captured), dtype](const State& z) {
    std::vector<Tensor> at, result;
    for (const Tensor& t : z) at.push_back(in(t, dtype));
    const State y = f(State(std::move(at), z.axes()), captured);
    for (std::size_t i = 0; i < y.size(); ++i) result.push_back(y[i].to(z[i].scalar_type()));
    return State(std::move(result), z.axes());
  }};
}

/// Least time of three evaluations, s. A number is read back, so that a device has finished.
double time_of(const FixedPointMap& f, const State& z) {
  using Clock = std::chrono::steady_clock;
  double least = std::numeric_limits<double>::infinity();
  for (int k = 0; k < 3; ++k) {
    const auto begin = Clock::now();
    f(z)[0].sum().item<double>();
    least = std::min(least, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return least;
}

}  // namespace

bool Ladder::faster(const FixedPointMap& f, const State& z) {
  if (!gain_) {
    try {
      const FixedPointMap low = lowered(f, torch::kBFloat16);
      const double own = time_of(f, z);
      gain_ = own / time_of(low, z);
    } catch (const c10::Error&) {  // an operation of f that has no bfloat16 form
      gain_ = 0;
    }
  }
  return *gain_ >= 1.2;
}

std::optional<FixedPointMap> Ladder::low(const FixedPointMap& f, const State& z) {
  if (o_.low == "none") return std::nullopt;
  const bool by_timing = o_.low == "auto";
  if (!f.names_captured()) {
    if (by_timing) return std::nullopt;
    throw OptionError("low", "the model's map does not name the tensors that it uses, so they cannot be put into " + o_.low + "; use low = \"none\"");
  }
  if (by_timing && !faster(f, z)) return std::nullopt;
  return lowered(f, o_.low == "float16" ? torch::kHalf : torch::kBFloat16);
}

solve::Options Ladder::first_part(solve::Options options, std::int64_t first_mark) const {
  const auto allowed = static_cast<std::int64_t>(o_.share * static_cast<double>(options.max_evaluations));
  options.max_evaluations = std::min({allowed, options.max_evaluations - 1, first_mark - 1});
  options.tolerance = std::max(o_.until, epsilon());  // a residual below ε is the rounding of f
  options.stop = "relative";
  options.finished = "whole";
  options.floor = true;  // that of the low precision, which f itself goes below
  return options;
}

void Ladder::note(std::int64_t low, std::int64_t all) { low_ += low, all_ += all; }

std::vector<std::pair<std::string, double>> Ladder::flush() {
  std::vector<std::pair<std::string, double>> numbers;
  if (o_.low == "none") return numbers;
  if (all_ > 0) numbers.emplace_back("low_precision_share", static_cast<double>(low_) / static_cast<double>(all_));
  if (gain_ && !std::exchange(gain_told_, true)) numbers.emplace_back("low_precision_gain", *gain_);
  low_ = all_ = 0;
  return numbers;
}

Report joined(const Report& first, Report second) {
  const auto count = static_cast<std::size_t>(second.batch());
  for (std::size_t b = 0; b < count; ++b) {
    second.evaluations[b] += first.calls;
    if (second.best[b] > 0) second.best[b] += first.calls;
    if (second.first_converged[b] > 0) second.first_converged[b] += first.calls;
  }
  second.calls += first.calls;
  second.line_search_calls += first.line_search_calls;
  const auto before = [](std::vector<double>& trace, const std::vector<double>& earlier) { trace.insert(trace.begin(), earlier.begin(), earlier.end()); };
  before(second.trace.absolute, first.trace.absolute);
  before(second.trace.relative, first.trace.relative);
  return second;
}

}  // namespace zstar::gradient
