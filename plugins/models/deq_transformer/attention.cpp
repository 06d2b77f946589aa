#include "attention.hpp"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/torch.h>

#include "attention_kernels.hpp"
#include "zstar/nn/twin.hpp"

namespace zstar_deq_transformer {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

kernels::Sizes sizes_of(const Heads& h) {
  return {h.qkv.size(1), h.k_history.defined() ? h.k_history.size(2) : 0, h.r.size(1), h.qkv.size(2) / 3};
}

/// The place of a head of a segment in tensors of all of them; null in undefined ones.
template <class T>
struct Place {
  const kernels::Sizes& sizes;
  std::int64_t heads, batch, head, sample;

  T* in_segment(const Tensor& t, std::int64_t part, std::int64_t parts) const {
    return t.defined() ? t.data_ptr<T>() + sample * sizes.length * parts * sizes.features + part * sizes.features + head * sizes.width : nullptr;
  }
  /// \param t  [H, …] or, of every segment, [H, B, …]
  T* of_head(const Tensor& t) const { return t.defined() ? t.data_ptr<T>() + head * (t.numel() / heads) : nullptr; }
  T* of_sample(const Tensor& t) const { return t.defined() ? t.data_ptr<T>() + (head * batch + sample) * (t.numel() / (heads * batch)) : nullptr; }

  kernels::Head<T> operands(const Heads& h) const {
    return {in_segment(h.qkv, 0, 3), in_segment(h.qkv, 1, 3), in_segment(h.qkv, 2, 3), of_sample(h.k_history), of_sample(h.v_history), of_head(h.content_bias), of_head(h.distance_bias),
            of_head(h.r) + 1, h.blocked.data_ptr<T>(), of_sample(h.dropout)};
  }
};

/// Calls body(place) for every head of every segment, over the threads of ATen; the segments of a head one after the other.
template <class T, class F>
void each_head(const Heads& h, const F& body) {
  const kernels::Sizes sizes = sizes_of(h);
  const std::int64_t heads = h.r.size(0), batch = h.qkv.size(0);
  at::parallel_for(0, heads, /*grain_size=*/1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t head = begin; head < end; ++head)
      for (std::int64_t sample = 0; sample < batch; ++sample) body(Place<T>{sizes, heads, batch, head, sample});
  });
}

/// \param p  [H, B, L, K] for the softmax, or undefined
Tensor fused_forward(const Heads& h, const Tensor& p) {
  const Tensor y = torch::empty({h.qkv.size(0), h.qkv.size(1), h.qkv.size(2) / 3}, h.qkv.options());
  AT_DISPATCH_FLOATING_TYPES(h.qkv.scalar_type(), "attention", [&] {
    each_head<scalar_t>(h, [&](const Place<scalar_t>& at) { kernels::forward(at.sizes, at.operands(h), at.of_sample(p), at.in_segment(y, 0, 1)); });
  });
  return y;
}

/// Tensors of Fused::apply; the last two, what is blocked and dropped, have no gradients.
constexpr std::size_t inputs = 8;

class Fused final : public torch::autograd::Function<Fused> {
 public:
  /// An input of an autograd function must be a tensor: an empty one stands for none.
  static Tensor call(const Heads& h) {
    const Tensor none = torch::empty({0}, h.qkv.options());
    const auto given = [&none](const Tensor& t) { return t.defined() ? t : none; };
    return apply(h.qkv, h.content_bias, h.distance_bias, h.r, given(h.k_history), given(h.v_history), h.blocked, given(h.dropout));
  }

  static Tensor forward(AutogradContext* context, const Tensor& qkv, const Tensor& content_bias, const Tensor& distance_bias, const Tensor& r, const Tensor& k_history,
                        const Tensor& v_history, const Tensor& blocked, const Tensor& dropout) {
    const auto given = [](const Tensor& t) { return t.numel() > 0 ? t : Tensor(); };
    const Heads h{qkv, content_bias, distance_bias, r, given(k_history), given(v_history), blocked, given(dropout)};
    const Tensor p = torch::empty({r.size(0), qkv.size(0), blocked.size(0), blocked.size(1)}, qkv.options());
    Tensor y = fused_forward(h, p);
    context->save_for_backward({h.qkv, h.content_bias, h.distance_bias, h.r, h.k_history, h.v_history, h.blocked, h.dropout, p});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    std::vector<bool> wanted(inputs);
    for (std::size_t i = 0; i < inputs; ++i) wanted[i] = context->needs_input_grad(i) && saved[i].defined();
    const Tensor& dy = gradients[0];
    if (!dy.defined()) return variable_list(inputs);
    if (!torch::GradMode::is_enabled()) return fused_backward(saved, dy.contiguous(), wanted);
    return zstar::nn::twin_gradient({saved.begin(), saved.begin() + inputs}, wanted, [](const variable_list& t) { return plain_attention(heads(t)); }, dy);
  }

 private:
  static Heads heads(const variable_list& t) { return {t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]}; }

  static variable_list fused_backward(const variable_list& saved, const Tensor& dy, const std::vector<bool>& wanted) {
    const Heads h = heads(saved);
    variable_list out(inputs);
    out[0] = torch::empty_like(saved[0]);  // each part of it is a step to the others
    for (const std::size_t shared : {1, 2, 3})
      if (wanted[shared]) out[shared] = torch::zeros_like(saved[shared]);
    for (const std::size_t own : {4, 5})
      if (wanted[own]) out[own] = torch::empty_like(saved[own]);
    AT_DISPATCH_FLOATING_TYPES(dy.scalar_type(), "attention_backward", [&] {
      each_head<scalar_t>(h, [&](const Place<scalar_t>& at) {
        scalar_t* dr = at.of_head(out[3]);
        kernels::backward(at.sizes, at.operands(h),
                          {at.of_sample(saved[8]), at.in_segment(dy, 0, 1), at.in_segment(out[0], 0, 3), at.in_segment(out[0], 1, 3), at.in_segment(out[0], 2, 3), at.of_sample(out[4]),
                           at.of_sample(out[5]), at.of_head(out[1]), at.of_head(out[2]), dr ? dr + 1 : nullptr});
      });
    });
    if (!wanted[0]) out[0] = Tensor();
    return out;
  }
};

bool fusable(const Heads& h) {
  const auto dtype = h.qkv.scalar_type();
  if (!h.qkv.is_cpu() || (dtype != torch::kFloat32 && dtype != torch::kFloat64) || h.qkv.numel() == 0 || !kernels::has_blas()) return false;
  for (const Tensor* t : {&h.qkv, &h.content_bias, &h.distance_bias, &h.r, &h.k_history, &h.v_history, &h.blocked, &h.dropout})
    if (t->defined() && (!t->is_contiguous() || t->scalar_type() != dtype)) return false;
  if (h.qkv.dim() != 3 || h.r.dim() != 3 || h.k_history.defined() != h.v_history.defined() || h.blocked.requires_grad() ||
      (h.dropout.defined() && h.dropout.requires_grad()))
    return false;
  const std::int64_t heads = h.r.size(0), d = h.r.size(1), batch = h.qkv.size(0), length = h.qkv.size(1), memory = h.k_history.defined() ? h.k_history.size(2) : 0, keys = memory + length;
  const auto is = [](const Tensor& t, at::IntArrayRef sizes) { return !t.defined() || t.sizes() == sizes; };
  return h.qkv.size(2) == 3 * heads * d && h.r.size(2) == 1 + keys && is(h.content_bias, {heads, 1, 1, d}) && is(h.distance_bias, {heads, 1, 1, d}) &&
         is(h.k_history, {heads, batch, memory, d}) && is(h.v_history, {heads, batch, memory, d}) && is(h.blocked, {length, keys}) && is(h.dropout, {heads, batch, length, keys});
}

/// Entry (i, j) is that of column j + L − 1 − i: [1 + K, L] read from the same numbers, its first row left out. A view.
Tensor shifted(const Tensor& x, std::int64_t batch, std::int64_t length, std::int64_t keys) {
  return x.reshape({-1, length * (keys + 1)}).narrow(1, length, length * keys).view({x.size(0) * batch, length, keys});
}

/// In single precision at least: scores of low precision lose too much in the exponential.
Tensor softmax(const Tensor& score) {
  const bool low = score.scalar_type() == torch::kHalf || score.scalar_type() == torch::kBFloat16;
  return low ? torch::softmax(score, -1, torch::kFloat32).to(score.scalar_type()) : torch::softmax(score, -1);
}

}  // namespace

Tensor plain_attention(const Heads& h) {
  const std::int64_t batch = h.qkv.size(0), length = h.qkv.size(1), heads = h.r.size(0), d = h.r.size(1), keys = h.blocked.size(1);
  const Tensor qkv = h.qkv.reshape({batch, length, 3, heads, d}).permute({2, 3, 0, 1, 4});  // [3, H, B, L, d]
  const Tensor k = h.k_history.defined() ? torch::cat({h.k_history, qkv[1]}, 2) : qkv[1].contiguous();
  const Tensor v = h.v_history.defined() ? torch::cat({h.v_history, qkv[2]}, 2) : qkv[2].contiguous();

  const Tensor q = qkv[0].contiguous(), by_distance = torch::bmm((q + h.distance_bias).reshape({heads, batch * length, d}), h.r);  // [H, B L, 1 + K]
  Tensor score = shifted(by_distance, batch, length, keys);
  score = torch::GradMode::is_enabled() ? score + h.blocked : score.add_(h.blocked);  // on the graph an addition to a view would copy the whole gradient
  score.baddbmm_((q + h.content_bias).reshape({heads * batch, length, d}), k.reshape({heads * batch, keys, d}).transpose(1, 2));
  Tensor p = softmax(score);
  if (h.dropout.defined()) p = p * h.dropout.reshape({heads * batch, length, keys});
  return torch::bmm(p, v.reshape({heads * batch, keys, d})).reshape({heads, batch, length, d}).permute({1, 2, 0, 3}).reshape({batch, length, heads * d});
}

Tensor attention(const Heads& h) {
  if (!fusable(h)) return plain_attention(h);
  return torch::GradMode::is_enabled() ? Fused::call(h) : fused_forward(h, {});
}

}  // namespace zstar_deq_transformer
