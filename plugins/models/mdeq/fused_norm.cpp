#include "fused_norm.hpp"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/torch.h>

#include "norm_kernels.hpp"
#include "zstar/nn/twin.hpp"

namespace zstar_mdeq {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T>
const T* data(const Tensor& t) {
  return t.defined() ? t.data_ptr<T>() : nullptr;
}

/// Calls body(sample, its first entry, its index) for every sample, over the threads of ATen.
template <class T, class F>
void each_sample(const Tensor& x, std::int64_t groups, const Tensor& affine, const Around& around, const F& body) {
  const std::int64_t channels = x.size(1), pixels = x.size(2) * x.size(3);
  at::parallel_for(0, x.size(0), /*grain_size=*/1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t at = b * channels * pixels;
      const auto from = [](const T* p, std::int64_t offset) { return p ? p + offset : nullptr; };
      const T* scale = data<T>(affine);
      body(kernels::Sample<T>{pixels, channels, groups, from(data<T>(x), at), from(data<T>(around.add), at), from(data<T>(around.skip), at), scale, scale + channels,
                              from(data<T>(around.mask), b * channels), around.relu},
           at, b);
    }
  });
}

/// \param moments  [B, groups, 2] float64, filled
Tensor fused_forward(const Tensor& x, std::int64_t groups, const Tensor& affine, const Around& around, Tensor& moments) {
  Tensor y = torch::empty_like(x);
  moments = torch::empty({x.size(0), groups, 2}, x.options().dtype(torch::kFloat64));
  AT_DISPATCH_FLOATING_TYPES_AND(torch::kBFloat16, x.scalar_type(), "group_norm", [&] {
    auto* out = y.data_ptr<scalar_t>();
    auto* m = moments.data_ptr<double>();
    each_sample<scalar_t>(x, groups, affine, around, [=](const auto& s, std::int64_t at, std::int64_t b) { kernels::forward(s, out + at, m + 2 * groups * b); });
  });
  return y;
}

class Fused final : public torch::autograd::Function<Fused> {
 public:
  /// An input of an autograd function must be a tensor: an empty one stands for none.
  static Tensor call(const Tensor& x, std::int64_t groups, const Tensor& affine, const Around& around) {
    const Tensor none = torch::empty({0}, x.options());
    const auto given = [&none](const Tensor& t) { return t.defined() ? t : none; };
    return apply(x, affine, given(around.mask), given(around.add), given(around.skip), groups, around.relu);
  }

  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& affine, const Tensor& mask, const Tensor& add, const Tensor& skip, std::int64_t groups,
                        bool relu) {
    const auto given = [](const Tensor& t) { return t.numel() > 0 ? t : Tensor(); };
    const Around around{given(mask), given(add), given(skip), relu};
    Tensor moments;
    Tensor y = fused_forward(x, groups, affine, around, moments);
    context->save_for_backward({x, affine, around.mask, around.add, relu ? y : Tensor(), moments});
    context->saved_data["groups"] = groups;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::int64_t groups = context->saved_data["groups"].toInt();
    const Wanted wanted{context->needs_input_grad(0), context->needs_input_grad(1), context->needs_input_grad(3), context->needs_input_grad(4)};
    const Tensor& dy = gradients[0];
    if (!dy.defined()) return variable_list(7);
    if (torch::GradMode::is_enabled()) return differentiable(saved, groups, dy, wanted);
    return fused_backward(saved, groups, dy.contiguous(torch::MemoryFormat::ChannelsLast), wanted);
  }

 private:
  struct Wanted {
    bool x, affine, add, skip;
  };

  /// By the plain twin before its rectifier, of which the output is kept and says where it was open.
  static variable_list differentiable(const variable_list& saved, std::int64_t groups, const Tensor& dy, const Wanted& wanted) {
    const Tensor slope = saved[4].defined() ? dy * (saved[4] > 0) : dy;
    const auto twin = [groups](const variable_list& t) { return plain_group_norm(t[0], groups, t[1], {t[2], t[3]}); };
    variable_list out = zstar::nn::twin_gradient({saved[0], saved[1], saved[2], saved[3]}, {wanted.x, wanted.affine, false, wanted.add}, twin, slope);
    out.resize(7);
    if (wanted.skip) out[4] = slope;
    return out;
  }

  static variable_list fused_backward(const variable_list& saved, std::int64_t groups, const Tensor& dy, const Wanted& wanted) {
    const Tensor &x = saved[0], &affine = saved[1], &y = saved[4], &moments = saved[5];
    const Around around{saved[2], saved[3], {}, y.defined()};
    const bool shared = wanted.add && !around.mask.defined();  // without a mask the gradient of x is that of what is added
    variable_list out(7);
    if (wanted.x || shared) out[0] = torch::empty_like(x);
    if (wanted.add) out[3] = shared ? out[0] : torch::empty_like(x);
    if (wanted.skip) out[4] = torch::empty_like(x);
    Tensor sums;  // of every sample, so that threads share nothing
    if (wanted.affine) sums = torch::empty({x.size(0), 2, x.size(1)}, x.options().dtype(torch::kFloat64));
    AT_DISPATCH_FLOATING_TYPES_AND(torch::kBFloat16, x.scalar_type(), "group_norm_backward", [&] {
      const auto place = [](const Tensor& t, std::int64_t at) { return t.defined() ? t.data_ptr<scalar_t>() + at : nullptr; };
      each_sample<scalar_t>(x, groups, affine, around, [&](const auto& s, std::int64_t at, std::int64_t b) {
        double* scale = sums.defined() ? sums.data_ptr<double>() + 2 * b * x.size(1) : nullptr;
        kernels::backward(s, {place(y, at), place(dy, at), moments.data_ptr<double>() + 2 * groups * b, place(out[0], at), shared ? nullptr : place(out[3], at), place(out[4], at),
                              scale, scale ? scale + x.size(1) : nullptr});
      });
    });
    if (wanted.affine) out[1] = sums.sum(0).to(x.scalar_type());
    if (!wanted.x) out[0] = Tensor();
    return out;
  }
};

bool fusable(const Tensor& x, const Tensor& affine, const Around& a) {
  const auto dtype = x.scalar_type();
  const auto like = [&](const Tensor& t) { return !t.defined() || (t.is_contiguous(torch::MemoryFormat::ChannelsLast) && t.scalar_type() == dtype && t.sizes() == x.sizes()); };
  return x.is_cpu() && x.dim() == 4 && x.numel() > 0 && (dtype == torch::kFloat32 || dtype == torch::kFloat64 || dtype == torch::kBFloat16) && like(x) &&
         affine.is_contiguous() && affine.scalar_type() == dtype && like(a.add) && like(a.skip) &&
         (!a.mask.defined() || (a.mask.is_contiguous() && a.mask.scalar_type() == dtype && a.mask.numel() == x.size(0) * x.size(1) && !a.mask.requires_grad()));
}

}  // namespace

Tensor plain_group_norm(const Tensor& x, std::int64_t groups, const Tensor& affine, const Around& around) {
  Tensor v = around.mask.defined() ? x * around.mask : x;
  if (around.add.defined()) v = v + around.add;
  v = torch::group_norm(v, groups, affine[0], affine[1], kernels::epsilon);
  if (around.skip.defined()) v = v + around.skip;
  return around.relu ? torch::relu(v) : v;
}

Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& affine, const Around& around) {
  if (!fusable(x, affine, around)) return plain_group_norm(x, groups, affine, around);
  if (!torch::GradMode::is_enabled()) {
    Tensor moments;
    return fused_forward(x, groups, affine, around, moments);
  }
  return Fused::call(x, groups, affine, around);
}

}  // namespace zstar_mdeq
