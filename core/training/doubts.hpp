#pragma once
/// \file Doubts: what an experiment may ask for and still be wrong about.

#include <string>
#include <vector>

#include "core/experiment/experiment.hpp"

namespace zstar::training {

/// Sentences about settings that are allowed and cannot be met or have no effect: tolerances of relative residuals below 4 ε of the dtype, where
/// solves end at the floor; a way of clipping without a norm to clip at.
std::vector<std::string> doubts(const experiment::Experiment& experiment);

}  // namespace zstar::training
