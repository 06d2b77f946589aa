#pragma once
/// \file Convolutions by oneDNN whose weights are kept in its layout for a solve: LibTorch's own primitive, without its reordering.
///
/// For plugins whose maps convolve small images by large weights: one source of the plugin includes this file, and within a
/// `zstar::nn::PackedWeights::Use` its `nn::conv2d` and `nn::Conv2d` take it. Without ZSTAR_ONEDNN all goes to LibTorch.

#include "zstar/nn/convolution.hpp"
#include "zstar/nn/onednn.hpp"
#include "zstar/nn/packed_weights.hpp"

#ifdef ZSTAR_ONEDNN
#include <array>
#include <cstdint>
#include <optional>

#include <ATen/ops/empty.h>

namespace zstar::nn::packed {

/// Images and weight, strides and paddings, each of both axes.
struct Sizes {
  std::array<std::int64_t, 4> image, weight;
  std::array<std::int64_t, 2> stride, padding;
  dnnl::memory::data_type type;
  auto operator<=>(const Sizes&) const = default;
};

inline std::optional<onednn::Plan> plan(const Sizes& s) {
  using namespace dnnl;
  const auto extent = [&s](int axis) { return (s.image[2 + axis] + 2 * s.padding[axis] - s.weight[2 + axis]) / s.stride[axis] + 1; };
  const auto desc = [&s](memory::dims dims, memory::format_tag tag) { return memory::desc(std::move(dims), s.type, tag); };
  const auto x = desc({s.image.begin(), s.image.end()}, memory::format_tag::nhwc), w = desc({s.weight.begin(), s.weight.end()}, memory::format_tag::any),
             y = desc({s.image[0], s.weight[0], extent(0), extent(1)}, memory::format_tag::nhwc);
  const memory::dims stride(s.stride.begin(), s.stride.end()), padding(s.padding.begin(), s.padding.end());
  primitive_attr attributes;
  attributes.set_scratchpad_mode(scratchpad_mode::user);
  const convolution_forward::primitive_desc d({prop_kind::forward_training, algorithm::convolution_direct, x, w, y, stride, padding, padding}, attributes,
                                              onednn::engine(), true);
  if (!d) return {};
  return onednn::Plan{convolution_forward(d), d.src_desc(), d.weights_desc(), d.dst_desc(), d.scratchpad_desc()};
}

inline const std::optional<onednn::Plan>& plan_of(const Tensor& x, const Tensor& w, at::IntArrayRef stride, at::IntArrayRef padding) {
  const auto four = [](const Tensor& t) { return std::array{t.size(0), t.size(1), t.size(2), t.size(3)}; };
  const auto two = [](at::IntArrayRef v) { return std::array{v.front(), v.back()}; };
  const Sizes sizes{four(x), four(w), two(stride), two(padding), onednn::type(x)};
  return onednn::kept_plan(sizes, [&sizes] { return plan(sizes); });
}

/// Within an evaluation that keeps its weights: images with channels last.
bool pays(const Tensor& x, const Tensor& w, const Tensor& bias, at::IntArrayRef stride, at::IntArrayRef padding) {
  if (PackedWeights::current() == nullptr || at::GradMode::is_enabled() || x.dim() != 4 || w.dim() != 4 || x.size(1) != w.size(1) || x.numel() == 0 || w.numel() == 0) return false;
  if (!onednn::plain(x) || !onednn::plain(w) || x.scalar_type() != w.scalar_type() || !x.is_contiguous(at::MemoryFormat::ChannelsLast)) return false;
  if (bias.defined() && (!onednn::plain(bias) || bias.dim() != 1 || bias.size(0) != w.size(0) || bias.scalar_type() != x.scalar_type())) return false;
  const auto counts = [](at::IntArrayRef v, std::int64_t least) { return (v.size() == 1 || v.size() == 2) && v.front() >= least && v.back() >= least; };
  if (!counts(stride, 1) || !counts(padding, 0)) return false;  // LibTorch's to refuse, as is a kernel larger than the image
  for (int axis = 0; axis < 2; ++axis)
    if (x.size(2 + axis) + 2 * (axis == 0 ? padding.front() : padding.back()) < w.size(2 + axis)) return false;
  return plan_of(x, w, stride, padding).has_value();
}

Tensor convolve(const Tensor& x, const Tensor& w, const Tensor& bias, at::IntArrayRef stride, at::IntArrayRef padding) {
  const onednn::Plan& p = *plan_of(x, w, stride, padding);
  const dnnl::memory::dims sizes = p.result.dims();
  Tensor y = at::empty(sizes, x.options().requires_grad(false).memory_format(at::MemoryFormat::ChannelsLast));
  dnnl::stream stream(onednn::engine());
  onednn::Workspace weight = onednn::in_layout(p.weight, w, stream), scratch(p.scratch);
  p.run.execute(stream, {{DNNL_ARG_SRC, dnnl::memory(p.image, onednn::engine(), x.data_ptr())},
                         {DNNL_ARG_WEIGHTS, weight.memory()},
                         {DNNL_ARG_DST, dnnl::memory(p.result, onednn::engine(), y.data_ptr())},
                         {DNNL_ARG_SCRATCHPAD, scratch.memory()}});
  stream.wait();
  return bias.defined() ? y.add_(bias.view({1, -1, 1, 1})) : y;
}

}  // namespace zstar::nn::packed
#endif
