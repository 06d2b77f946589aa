// Derivatives of derivatives of an operation with a backward of its own, through its plain form.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <zstar/nn/twin.hpp>

namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor plain(const Tensor& a, const Tensor& b) { return a.sin() * b * b; }

/// plain() with a third input that it does not depend on; its backward without a graph is written by hand.
struct Fused : torch::autograd::Function<Fused> {
  static Tensor forward(AutogradContext* context, const Tensor& a, const Tensor& b, const Tensor& idle) {
    context->save_for_backward({a, b, idle});
    return plain(a, b);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &a = saved[0], &b = saved[1], &dy = gradients[0];
    if (!torch::GradMode::is_enabled()) return {dy * a.cos() * b * b, 2 * dy * a.sin() * b, Tensor()};
    const std::vector<bool> wanted{context->needs_input_grad(0), context->needs_input_grad(1), context->needs_input_grad(2)};
    return zstar::nn::twin_gradient(
        saved, wanted, [](const variable_list& t) { return plain(t[0], t[1]); }, dy);
  }
};

class Twin : public ::testing::Test {
 protected:
  Tensor a = torch::randn({5}, torch::kFloat64).requires_grad_(), b = torch::randn({5}, torch::kFloat64).requires_grad_(),
         idle = torch::randn({5}, torch::kFloat64);
  /// Applied twice, so that the second application's first input depends on its second.
  template <class F>
  variable_list second(const F& f) const {
    const Tensor y = f(f(a, b), b);
    const Tensor da = torch::autograd::grad({y.pow(2).sum()}, {a}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({da.pow(2).sum()}, {a, b});
  }
};

TEST_F(Twin, OnTheGraphTwiceHasTheDerivativesOfThePlainForm) {
  const auto got = second([this](const Tensor&x, const Tensor&w) { return Fused::apply(x, w, idle); }), truth = second(plain);
  for (std::size_t k = 0; k < 2; ++k) EXPECT_TRUE(torch::allclose(got[k], truth[k], 1e-12, 1e-12)) << k;
}

TEST_F(Twin, WhatIsNotWantedAndWhatTheOutputDoesNotDependOnHaveNone) {
  const Tensor unused = idle.clone().requires_grad_(), y = Fused::apply(a, b.detach(), unused);
  const auto found = torch::autograd::grad({y.sum()}, {a, unused}, {}, true, /*create_graph=*/true, /*allow_unused=*/true);
  EXPECT_TRUE(torch::allclose(found[0], a.cos() * b * b));
  EXPECT_FALSE(found[1].defined());
  const auto none = zstar::nn::twin_gradient(
      {a, Tensor()}, {false, true}, [](const variable_list& t) { return t[0]; }, torch::ones({5}, torch::kFloat64));
  EXPECT_FALSE(none[0].defined() || none[1].defined());
}

TEST_F(Twin, AsManyWordsAsInputsAreAskedFor) {
  EXPECT_THROW(zstar::nn::twin_gradient(
                   {a, b}, {true}, [](const variable_list& t) { return t[0]; }, a),
               c10::Error);
}

}  // namespace
