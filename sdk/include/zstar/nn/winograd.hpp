#pragma once
/// \file 3 × 3 convolutions by Winograd's algorithm F(4×4, 3×3) of oneDNN, which LibTorch does not choose.
///
/// For plugins whose time is that of convolutions: one source of the plugin includes this file, and all its `nn::conv2d` and `nn::Conv2d` take it.
/// On processors with AVX-512 they need about half the time; their rounding errors are a few times those of LibTorch's, and a NaN reaches the
/// whole tiles around it. Without ZSTAR_ONEDNN all goes to LibTorch: zstar::onednn defines it where LibTorch itself links oneDNN 2 as a shared
/// library (Debian's does), so that a process has one of it.
/// \par Source  Lavin & Gray, CVPR 2016

#include "zstar/nn/convolution.hpp"

#ifdef ZSTAR_ONEDNN
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <dnnl.hpp>
#include <torch/csrc/autograd/custom_function.h>

namespace zstar::nn::winograd {

/// Images, channels in, channels out, height, width, padding of one on all sides.
struct Sizes {
  std::int64_t images, in, out, height, width;
  auto operator<=>(const Sizes&) const = default;
};
enum class Pass { forward, input_gradient, weight_gradient };

inline dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

/// One pass over batches of one size: the primitive, and what it wants its operands to be.
struct Plan {
  dnnl::primitive run;
  dnnl::memory::desc image, weight, result, scratch;  ///< x or ∂x; w or ∂w; y or ∂y
};

/// Where the processor has no such algorithm, nothing.
inline std::optional<Plan> plan(Pass pass, const Sizes& s) {
  using namespace dnnl;
  const auto any = [](memory::dims dims) { return memory::desc(std::move(dims), memory::data_type::f32, memory::format_tag::any); };
  const memory::desc x = any({s.images, s.in, s.height, s.width}), w = any({s.out, s.in, 3, 3}), y = any({s.images, s.out, s.height, s.width});
  const memory::dims one{1, 1};
  primitive_attr attributes;
  attributes.set_scratchpad_mode(scratchpad_mode::user);
  constexpr auto how = algorithm::convolution_winograd;
  const convolution_forward::primitive_desc forward({prop_kind::forward_training, how, x, w, y, one, one, one}, attributes, engine(), true);
  if (!forward) return {};
  if (pass == Pass::forward) return Plan{convolution_forward(forward), forward.src_desc(), forward.weights_desc(), forward.dst_desc(), forward.scratchpad_desc()};
  if (pass == Pass::input_gradient) {
    const convolution_backward_data::primitive_desc d({how, x, w, y, one, one, one}, attributes, engine(), forward, true);
    if (!d) return {};
    return Plan{convolution_backward_data(d), d.diff_src_desc(), d.weights_desc(), d.diff_dst_desc(), d.scratchpad_desc()};
  }
  const convolution_backward_weights::primitive_desc d({how, x, w, y, one, one, one}, attributes, engine(), forward, true);
  if (!d) return {};
  return Plan{convolution_backward_weights(d), d.src_desc(), d.diff_weights_desc(), d.diff_dst_desc(), d.scratchpad_desc()};
}

/// The plan of these sizes, made once in a thread (the algorithm is laid out for its number of threads); valid until the next call. A thread
/// keeps as many as oneDNN does itself, some 40 kB each.
inline const std::optional<Plan>& kept_plan(Pass pass, const Sizes& s) {
  static thread_local std::map<std::pair<std::pair<Pass, int>, Sizes>, std::optional<Plan>> plans;
  const auto key = std::pair(std::pair(pass, at::get_num_threads()), s);
  const auto known = plans.find(key);
  if (known == plans.end() && plans.size() == 1024) plans.clear();
  return known != plans.end() ? known->second : plans.emplace(key, plan(pass, s)).first->second;
}

/// Enough tiles of 4 × 4 to outweigh the transformed weights, enough channels to outweigh the transformed images (measured: more than 16 tiles, 32 × 32 channels).
bool pays(const Tensor& x, const Tensor& w, const Tensor& bias) {
  if (x.dim() != 4 || w.dim() != 4 || w.size(2) != 3 || w.size(3) != 3 || w.size(1) != x.size(1)) return false;
  const auto plain = [](const Tensor& t) {
    return t.device().is_cpu() && t.scalar_type() == at::kFloat && t.layout() == at::kStrided && !t.is_neg() && !t._fw_grad(0).defined();
  };
  if (!plain(x) || !plain(w)) return false;
  if (bias.defined() && (!plain(bias) || bias.dim() != 1 || bias.size(0) != w.size(0))) return false;  // LibTorch's to refuse
  const Sizes s{x.size(0), w.size(1), w.size(0), x.size(2), x.size(3)};
  const std::int64_t tiles = s.images * ((s.height + 3) / 4) * ((s.width + 3) / 4);
  return tiles > 16 && s.height >= 7 && s.width >= 7 && std::min(s.in, s.out) >= 16 && s.in * s.out >= 1024 &&
         kept_plan(Pass::forward, {1, s.in, s.out, s.height, s.width}).has_value();
}

/// A tensor as oneDNN sees it: its memory, in rows of pixels or of channels.
class Operand {
 public:
  explicit Operand(Tensor t) : tensor_(std::move(t)) {}
  Operand(const Tensor& t, at::MemoryFormat format) : tensor_(t.contiguous(format)) {}
  dnnl::memory memory() const {
    const dnnl::memory::dims sizes(tensor_.sizes().begin(), tensor_.sizes().end()), strides(tensor_.strides().begin(), tensor_.strides().end());
    return {dnnl::memory::desc(sizes, dnnl::memory::data_type::f32, strides), engine(), tensor_.data_ptr()};
  }
  /// Some of its images.
  Operand part(std::int64_t first, std::int64_t n) const { return Operand(tensor_.narrow(0, first, n)); }
  const Tensor& tensor() const { return tensor_; }

 private:
  Tensor tensor_;
};

/// Memory of LibTorch's allocator in a layout of oneDNN's own.
class Workspace {
 public:
  explicit Workspace(const dnnl::memory::desc& d)
      : bytes_(at::empty({static_cast<std::int64_t>(d.get_size())}, at::kByte)), memory_(d, engine(), bytes_.data_ptr()) {}
  dnnl::memory& memory() { return memory_; }

 private:
  Tensor bytes_;
  dnnl::memory memory_;
};

/// The three operands of a pass, one of which it writes.
struct Triple {
  const Operand &image, &weight, &result;
};

inline void execute(Pass pass, const Plan& p, const Triple& operands) {
  dnnl::stream stream(engine());
  Workspace image(p.image), weight(p.weight), result(p.result), scratch(p.scratch);
  const auto load = [&](const Operand& from, Workspace& to) {
    dnnl::memory source = from.memory();
    dnnl::reorder(source, to.memory()).execute(stream, source, to.memory());
  };
  const auto store = [&](Workspace& from, const Operand& to) {
    dnnl::memory target = to.memory();
    dnnl::reorder(from.memory(), target).execute(stream, from.memory(), target);
  };
  if (pass != Pass::input_gradient) load(operands.image, image);
  if (pass != Pass::weight_gradient) load(operands.weight, weight);
  if (pass != Pass::forward) load(operands.result, result);
  const bool forward = pass == Pass::forward;
  p.run.execute(stream, {{pass == Pass::input_gradient ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, image.memory()},
                         {pass == Pass::weight_gradient ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, weight.memory()},
                         {forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, result.memory()},
                         {DNNL_ARG_SCRATCHPAD, scratch.memory()}});
  if (forward) store(result, operands.result);
  else if (pass == Pass::input_gradient) store(image, operands.image);
  else store(weight, operands.weight);
  stream.wait();
}

/// A pass over as many images at a time as 16 MiB of transformed images and results hold, less than a third-level cache; gradients of the weight are added up.
inline void batched(Pass pass, const Triple& operands) {
  const Tensor &x = operands.image.tensor(), &y = operands.result.tensor();
  const std::int64_t images = x.size(0), bytes_of_one = 9 * (x.size(1) + y.size(1)) * x.size(2) * x.size(3);
  const std::int64_t most = std::max<std::int64_t>(1, (16 << 20) / bytes_of_one), rounds = (images + most - 1) / most, step = (images + rounds - 1) / rounds;
  for (std::int64_t first = 0; first < images; first += step) {
    const std::int64_t n = std::min(step, images - first);
    const auto& plan = kept_plan(pass, {n, x.size(1), y.size(1), x.size(2), x.size(3)});
    if (!plan) throw std::runtime_error("oneDNN has Winograd's algorithm for one image of these sizes and not for several");
    const bool adds = pass == Pass::weight_gradient && first > 0;
    const Operand weight(adds ? at::empty_like(operands.weight.tensor()) : operands.weight.tensor());
    execute(pass, *plan, {operands.image.part(first, n), weight, operands.result.part(first, n)});
    if (adds) operands.weight.tensor().add_(weight.tensor());
  }
}

inline Tensor images_like(const Tensor& x, std::int64_t channels, at::MemoryFormat format) {
  return at::empty({x.size(0), channels, x.size(2), x.size(3)}, x.options().memory_format(format));
}

std::pair<Tensor, Tensor> gradients(const Tensor& x, const Tensor& w, const Tensor& dy, bool of_image, bool of_weight) {
  const auto format = x.suggest_memory_format();
  const Operand result(dy, format);
  Tensor dx, dw;
  if (of_image) batched(Pass::input_gradient, {Operand(dx = images_like(x, x.size(1), format)), Operand(w.contiguous()), result});
  if (of_weight) batched(Pass::weight_gradient, {Operand(x, format), Operand(dw = at::empty(w.sizes(), w.options())), result});
  return {dx, dw};
}

class Convolution final : public torch::autograd::Function<Convolution> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& w) {
    context->save_for_backward({x, w});
    const auto format = x.suggest_memory_format();  // as LibTorch's convolutions return it
    const Tensor y = images_like(x, w.size(0), format);
    batched(Pass::forward, {Operand(x, format), Operand(w.contiguous()), Operand(y)});
    return y;
  }

  /// On the graph, for derivatives of derivatives, by LibTorch's own.
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1], &dy = gradients[0];
    const std::array<bool, 3> needs{context->needs_input_grad(0), context->needs_input_grad(1), false};
    if (at::GradMode::is_enabled()) {
      const auto [dx, dw, none] = at::convolution_backward(dy, x, w, c10::nullopt, {1, 1}, {1, 1}, {1, 1}, false, {0, 0}, 1, needs);
      return {dx, dw};
    }
    const auto [dx, dw] = winograd::gradients(x, w, dy, needs[0], needs[1]);
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
