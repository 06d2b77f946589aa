#pragma once
/// \file Plan: at which evaluations a solve hands out states, for each form of the layer.

#include <cstdint>
#include <vector>

#include "core/gradient/layer.hpp"

namespace zstar::gradient {

/// Rising counts of evaluations, the last being the whole budget.
/// \throws OptionError  naming the option that the budget cannot hold
std::vector<std::int64_t> sampling_marks(const Options& options, std::int64_t budget);

}  // namespace zstar::gradient
