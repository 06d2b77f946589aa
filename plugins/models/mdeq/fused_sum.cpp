#include "fused_sum.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/torch.h>

#include "sum_kernels.hpp"

namespace zstar_mdeq {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Sizes = std::vector<std::int64_t>;

/// Height and width of every term, one after the other.
Sizes sizes_of(const std::vector<Tensor>& terms) {
  Sizes sizes;
  for (const Tensor& t : terms) sizes.push_back(t.size(2)), sizes.push_back(t.size(3));
  return sizes;
}

/// Which of `in` pixels each of `out` is nearest to, as ATen has it: in float.
void nearest(std::int64_t in, std::int64_t out, Sizes& into) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  for (std::int64_t i = 0; i < out; ++i)
    into.push_back(out == 2 * in ? i / 2 : std::min(in - 1, static_cast<std::int64_t>(std::floor(static_cast<float>(i) * scale))));
}

/// The rows and then the columns that the pixels of the sum take from every term; none for a term of the sum's own size.
std::vector<Sizes> places(const Sizes& sizes, std::int64_t height, std::int64_t width) {
  std::vector<Sizes> all(sizes.size() / 2);
  for (std::size_t k = 0; k < all.size(); ++k)
    if (sizes[2 * k] != height || sizes[2 * k + 1] != width) nearest(sizes[2 * k], height, all[k]), nearest(sizes[2 * k + 1], width, all[k]);
  return all;
}

/// Calls body(the terms of a sample, their number, its index) for every sample, over the threads of ATen. \param T  const where terms are read; undefined ones are null
template <class T, class F>
void each_sample(const std::vector<Tensor>& terms, const Sizes& sizes, const Tensor& y, const F& body) {
  const std::vector<Sizes> where = places(sizes, y.size(2), y.size(3));
  at::parallel_for(0, y.size(0), /*grain_size=*/1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<kernels::Term<T>> of_sample(terms.size());
    for (std::int64_t b = begin; b < end; ++b) {
      for (std::size_t k = 0; k < terms.size(); ++k) {
        const std::int64_t numbers = y.size(1) * sizes[2 * k] * sizes[2 * k + 1];
        const std::int64_t* rows = where[k].empty() ? nullptr : where[k].data();
        of_sample[k] = {terms[k].defined() ? terms[k].data_ptr<std::remove_const_t<T>>() + b * numbers : nullptr, sizes[2 * k + 1], rows, rows ? rows + y.size(2) : nullptr};
      }
      body(of_sample.data(), static_cast<std::int64_t>(terms.size()), b);
    }
  });
}

Tensor forward_sum(const std::vector<Tensor>& terms, std::int64_t height, std::int64_t width) {
  const Tensor& t = terms.front();
  Tensor y = torch::empty({t.size(0), t.size(1), height, width}, t.options(), torch::MemoryFormat::ChannelsLast);
  AT_DISPATCH_FLOATING_TYPES_AND(torch::kBFloat16, y.scalar_type(), "sum_of_branches", [&] {
    each_sample<const scalar_t>(terms, sizes_of(terms), y, [&](const auto* of_sample, std::int64_t count, std::int64_t b) {
      kernels::sum<scalar_t>(of_sample, count, height, width, y.size(1), y.data_ptr<scalar_t>() + b * y.size(1) * height * width);
    });
  });
  return y;
}

class FusedSum final : public torch::autograd::Function<FusedSum> {
 public:
  /// \param terms  an at::TensorList: of other lists LibTorch takes the tensors for constants
  static Tensor forward(AutogradContext* context, at::TensorList terms, std::int64_t height, std::int64_t width) {
    const std::vector<Tensor> all = terms.vec();
    Tensor y = forward_sum(all, height, width);
    context->save_for_backward({y});
    context->saved_data["sizes"] = sizes_of(all);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Sizes sizes = context->saved_data["sizes"].toIntVector();
    const Tensor y = context->get_saved_variables()[0], &dy = gradients[0];
    variable_list out(sizes.size() / 2 + 2);
    if (!dy.defined()) return out;
    const bool differentiable = torch::GradMode::is_enabled();
    Tensor g = differentiable ? torch::threshold_backward(dy, y, 0) : torch::empty_like(y);
    variable_list enlarged(sizes.size() / 2);  // gradients of the terms that were
    for (std::size_t k = 0; k < enlarged.size(); ++k) {
      if (!context->needs_input_grad(k)) continue;
      const std::int64_t height = sizes[2 * k], width = sizes[2 * k + 1];
      if (height == y.size(2) && width == y.size(3)) out[k] = g;
      else if (differentiable) out[k] = torch::upsample_nearest2d_backward(g, {y.size(2), y.size(3)}, {y.size(0), y.size(1), height, width});
      else out[k] = enlarged[k] = torch::empty({y.size(0), y.size(1), height, width}, y.options(), torch::MemoryFormat::ChannelsLast).zero_();
    }
    if (!differentiable) fused_backward(enlarged, sizes, y, dy.contiguous(torch::MemoryFormat::ChannelsLast), g);
    return out;
  }

 private:
  static void fused_backward(const variable_list& enlarged, const Sizes& sizes, const Tensor& y, const Tensor& dy, const Tensor& g) {
    AT_DISPATCH_FLOATING_TYPES_AND(torch::kBFloat16, y.scalar_type(), "sum_of_branches_backward", [&] {
      each_sample<scalar_t>(enlarged, sizes, y, [&](const auto* of_sample, std::int64_t count, std::int64_t b) {
        const std::int64_t at = b * y.size(1) * y.size(2) * y.size(3);
        kernels::sum_backward<scalar_t>(of_sample, count, y.size(2), y.size(3), y.size(1), y.data_ptr<scalar_t>() + at, dy.data_ptr<scalar_t>() + at, g.data_ptr<scalar_t>() + at);
      });
    });
  }
};

bool summable(const std::vector<Tensor>& terms) {
  const Tensor& first = terms.front();
  const auto dtype = first.scalar_type();
  return (dtype == torch::kFloat32 || dtype == torch::kFloat64 || dtype == torch::kBFloat16) && std::all_of(terms.begin(), terms.end(), [&](const Tensor& t) {
           return t.is_cpu() && t.dim() == 4 && t.numel() > 0 && t.scalar_type() == dtype && t.is_contiguous(torch::MemoryFormat::ChannelsLast) &&
                  t.size(0) == first.size(0) && t.size(1) == first.size(1);
         });
}

}  // namespace

Tensor plain_sum_of_branches(const std::vector<Tensor>& terms, std::int64_t height, std::int64_t width) {
  Tensor sum;
  for (const Tensor& t : terms) {
    const Tensor enlarged = t.size(2) == height && t.size(3) == width ? t : torch::upsample_nearest2d(t, {height, width});
    sum = sum.defined() ? sum + enlarged : enlarged;
  }
  return torch::relu(sum);
}

Tensor sum_of_branches(const std::vector<Tensor>& terms, std::int64_t height, std::int64_t width) {
  if (!summable(terms)) return plain_sum_of_branches(terms, height, width);
  return torch::GradMode::is_enabled() ? FusedSum::apply(at::TensorList(terms), height, width) : forward_sum(terms, height, width);
}

}  // namespace zstar_mdeq
