#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include <zstar/testing/maps.hpp>
#include <zstar/testing/matchers.hpp>
#include <zstar/testing/parts.hpp>

namespace {

using namespace zstar::testing;

TEST(MyGradient, IsTheFirstTermsOfTheSeries) {
  auto f = contraction(/*batch=*/2, /*n=*/4, /*rho=*/0.5);
  f.b.requires_grad_();
  const auto layer = make_layer("name = 'anderson'\ntolerance = 1e-12\nmax_evaluations = 100", "name = 'my_gradient'\ngamma = 0.5", "name = 'fixed_point'");
  const torch::Tensor v = randn({2, 4}, 9);

  const torch::Tensor z = layer->solve(f, zstar::State(f.zeros().detach())).z()[0];
  const torch::Tensor u = torch::autograd::grad({z}, {f.b}, {v})[0];  // ∂f/∂b is the identity

  EXPECT_THAT(u, near(v + 0.5 * v.mm(f.a), 1e-14));  // Jᵀv of z ↦ z Aᵀ + b, by rows
}

TEST(MyGradient, RefusesANegativeWeight) { EXPECT_ANY_THROW(make<zstar::GradientMethod>(zstar::Kind::gradient, "my_gradient", "gamma = -1.0")); }

}  // namespace
