#pragma once
/// \file A convolution whose input is made again in the backward pass instead of being kept. Compiled into the plugin.

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include "zstar/nn/checkpoint.hpp"
#include "zstar/nn/convolution.hpp"

namespace zstar::nn {

namespace detail {

/// conv2d at stride 1, padded so that the result has the size of the image; without a value where only its graph is asked for.
class LastConvolution final : public torch::autograd::Function<LastConvolution> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& w, const Tensor& bias) {
    TORCH_CHECK(x.dim() == 4 && w.dim() == 4 && w.size(2) % 2 == 1 && w.size(3) % 2 == 1,
                "conv2d_of: images of 4 dimensions and kernels of odd sizes are expected, not ", x.sizes(), " and ", w.sizes());
    context->save_for_backward({x, w});
    if (for_the_graph()) return at::empty({x.size(0), w.size(0), x.size(2), x.size(3)}, x.options().memory_format(x.suggest_memory_format()));
    const std::vector<std::int64_t> padding{w.size(2) / 2, w.size(3) / 2};
    return conv2d(x, w, bias.numel() > 0 ? bias : Tensor(), 1, padding);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1], &dy = gradients[0];
    const std::vector<std::int64_t> padding{w.size(2) / 2, w.size(3) / 2};
    const auto [dx, dw] = conv2d_gradients(x, w, dy, padding, context->needs_input_grad(0), context->needs_input_grad(1));
    return {dx, dw, context->needs_input_grad(2) ? dy.sum({0, 2, 3}) : Tensor()};
  }
};

}  // namespace detail

/// conv2d(make(), weight, bias) at stride 1 and with half a kernel of zeros around, of which neither make() nor its graph is kept: backward makes it
/// again, without the convolution. Whatever make() depends on gets its gradient; second derivatives exist, forward-mode ones do not.
/// \param make  [B, C, H, W]; deterministic but for the generator of its device; not under autocast \param weight  [O, C, h, w], h and w odd \param bias  [O]
/// \par Cost  one more make() a backward pass
inline Tensor conv2d_of(std::function<Tensor()> make, const Tensor& weight, const Tensor& bias) {
  const Tensor given = bias.defined() ? bias : at::empty({0}, weight.options());  // an input of an autograd function must be a tensor
  const auto f = [make = std::move(make), weight, given] { return std::vector<Tensor>{detail::LastConvolution::apply(make(), weight, given)}; };
  return checkpoint(f, weight.device()).front();
}

}  // namespace zstar::nn
