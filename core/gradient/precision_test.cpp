#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options o{.tolerance = 1e-8, .max_evaluations = 200};
const State z0(torch::zeros({3, 6}, torch::kFloat64));

gradient::Layer layer_with(const gradient::PrecisionOptions& precision, const gradient::Options& options = {}) {
  gradient::LayerParts parts{choice("anderson", o), choice("fixed_point", o), make<GradientMethod>(Kind::gradient, "implicit"), make<GradientMethod>(Kind::gradient, "phantom"), options};
  parts.precision = precision;
  return gradient::Layer(std::move(parts));
}

/// f that writes down the dtypes that it is evaluated in.
FixedPointMap noting(const TanhMap& f, std::vector<torch::ScalarType>& dtypes) {
  std::vector<Captured> captured;
  for (const Tensor& t : f.captured()) captured.push_back({t, std::nullopt});
  return {[&dtypes](const State& z, const std::vector<Tensor>& t) {
            dtypes.push_back(z[0].scalar_type());
            return State(torch::tanh(z[0].mm(t[0].t()) + t[3].mm(t[1].t()) + t[2]));
          }, std::move(captured), /*samples_independent=*/false};
}

std::int64_t in_low(const std::vector<torch::ScalarType>& dtypes) { return std::count(dtypes.begin(), dtypes.end(), torch::kBFloat16); }

TEST(Precision, IsTheStatesOwnByDefault) {
  const TanhMap f;
  std::vector<torch::ScalarType> dtypes;
  auto deq = layer_with({});
  deq.solve(noting(f, dtypes), z0);
  EXPECT_EQ(in_low(dtypes), 0);
  EXPECT_TRUE(deq.statistics().empty());
}

TEST(Precision, EndsInTheStatesOwnAndMeetsTheSameTolerance) {
  const TanhMap f;
  std::vector<torch::ScalarType> dtypes;
  auto deq = layer_with({.low = "bfloat16"});
  const auto result = deq.solve(noting(f, dtypes), z0, {.gradient = false});

  const std::int64_t low = in_low(dtypes);
  EXPECT_GE(low, 2);
  EXPECT_TRUE(std::all_of(dtypes.begin(), dtypes.begin() + low, [](auto t) { return t == torch::kBFloat16; }));
  EXPECT_EQ(result.forward[0].calls, static_cast<std::int64_t>(dtypes.size()));
  EXPECT_EQ(result.forward[0].trace.steps(), result.forward[0].calls);
  for (std::int64_t b = 0; b < 3; ++b) EXPECT_EQ(result.forward[0].reasons[static_cast<std::size_t>(b)], Reason::converged);
  const Tensor z = result.fixed_point[0], fz = f(z);
  EXPECT_LE(((fz - z).norm(2, 1) / fz.norm(2, 1)).max().item<double>(), 1e-8);
  EXPECT_EQ(z.scalar_type(), torch::kFloat64);
}

TEST(Precision, AMapThatHasNoFormInItIsRefusedWithASentence) {
  const TanhMap f;
  const FixedPointMap strict([](const State& z, const std::vector<Tensor>& t) {
    return State(torch::tanh(z[0].mm(t[0].to(torch::kFloat64).t())));  // an operation of one dtype
  }, {{f.w, std::nullopt}}, /*samples_independent=*/true);
  auto deq = layer_with({.low = "bfloat16"});
  try {
    deq.solve(strict, z0, {.gradient = false});
    FAIL();
  } catch (const std::runtime_error& refused) {
    const std::string text = refused.what();
    EXPECT_NE(text.find("f cannot be evaluated in bfloat16"), std::string::npos) << text;
    EXPECT_NE(text.find("low = \"none\""), std::string::npos) << text;
  }
  EXPECT_NO_THROW(layer_with({.low = "auto"}).solve(strict, z0, {.gradient = false}));
}

TEST(Precision, SaysWhatShareOfTheEvaluationsWasLow) {
  const TanhMap f;
  std::vector<torch::ScalarType> dtypes;
  auto deq = layer_with({.low = "bfloat16"});
  deq.solve(noting(f, dtypes), z0, {.gradient = false});
  const auto numbers = deq.statistics();
  ASSERT_EQ(numbers.size(), 1u);
  EXPECT_EQ(numbers[0].first, "low_precision_share");
  EXPECT_DOUBLE_EQ(numbers[0].second, static_cast<double>(in_low(dtypes)) / static_cast<double>(dtypes.size()));
}

/// `until` cannot be reached in bfloat16 (ε 2⁻⁸), so that the share ends the first part.
TEST(Precision, LeavesTheRestOfTheBudgetToTheMapItself) {
  const TanhMap f;
  std::vector<torch::ScalarType> dtypes;
  auto deq = layer_with({.low = "bfloat16", .until = 1e-9, .share = 0.1});
  const auto result = deq.solve(noting(f, dtypes), z0, {.gradient = false, .max_evaluations = 40});
  EXPECT_EQ(in_low(dtypes), 4);
  EXPECT_LE(result.forward[0].calls, 40);
}

TEST(Precision, SpendsNothingAtTheFloorOfTheLowDtype) {  // `until` lies below it, and nothing else ends the first part
  const TanhMap f;
  solve::Options patient = o;
  patient.stall_window = 0;
  for (const bool floor : {true, false}) {
    patient.floor = floor;
    gradient::LayerParts parts{choice("anderson", patient), choice("fixed_point", o), make<GradientMethod>(Kind::gradient, "implicit"), make<GradientMethod>(Kind::gradient, "phantom"), {}};
    parts.precision = {.low = "bfloat16", .until = 1e-9, .share = 0.75};
    gradient::Layer deq(std::move(parts));
    const auto result = deq.solve(f.map(), z0, {.gradient = false});
    for (const Reason reason : result.forward[0].reasons) EXPECT_EQ(reason, Reason::converged) << floor;
    EXPECT_LT(result.forward[0].calls, 60) << floor;  // 150 were allowed in low precision
  }
}

TEST(Precision, GradientsAreThoseOfTheEquilibrium) {
  const TanhMap f;
  const Tensor v = randn({3, 6}, 5), want = unrolled_gradients(f.map(), z0[0], v, {f.w}, 300)[0];
  auto deq = layer_with({.low = "bfloat16"});
  const Tensor got = torch::autograd::grad({(v * deq.solve(f.map(), z0).z()[0]).sum()}, {f.w})[0];
  EXPECT_LT(relative_error(got, want), 1e-6);  // 1e-8 in the solve and in the adjoint, condition at most 5
}

TEST(Precision, SampledStatesKeepTheirPlaces) {
  const TanhMap f;
  std::vector<torch::ScalarType> dtypes;
  auto deq = layer_with({.low = "bfloat16", .until = 1e-9, .share = 1.0}, {.sample_at = {5}});
  const auto result = deq.solve(noting(f, dtypes), z0);
  EXPECT_EQ(in_low(dtypes), 4);  // the fifth evaluation, whose state is handed out, is of the map itself
  EXPECT_EQ(result.states.size(), 2u);
}

TEST(Precision, AMapThatHidesItsTensorsIsRefusedOrLeftAlone) {
  const TanhMap f;
  const FixedPointMap hidden([&f](const State& z) { return State(f(z[0])); });
  auto asked = layer_with({.low = "bfloat16"});
  EXPECT_THROW(asked.solve(hidden, z0), OptionError);
  auto timed = layer_with({.low = "auto"});
  EXPECT_EQ(timed.solve(hidden, z0).forward[0].reasons[0], Reason::converged);
}

TEST(Precision, ByTimingNothingIsLowThatHasNoLowForm) {
  const Tensor w = matrix_of_norm(6, 0.5, 3);
  const FixedPointMap f([](const State& z, const std::vector<Tensor>& t) { return State(z[0].mm(t[0]) + torch::linalg_inv(t[0] + torch::eye(6, t[0].options())).sum()); },
                        {{w, std::nullopt}}, /*samples_independent=*/false);
  auto deq = layer_with({.low = "auto"});
  EXPECT_EQ(deq.solve(f, z0, {.gradient = false}).forward[0].reasons[0], Reason::converged);
  std::map<std::string, double> numbers;
  for (const auto& [name, value] : deq.statistics()) numbers[name] = value;
  EXPECT_EQ(numbers.at("low_precision_gain"), 0);
}

}  // namespace
