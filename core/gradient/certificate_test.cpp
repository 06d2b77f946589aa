#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "core/gradient/certificate.hpp"
#include "core/gradient/spectrum.hpp"
#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options tight{.tolerance = 1e-13, .max_evaluations = 400};

/// A backward pass through a watched layer, what the certificate says of it, and the truth by dense linear algebra.
struct Case {
  gradient::GradientReport report;
  double true_error;
};

Case certified(const TanhMap& f, const Declared& declared, const std::string& method, const Settings& settings, std::int64_t steps = 12) {
  FixedPointMap map = f.map();
  map.declare(declared);
  auto deq = layer(method, tight, {.tolerance = 1e-4, .max_evaluations = 60}, "broyden", "fixed_point", settings);
  std::vector<std::shared_ptr<gradient::Watched>> watched;
  deq.watch_into(&watched);
  const std::int64_t batch = f.x.size(0), n = f.w.size(0);
  const Tensor v = randn({batch, n}, 5);
  const Equilibrium e = deq.solve(map, State(torch::zeros({batch, n}, torch::kFloat64)));
  (v * e.z()[0]).sum().backward();
  Tensor error2 = torch::zeros({}, torch::kFloat64), size2 = torch::zeros({}, torch::kFloat64);
  const Tensor z = watched.at(0)->at[0], slope = 1 - f(z).detach().square(), found = watched[0]->adjoint[0].detach();
  for (std::int64_t b = 0; b < batch; ++b) {
    const Tensor jacobian = slope[b].unsqueeze(1) * f.w.detach();
    const Tensor u = torch::linalg_solve(torch::eye(n, torch::kFloat64) - jacobian.t(), v[b]);
    error2 += (found[b] - u).square().sum(), size2 += u.square().sum();
  }
  return {gradient::certify(*watched[0], steps).value(), (error2 / size2).sqrt().item<double>()};
}

TEST(Certificate, ABoundIsNeverBelowTheErrorWhateverTheMethod) {
  for (const double norm : {0.5, 0.9, 0.99})
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const TanhMap f(3, 20, norm, 10 * seed);
      for (const auto& [method, settings] : std::vector<std::pair<std::string, Settings>>{
               {"jacobian_free", {}}, {"neumann", {{"terms", std::int64_t{4}}}}, {"phantom", {{"steps", std::vector<std::int64_t>{3}}}}, {"implicit", {}}, {"hook", {}}}) {
        const Case c = certified(f, {.lipschitz = norm}, method, settings);
        EXPECT_EQ(c.report.kind, gradient::CertificateKind::bound);
        EXPECT_GE(c.report.relative_error * (1 + 1e-9), c.true_error) << method << ' ' << norm << ' ' << seed;
        EXPECT_TRUE(std::isfinite(c.report.relative_error)) << method;
      }
    }
}

TEST(Certificate, AnEstimateCoversTheErrorInNearlyAllCases) {
  int covered = 0, cases = 0;
  for (const double norm : {0.5, 0.9, 0.99, 1.5})
    for (std::uint64_t seed = 1; seed <= 3; ++seed)
      for (const std::int64_t terms : {1, 3, 8}) {
        const Case c = certified(TanhMap(2, 40, norm, 10 * seed), {}, "neumann", {{"terms", terms}});
        EXPECT_EQ(c.report.kind, gradient::CertificateKind::estimate);
        covered += c.report.relative_error >= c.true_error;
        ++cases;
      }
  EXPECT_GE(covered, cases - 2) << covered << " of " << cases;  // Ritz values see σ_min from above
}

TEST(Certificate, SeesTheAdjointOfEveryMethodExactly) {  // δ catches what f's result is multiplied with
  const TanhMap f(2, 8, 0.7);
  const Case tight_case = certified(f, {.lipschitz = 0.7}, "unrolled", {{"steps", std::int64_t{300}}});
  EXPECT_LT(tight_case.true_error, 1e-10);
  EXPECT_LT(tight_case.report.relative_error, 1e-9);
  EXPECT_GT(tight_case.report.cosine, 1 - 1e-9);
}

TEST(Certificate, MonotonicityIsABoundToo) {
  const TanhMap f(2, 8, 0.7);
  const Case c = certified(f, {.monotone = 0.3}, "jacobian_free", {});  // ⟨v, (I − J)v⟩ ≥ (1 − 0.7)‖v‖²
  EXPECT_EQ(c.report.kind, gradient::CertificateKind::bound);
  EXPECT_DOUBLE_EQ(c.report.sigma[0], 0.3);
  EXPECT_GE(c.report.relative_error, c.true_error);
}

TEST(Certificate, ForwardPartGrowsWithTheForwardResidual) {
  const TanhMap f(2, 8, 0.8);
  double before = 0;
  for (const double tolerance : {1e-9, 1e-5, 1e-2}) {
    auto deq = layer("implicit", {.tolerance = tolerance, .max_evaluations = 400}, tight, "fixed_point");
    std::vector<std::shared_ptr<gradient::Watched>> watched;
    deq.watch_into(&watched);
    deq.solve(f.map(), State(torch::zeros({2, 8}, torch::kFloat64))).z()[0].sum().backward();
    const double forward = gradient::certify(*watched[0], 8)->forward_error;
    EXPECT_GT(forward, 10 * before);
    before = forward;
  }
}

TEST(Certificate, RefiningMakesABadGradientGood) {
  TanhMap f(3, 12, 0.95);
  const Tensor v = randn({3, 12}, 5), z0 = torch::zeros({3, 12}, torch::kFloat64);
  const auto want = unrolled_gradients(f.map(), z0, v, f.captured(), 800);
  auto deq = layer("jacobian_free", tight, tight, "broyden");
  std::vector<std::shared_ptr<gradient::Watched>> watched;
  deq.watch_into(&watched);
  (v * deq.solve(f.map(), State(z0)).z()[0]).sum().backward({}, /*retain_graph=*/true);
  EXPECT_GT(relative_error(f.w.grad(), want[0]), 0.05);
  const auto report = gradient::certify(*watched[0], 12);
  const Report solve = gradient::refine(*watched[0], *report, 1e-6, 200);
  EXPECT_EQ(solve.reasons[0], Reason::converged);
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_error(f.captured()[i].grad(), want[i]), 1e-5) << i;
}

TEST(Certificate, WatchingLeavesTheGradientAsItIs) {
  const TanhMap f;
  const Tensor z0 = torch::zeros({3, 6}, torch::kFloat64);
  std::vector<Tensor> gradients;
  for (const bool watch : {false, true}) {
    auto deq = layer("implicit", tight, tight);
    std::vector<std::shared_ptr<gradient::Watched>> watched;
    if (watch) deq.watch_into(&watched);
    f.w.mutable_grad() = Tensor();
    deq.solve(f.map(), State(z0)).z()[0].square().sum().backward();
    gradients.push_back(f.w.grad());
  }
  EXPECT_TRUE(gradients[0].equal(gradients[1]));
}

TEST(SingularValues, AreExactOnceTheSpaceIsWholeAndNeverBelowBefore) {
  const AffineMap f{matrix_of_norm(10, 1.3, 4), randn({2, 10}, 5)};
  const Tensor values = torch::linalg_svdvals(torch::eye(10, torch::kFloat64) - f.a);
  const gradient::Linearisation linear(f.map(), State(f.zeros()));
  for (const std::int64_t k : {2, 5, 10}) {
    const auto found = gradient::singular_values(linear, randn({2, 10}, 6), k, /*apart=*/true);
    for (std::size_t b = 0; b < 2; ++b) {
      EXPECT_GE(found.smallest[b], values[9].item<double>() - 1e-10);
      EXPECT_LE(found.largest[b], values[0].item<double>() + 1e-10);
      if (k == 10) { EXPECT_NEAR(found.smallest[b], values[9].item<double>(), 1e-8); }
    }
  }
}

TEST(SingularValues, OfAJordanBlockAndTheIdentity) {  // σ_min(I − J) = 0 for J = I; an exhausted space is not a singular one
  const AffineMap identity{torch::eye(4, torch::kFloat64), torch::zeros({1, 4}, torch::kFloat64)}, zero = zstar::testing::constant(1, 4);
  EXPECT_EQ(gradient::singular_values(gradient::Linearisation(identity.map(), State(identity.zeros())), randn({1, 4}, 6), 4, true).smallest[0], 0.0);
  EXPECT_NEAR(gradient::singular_values(gradient::Linearisation(zero.map(), State(zero.zeros())), randn({1, 4}, 6), 4, true).smallest[0], 1.0, 1e-14);
}

TEST(LargestSingularValue, IsTheSpectralNormOfJ) {
  const AffineMap f{matrix_of_norm(8, 1.7, 4), randn({3, 8}, 5)};
  for (const double norm : gradient::largest_singular_value(f.map(), State(f.zeros()), randn({3, 8}, 9), 200, 1e-8)) EXPECT_NEAR(norm, 1.7, 1e-4);
}

TEST(Linearisation, JvpIsTheTransposeOfVjp) {
  const TanhMap f;
  const gradient::Linearisation linear(f.map(), State(randn({3, 6}, 4)));
  const Tensor u = randn({3, 6}, 5), v = randn({3, 6}, 6);
  EXPECT_NEAR((linear.jvp(v) * u).sum().item<double>(), (v * linear.vjp(u)).sum().item<double>(), 1e-12);
}

}  // namespace
