#include <cmath>

#include <gtest/gtest.h>

#include "core/gradient/spectrum.hpp"
#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

double radius_of(const Tensor& a) {
  const AffineMap f{a, torch::zeros({1, a.size(0)}, torch::kFloat64)};
  const auto r = gradient::spectral_radius(f.map(), State(torch::zeros({1, a.size(0)}, torch::kFloat64)), randn({1, a.size(0)}, 3));
  EXPECT_TRUE(r.converged[0]);
  EXPECT_LE(r.products, 20);
  return r.radius[0];
}

TEST(SpectralRadius, E38IsRightWhereThePowerMethodIsNot) {
  const double c = 0.9 * std::cos(1.2), s = 0.9 * std::sin(1.2);
  EXPECT_NEAR(radius_of(torch::tensor({{c, -s}, {s, c}}, torch::kFloat64)), 0.9, 1e-6);
  EXPECT_NEAR(radius_of(torch::tensor({{0.0, -0.9}, {0.9, 0.0}}, torch::kFloat64)), 0.9, 1e-6);
  EXPECT_NEAR(radius_of(torch::tensor({{1.8, 4.5}, {-0.9, -1.8}}, torch::kFloat64)), 0.9, 1e-6);
  EXPECT_NEAR(radius_of(torch::diag(torch::tensor({0.9, -0.9, 0.1}, torch::kFloat64))), 0.9, 1e-6);
  EXPECT_NEAR(radius_of(torch::zeros({3, 3}, torch::kFloat64)), 0.0, 1e-12);
  EXPECT_NEAR(radius_of(torch::tensor({{0.0, 8.0}, {0.0, 0.0}}, torch::kFloat64)), 0.0, 1e-6);  // J² = 0: rounding of ε moves its eigenvalues by √ε
  const Tensor shift = torch::diag(torch::full({4}, 0.9, torch::kFloat64), 1);
  EXPECT_LT(radius_of(shift), 1e-2) << "J⁵ = 0";  // and here by ε^(1/5)
}

TEST(SpectralRadius, TreatsEverySampleAlone) {
  const TanhMap f(3, 6);
  const Tensor z = randn({3, 6}, 5), start = randn({3, 6}, 6);
  const auto r = gradient::spectral_radius(f.map(), State(z), start, 6, /*tolerance=*/0);  // the whole space
  for (std::int64_t b = 0; b < 3; ++b) {
    const Tensor jacobian = (1 - f(z)[b].square()).unsqueeze(1) * f.w;
    EXPECT_NEAR(r.radius[static_cast<std::size_t>(b)], torch::linalg_eigvals(jacobian).abs().max().item<double>(), 1e-9);
  }
}

double abscissa(const Tensor& j) { return torch::linalg_eigvalsh((j + j.transpose(0, 1)) / 2).max().item<double>(); }

TEST(NumericalAbscissa, IsTheTopOfTheSymmetricPartOfEverySample) {
  const TanhMap f(3, 6);
  const Tensor z = randn({3, 6}, 5), start = randn({3, 6}, 6);
  const gradient::Linearisation linear(f.map(), State(z));
  const auto found = gradient::numerical_abscissa(linear, start, 6, /*apart=*/true);
  ASSERT_EQ(found.size(), 3u);
  double most = -INFINITY;
  for (std::int64_t b = 0; b < 3; ++b) {
    const double wanted = abscissa((1 - f(z)[b].square()).unsqueeze(1) * f.w);
    EXPECT_NEAR(found[static_cast<std::size_t>(b)], wanted, 1e-9);
    most = std::max(most, wanted);
  }
  const auto joint = gradient::numerical_abscissa(linear, start, 18, /*apart=*/false);
  ASSERT_EQ(joint.size(), 1u);
  EXPECT_NEAR(joint[0], most, 1e-9);
}

TEST(NumericalAbscissa, SeesWhatTheSpectrumHides) {
  const Tensor nilpotent = torch::tensor({{0.0, 8.0}, {0.0, 0.0}}, torch::kFloat64), rotation = torch::tensor({{0.0, -3.0}, {3.0, 0.0}}, torch::kFloat64);
  const auto of = [](const Tensor& a) {
    const AffineMap f{a, torch::zeros({1, 2}, torch::kFloat64)};
    return gradient::numerical_abscissa(gradient::Linearisation(f.map(), State(torch::zeros({1, 2}, torch::kFloat64))), randn({1, 2}, 3), 2, true)[0];
  };
  EXPECT_NEAR(of(nilpotent), 4.0, 1e-12);  // spectral radius 0
  EXPECT_NEAR(of(rotation), 0.0, 1e-12);   // spectral radius 3
}

}  // namespace
