#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options tight{.tolerance = 1e-13, .max_evaluations = 300};

TEST(JacobianFree, IsTheGradientOfOneStepAtTheFixedPoint) {
  const TanhMap f;
  const Tensor v = randn({3, 6}, 5);
  for (const bool measure : {false, true}) {
    auto deq = layer("jacobian_free", tight, tight, "anderson", "fixed_point", {{"measure", measure}});
    const Equilibrium e = deq.solve(f.map(), State(torch::zeros({3, 6}, torch::kFloat64)));
    const auto got = torch::autograd::grad({(v * e.z()[0]).sum()}, f.captured());
    const auto want = torch::autograd::grad({(v * f(e.fixed_point[0])).sum()}, f.captured());
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_error(got[i], want[i]), 1e-14) << i;
  }
}

TEST(JacobianFree, MeasuresTheResidualOfTheAdjointEquation) {
  const AffineMap f{matrix_of_norm(6, 0.7, 2), randn({3, 6}, 3).requires_grad_()};
  const Tensor v = randn({3, 6}, 5);
  auto deq = layer("jacobian_free", tight, tight, "anderson", "fixed_point", {{"measure", true}});
  const Equilibrium e = deq.solve(f.map(), State(torch::zeros({3, 6}, torch::kFloat64)));
  torch::autograd::grad({(v * e.z()[0]).sum()}, {f.b});
  ASSERT_EQ(e.backward->size(), 1u);
  const Report& report = e.backward->front();
  for (std::int64_t b = 0; b < 3; ++b) {
    EXPECT_NEAR(report.residual[static_cast<std::size_t>(b)], v[b].unsqueeze(0).mm(f.a).norm().item<double>(), 1e-12);  // ‖Jᵀv‖
    EXPECT_EQ(report.reasons[static_cast<std::size_t>(b)], Reason::budget);
  }
}

TEST(JacobianFree, IsDifferentiableAgain) {
  const TanhMap f;
  auto deq = layer("jacobian_free", tight, tight);
  const Tensor loss = deq.solve(f.map(), State(torch::zeros({3, 6}, torch::kFloat64))).z()[0].square().sum();
  const Tensor first = torch::autograd::grad({loss}, {f.w}, {}, true, /*create_graph=*/true)[0];
  EXPECT_NO_THROW(torch::autograd::grad({first.square().sum()}, {f.w}));
}

}  // namespace
