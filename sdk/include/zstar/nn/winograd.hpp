#pragma once
/// \file 3 × 3 convolutions by Winograd's algorithm F(4×4, 3×3) of oneDNN, which LibTorch does not choose.
///
/// For plugins whose time is that of convolutions: one source of the plugin includes this file, and all its `nn::conv2d` and `nn::Conv2d` take it.
/// On processors with AVX-512 they need about half the time; their rounding errors are a few times those of LibTorch's, and a NaN reaches the
/// whole tiles around it. Without ZSTAR_ONEDNN (`zstar/nn/onednn.hpp`) all goes to LibTorch.
/// \par Source  Lavin & Gray, CVPR 2016

#include "zstar/nn/convolution.hpp"
#include "zstar/nn/onednn.hpp"

#ifdef ZSTAR_ONEDNN
#include <algorithm>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

namespace zstar::nn::winograd {

/// Images, channels in, channels out, height, width, padding of one on all sides.
struct Sizes {
  std::int64_t images, in, out, height, width;
  auto operator<=>(const Sizes&) const = default;
};
enum class Pass { forward, input_gradient, weight_gradient };

using onednn::Operand;
using onednn::Plan;
using onednn::Workspace;

/// Where the processor has no such algorithm, nothing.
inline std::optional<Plan> plan(Pass pass, const Sizes& s) {
  using namespace dnnl;
  const auto any = [](memory::dims dims) { return memory::desc(std::move(dims), memory::data_type::f32, memory::format_tag::any); };
  const memory::desc x = any({s.images, s.in, s.height, s.width}), w = any({s.out, s.in, 3, 3}), y = any({s.images, s.out, s.height, s.width});
  const memory::dims one{1, 1};
  primitive_attr attributes;
  attributes.set_scratchpad_mode(scratchpad_mode::user);
  constexpr auto how = algorithm::convolution_winograd;
  const convolution_forward::primitive_desc forward({prop_kind::forward_training, how, x, w, y, one, one, one}, attributes, onednn::engine(), true);
  if (!forward) return {};
  if (pass == Pass::forward) return Plan{convolution_forward(forward), forward.src_desc(), forward.weights_desc(), forward.dst_desc(), forward.scratchpad_desc()};
  if (pass == Pass::input_gradient) {
    const convolution_backward_data::primitive_desc d({how, x, w, y, one, one, one}, attributes, onednn::engine(), forward, true);
    if (!d) return {};
    return Plan{convolution_backward_data(d), d.diff_src_desc(), d.weights_desc(), d.diff_dst_desc(), d.scratchpad_desc()};
  }
  const convolution_backward_weights::primitive_desc d({how, x, w, y, one, one, one}, attributes, onednn::engine(), forward, true);
  if (!d) return {};
  return Plan{convolution_backward_weights(d), d.src_desc(), d.diff_weights_desc(), d.diff_dst_desc(), d.scratchpad_desc()};
}

inline const std::optional<Plan>& kept_plan(Pass pass, const Sizes& s) {
  return onednn::kept_plan(std::pair(pass, s), [&] { return plan(pass, s); });
}

/// Enough tiles of 4 × 4 to outweigh the transformed weights, enough channels to outweigh the transformed images (measured: more than 16 tiles, 32 × 32 channels).
bool pays(const Tensor& x, const Tensor& w, const Tensor& bias) {
  if (x.dim() != 4 || w.dim() != 4 || w.size(2) != 3 || w.size(3) != 3 || w.size(1) != x.size(1)) return false;
  const auto plain = [](const Tensor& t) { return t.scalar_type() == at::kFloat && onednn::plain(t); };
  if (!plain(x) || !plain(w)) return false;
  if (bias.defined() && (!plain(bias) || bias.dim() != 1 || bias.size(0) != w.size(0))) return false;  // LibTorch's to refuse
  const Sizes s{x.size(0), w.size(1), w.size(0), x.size(2), x.size(3)};
  const std::int64_t tiles = s.images * ((s.height + 3) / 4) * ((s.width + 3) / 4);
  return tiles > 16 && s.height >= 7 && s.width >= 7 && std::min(s.in, s.out) >= 16 && s.in * s.out >= 1024 &&
         kept_plan(Pass::forward, {1, s.in, s.out, s.height, s.width}).has_value();
}

/// The three operands of a pass, one of which it writes.
struct Triple {
  const Operand &image, &weight, &result;
};

inline void execute(Pass pass, const Plan& p, const Triple& operands) {
  dnnl::stream stream(onednn::engine());
  Workspace weight = pass == Pass::weight_gradient ? Workspace(p.weight) : onednn::in_layout(p.weight, operands.weight.tensor(), stream);
  Workspace image(p.image), result(p.result), scratch(p.scratch);
  if (pass != Pass::input_gradient) onednn::copy(operands.image, image, stream);
  if (pass != Pass::forward) onednn::copy(operands.result, result, stream);
  const bool forward = pass == Pass::forward;
  p.run.execute(stream, {{pass == Pass::input_gradient ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, image.memory()},
                         {pass == Pass::weight_gradient ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, weight.memory()},
                         {forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, result.memory()},
                         {DNNL_ARG_SCRATCHPAD, scratch.memory()}});
  if (forward) onednn::copy(result, operands.result, stream);
  else if (pass == Pass::input_gradient) onednn::copy(image, operands.image, stream);
  else onednn::copy(weight, operands.weight, stream);
  stream.wait();
}

/// A pass over as many images at a time as 16 MiB of transformed images and results hold, less than a third-level cache: 8 MiB for gradients of the weight,
/// whose transforms lie beside them. These gradients are added up.
inline void batched(Pass pass, const Triple& operands) {
  const Tensor &x = operands.image.tensor(), &y = operands.result.tensor();
  const std::int64_t images = x.size(0), bytes_of_one = 9 * (x.size(1) + y.size(1)) * x.size(2) * x.size(3), room = (pass == Pass::weight_gradient ? 8 : 16) << 20;
  const std::int64_t most = std::max<std::int64_t>(1, room / bytes_of_one), rounds = (images + most - 1) / most, step = (images + rounds - 1) / rounds;
  for (std::int64_t first = 0; first < images; first += step) {
    const std::int64_t n = std::min(step, images - first);
    const auto& plan = kept_plan(pass, {n, x.size(1), y.size(1), x.size(2), x.size(3)});
    if (!plan) throw std::runtime_error("oneDNN has Winograd's algorithm for one image of these sizes and not for several");
    const bool adds = pass == Pass::weight_gradient && first > 0;
    const Operand weight(adds ? at::empty_like(operands.weight.tensor()) : operands.weight.tensor());
    execute(pass, *plan, {operands.image.part(0, first, n), weight, operands.result.part(0, first, n)});
    if (adds) operands.weight.tensor().add_(weight.tensor());
  }
}

/// The gradient of the weight, for some outputs at a time where their transforms (36 numbers for 9) would need more memory than 4 MiB and than transformed images.
inline void weight_gradient(const Triple& operands) {
  const Tensor &x = operands.image.tensor(), &w = operands.weight.tensor();
  const std::int64_t outputs = w.size(0), bytes = 144 * w.size(1) * outputs, images = 9 * x.size(0) * (w.size(0) + w.size(1)) * x.size(2) * x.size(3);
  const std::int64_t room = std::max<std::int64_t>(4 << 20, images), rounds = (bytes + room - 1) / room;
  const std::int64_t step = ((outputs + rounds - 1) / rounds + 15) / 16 * 16;  // whole vectors
  for (std::int64_t first = 0; first < outputs; first += step) {
    const std::int64_t n = std::min(step, outputs - first);
    const Operand weight = operands.weight.part(0, first, n), result = operands.result.part(1, first, n);
    batched(Pass::weight_gradient, {operands.image, weight, result});
  }
}

inline Tensor images_like(const Tensor& x, std::int64_t channels, at::MemoryFormat format) {
  return at::empty({x.size(0), channels, x.size(2), x.size(3)}, x.options().memory_format(format));
}

std::pair<Tensor, Tensor> gradients(const Tensor& x, const Tensor& w, const Tensor& dy, bool of_image, bool of_weight) {
  const auto format = x.suggest_memory_format();
  const Operand result(dy, format);
  Tensor dx, dw;
  if (of_image) batched(Pass::input_gradient, {Operand(dx = images_like(x, x.size(1), format)), Operand(w), result});
  if (of_weight) weight_gradient({Operand(x, format), Operand(dw = at::empty(w.sizes(), w.options())), result});
  return {dx, dw};
}

class Convolution final : public torch::autograd::Function<Convolution> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& w) {
    context->save_for_backward({x, w});
    const auto format = x.suggest_memory_format();  // as LibTorch's convolutions return it
    const Tensor y = images_like(x, w.size(0), format);
    batched(Pass::forward, {Operand(x, format), Operand(w), Operand(y)});
    return y;
  }

  /// On the graph, for derivatives of derivatives, by LibTorch's own.
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1], &dy = gradients[0];
    const auto [dx, dw] = conv2d_gradients(x, w, dy, {1, 1}, context->needs_input_grad(0), context->needs_input_grad(1));
    return {dx, dw};
  }
};

Tensor convolve(const Tensor& x, const Tensor& w, const Tensor& bias) {
  Tensor y = Convolution::apply(x, w);
  if (bias.defined()) y.add_(bias.view({1, -1, 1, 1}));
  return y;
}

}  // namespace zstar::nn::winograd
#endif
