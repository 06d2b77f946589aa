#include "passes.hpp"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/torch.h>

#include <zstar/clones.hpp>

namespace zstar_deq_transformer {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// y = relu((y + b) ⊙ m). \param m  null: ones
template <class T>
ZSTAR_INLINE void activate_row(std::int64_t n, T* y, const T* b, const T* m) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T v = m ? (y[i] + b[i]) * m[i] : y[i] + b[i];
    y[i] = v < 0 ? T(0) : v;  // a NaN passes
  }
}
/// dx = dy ⊙ m but where y is closed.
template <class T>
ZSTAR_INLINE void slope_row(std::int64_t n, const T* y, const T* dy, const T* m, T* dx) {
  for (std::int64_t i = 0; i < n; ++i) dx[i] = y[i] <= 0 ? T(0) : m ? dy[i] * m[i] : dy[i];  // as ATen: a NaN is no closed unit
}
/// y = z + (y + b) ⊙ m
template <class T>
ZSTAR_INLINE void add_row(std::int64_t n, const T* z, const T* b, const T* m, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = z[i] + (m ? (y[i] + b[i]) * m[i] : y[i] + b[i]);
}

#define ZSTAR_ROWS_OF(T)                                                                                               \
  ZSTAR_CLONES void activate(std::int64_t n, T* y, const T* b, const T* m) { activate_row(n, y, b, m); }               \
  ZSTAR_CLONES void slope(std::int64_t n, const T* y, const T* dy, const T* m, T* dx) { slope_row(n, y, dy, m, dx); }  \
  ZSTAR_CLONES void add(std::int64_t n, const T* z, const T* b, const T* m, T* y) { add_row(n, z, b, m, y); }
ZSTAR_ROWS_OF(float)
ZSTAR_ROWS_OF(double)

/// Calls body(first entry of a row, its length, the mask's row or null) for the rows of y [B, L, n], over the threads of ATen.
template <class T, class F>
void each_row(const Tensor& y, const Tensor& mask, const F& body) {
  const std::int64_t length = y.size(1), n = y.size(2);
  const T* m = mask.defined() ? mask.data_ptr<T>() : nullptr;
  at::parallel_for(0, y.size(0) * length, std::max<std::int64_t>(1, 32768 / n), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) body(row * n, n, m ? m + row / length * n : nullptr);
  });
}

/// Both functions write into the product that they are given: nothing else has it.
class Hidden final : public torch::autograd::Function<Hidden> {
 public:
  static void run(const Tensor& y, const Tensor& bias, const Tensor& mask) {
    AT_DISPATCH_FLOATING_TYPES(y.scalar_type(), "hidden", [&] {
      auto* out = y.data_ptr<scalar_t>();
      const auto* b = bias.data_ptr<scalar_t>();
      each_row<scalar_t>(y, mask, [=](std::int64_t at, std::int64_t n, const scalar_t* m) { activate(n, out + at, b, m); });
    });
  }
  static Tensor forward(AutogradContext* context, const Tensor& product, const Tensor& bias, const Tensor& mask) {
    run(product, bias, mask.numel() > 0 ? mask : Tensor());
    context->mark_dirty({product});
    context->save_for_backward({product, mask});
    return product;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &y = saved[0], mask = saved[1].numel() > 0 ? saved[1] : Tensor(), &dy = gradients[0];
    if (!dy.defined()) return variable_list(3);
    Tensor dx;
    if (torch::GradMode::is_enabled()) {  // linear in dy: its derivative is that of these operations
      dx = torch::where(y <= 0, torch::zeros_like(dy), dy);
      if (mask.defined()) dx = dx * mask;
    } else {
      dx = torch::empty_like(y);
      const Tensor whole = dy.contiguous();
      AT_DISPATCH_FLOATING_TYPES(y.scalar_type(), "hidden_backward", [&] {
        const auto *out = y.data_ptr<scalar_t>(), *given = whole.data_ptr<scalar_t>();
        auto* to = dx.data_ptr<scalar_t>();
        each_row<scalar_t>(y, mask, [=](std::int64_t at, std::int64_t n, const scalar_t* m) { slope(n, out + at, given + at, m, to + at); });
      });
    }
    return {dx, context->needs_input_grad(1) ? dx.sum(torch::IntArrayRef{0, 1}) : Tensor(), Tensor()};
  }
};

class Added final : public torch::autograd::Function<Added> {
 public:
  static void run(const Tensor& z, const Tensor& y, const Tensor& bias, const Tensor& mask) {
    AT_DISPATCH_FLOATING_TYPES(y.scalar_type(), "added", [&] {
      const auto *from = z.data_ptr<scalar_t>(), *b = bias.data_ptr<scalar_t>();
      auto* out = y.data_ptr<scalar_t>();
      each_row<scalar_t>(y, mask, [=](std::int64_t at, std::int64_t n, const scalar_t* m) { add(n, from + at, b, m, out + at); });
    });
  }
  static Tensor forward(AutogradContext* context, const Tensor& z, const Tensor& product, const Tensor& bias, const Tensor& mask) {
    run(z, product, bias, mask.numel() > 0 ? mask : Tensor());
    context->mark_dirty({product});
    context->save_for_backward({mask});
    return product;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Tensor &dy = gradients[0], mask = context->get_saved_variables()[0];
    if (!dy.defined()) return variable_list(4);
    const Tensor dx = mask.numel() > 0 ? dy * mask : dy;
    return {dy, dx, context->needs_input_grad(2) ? dx.sum(torch::IntArrayRef{0, 1}) : Tensor(), Tensor()};
  }
};

/// An input of an autograd function must be a tensor: an empty one stands for none.
Tensor given(const Tensor& mask, const Tensor& like) { return mask.defined() ? mask : torch::empty({0}, like.options()); }

/// Of what follows a product: whether all is of its type, and of the sizes that the loops take.
bool joinable(const Tensor& product, const Tensor& z, const Tensor& bias, const Tensor& mask) {
  const auto dtype = product.scalar_type();
  if (!product.is_cpu() || product.dim() != 3 || product.numel() == 0 || (dtype != torch::kFloat32 && dtype != torch::kFloat64)) return false;
  const auto is = [&](const Tensor& t, at::IntArrayRef sizes) { return !t.defined() || (t.sizes() == sizes && t.is_contiguous() && t.scalar_type() == dtype); };
  return is(product, product.sizes()) && is(z, product.sizes()) && is(bias, {product.size(2)}) && is(mask, {product.size(0), 1, product.size(2)});
}

Tensor hidden_of(const Tensor& y, const Tensor& mask) { return torch::relu(mask.defined() ? y * mask : y); }
Tensor sum_of(const Tensor& z, const Tensor& y, const Tensor& mask) { return mask.defined() ? torch::addcmul(z, y, mask) : z + y; }

}  // namespace

Tensor plain_hidden(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mask) {
  return hidden_of(torch::linear(x, weight, bias), mask);
}
Tensor plain_added(const Tensor& z, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mask) {
  return sum_of(z, torch::linear(x, weight, bias), mask);
}

Tensor hidden(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mask) {
  const Tensor product = torch::linear(x, weight);
  if (!joinable(product, {}, bias, mask)) return hidden_of(product + bias, mask);
  if (torch::GradMode::is_enabled()) return Hidden::apply(product, bias, given(mask, x));
  Hidden::run(product, bias, mask);
  return product;
}
Tensor added(const Tensor& z, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mask) {
  const Tensor product = torch::linear(x, weight);
  if (!joinable(product, z, bias, mask)) return sum_of(z, product + bias, mask);
  if (torch::GradMode::is_enabled()) return Added::apply(z, product, bias, given(mask, x));
  Added::run(z, product, bias, mask);
  return product;
}

}  // namespace zstar_deq_transformer
