#pragma once
/// \file Derivatives of derivatives for an operation with a backward of its own. Compiled into the plugin.

#include <cstddef>
#include <vector>

#include <torch/autograd.h>

namespace zstar::nn {

/// The cotangents of an operation's inputs by its plain twin, which is made of operations that have derivatives themselves: what the
/// backward of a torch::autograd::Function returns while gradients are recorded. The twin is applied to aliases of the inputs: where
/// the operation stands in a graph more than once, one of its inputs depends on another, and the way between them is not to be gone twice.
/// \param saved  the inputs, any shapes; undefined ones are handed to the twin as they are
/// \param wanted  of each input, whether its gradient is asked for; one that is undefined has none
/// \param twin  from the inputs to the output \param dy  the cotangent of the output, of its shape, defined
/// \return a gradient for each input, on the graph; undefined where not wanted, and where the output does not depend on it
template <class Twin>
torch::autograd::variable_list twin_gradient(torch::autograd::variable_list saved, const std::vector<bool>& wanted, const Twin& twin,
                                             const at::Tensor& dy) {
  TORCH_CHECK(wanted.size() == saved.size(), "twin_gradient: ", saved.size(), " inputs and ", wanted.size(),
              " words on whether their gradients are wanted");
  std::vector<std::size_t> places;
  torch::autograd::variable_list aliases, gradients(saved.size());
  for (std::size_t i = 0; i < saved.size(); ++i)
    if (wanted[i] && saved[i].defined()) places.push_back(i), aliases.push_back(saved[i] = saved[i].view_as(saved[i]));
  if (aliases.empty()) return gradients;
  const auto found = torch::autograd::grad({twin(saved)}, aliases, {dy}, /*retain_graph=*/true, /*create_graph=*/true, /*allow_unused=*/true);
  for (std::size_t k = 0; k < places.size(); ++k) gradients[places[k]] = found[k];
  return gradients;
}

}  // namespace zstar::nn
