#pragma once
/// \file Parameters by rule: what a case of kind model_formula has in the place of stored numbers.

#include "tests/reference/case.hpp"

namespace zstar::reference::zoo {

/// u_i in [0, 1) for i < n: the outputs of splitmix64 from `state`, their upper 53 bits. float64, [n].
Tensor splitmix(std::uint64_t state, std::int64_t n);

/// Fills the tensors of a state dictionary by `settings.fill_rule`, each at the place that its name has in alphabetical order.
/// \param tensors  by name; of two names of one tensor the first one gives the values
void fill(const std::map<std::string, Tensor>& tensors, std::uint64_t seed);
/// All that a module has, by its names.
void fill(torch::nn::Module& module, std::uint64_t seed);

/// Compares `output/grad_summary`: sum, sum of absolutes, 2-norm and a random projection of every gradient.
/// \param gradients  by name; those of `settings.grad_summary_names`
void compare_grad_summary(Case& c, const std::map<std::string, Tensor>& gradients);

}  // namespace zstar::reference::zoo
