#pragma once
/// \file Learning-rate schedules as functions of the step.

#include <string>

#include "core/training/options.hpp"

namespace zstar::training {

/// The learning rate of step `step` (from 0) of `total`, for the base rate `lr`.
///   constant: lr      step: lr factor^⌊t/every⌋, or lr factor^n after n of the steps `at`      cosine: floor + (lr − floor)(1 + cos π t/T)/2
///   linear: lr + (floor − lr) t/T
///   one_cycle: from start·lr to lr over `warmup`, then to floor, both along a cosine or a line
/// all after a linear warm-up lr (step + 1)/warmup, t and T counting from its end, or with `from_first` from the first step.
double learning_rate(const std::string& schedule, const ScheduleOptions& o, double lr, std::int64_t step, std::int64_t total);

/// The options with what `unit` counts in epochs brought to steps.
ScheduleOptions in_steps(ScheduleOptions o, std::int64_t steps_per_epoch);

}  // namespace zstar::training
