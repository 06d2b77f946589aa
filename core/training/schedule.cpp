#include "core/training/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace zstar::training {
namespace {

double cosine(double from, double to, double share) {
  return to + (from - to) * (1 + std::cos(M_PI * std::clamp(share, 0.0, 1.0))) / 2;
}

double linear(double from, double to, double share) { return from + (to - from) * std::clamp(share, 0.0, 1.0); }

}  // namespace

double learning_rate(const std::string& schedule, const ScheduleOptions& o, double lr, std::int64_t step, std::int64_t total) {
  const std::int64_t whole = o.total > 0 ? o.total : total;
  if (schedule == "one_cycle") {
    const std::int64_t rise = o.warmup > 0 ? o.warmup : static_cast<std::int64_t>(0.3 * static_cast<double>(whole));
    const auto between = o.anneal == "linear" ? linear : cosine;
    if (step < rise) return between(o.start * lr, lr, static_cast<double>(step) / static_cast<double>(rise));
    return between(lr, o.floor, static_cast<double>(step - rise) / static_cast<double>(std::max<std::int64_t>(1, whole - rise)));
  }
  if (step < o.warmup) return lr * static_cast<double>(step + 1) / static_cast<double>(o.warmup);
  const std::int64_t from = o.from_first ? 0 : o.warmup, t = step - from;
  if (schedule == "step") {
    const std::int64_t drops = o.at.empty() ? t / o.every : std::count_if(o.at.begin(), o.at.end(), [t](std::int64_t s) { return s <= t; });
    return lr * std::pow(o.factor, static_cast<double>(drops));
  }
  const double share = static_cast<double>(t) / static_cast<double>(std::max<std::int64_t>(1, whole - from));
  if (schedule == "cosine") return cosine(lr, o.floor, share);
  if (schedule == "linear") return linear(lr, o.floor, share);
  return lr;
}

ScheduleOptions in_steps(ScheduleOptions o, std::int64_t steps_per_epoch) {
  if (std::exchange(o.unit, "steps") == "steps") return o;
  const std::int64_t steps = std::max<std::int64_t>(1, steps_per_epoch);
  o.every *= steps;
  for (std::int64_t& s : o.at) s *= steps;
  return o;
}

}  // namespace zstar::training
