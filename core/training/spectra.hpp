#pragma once
/// \file Spectra of the Jacobian at the equilibria of an evaluation.

#include <vector>

#include "core/runs/metrics.hpp"
#include "core/training/options.hpp"
#include "zstar/abi/regularizer.hpp"

namespace zstar::training {

/// Appends mean and largest spectral radius and singular value of ∂f/∂z over all samples, as far as the options ask for them. The batch
/// counts as one sample where samples are not independent.
void add_spectra(runs::Record& record, const std::vector<Solved>& solves, const EvalOptions& options);

}  // namespace zstar::training
