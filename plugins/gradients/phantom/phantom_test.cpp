#include <gtest/gtest.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

TEST(Phantom, IsTheGradientOfItsStepsAndHandsOutWhatWasAskedFor) {
  const TanhMap f;
  const solve::Options forward{.tolerance = 1e-13, .max_evaluations = 200};
  auto deq = layer("phantom", forward, forward, "anderson", "fixed_point",
                   {{"steps", std::vector<std::int64_t>{5}}, {"beta", 0.8}, {"every", std::int64_t{2}}});

  const Equilibrium e = deq.solve(f.map(), State(torch::zeros({3, 6}, torch::kFloat64)));

  ASSERT_EQ(e.states.size(), 3u);  // after steps 2, 4 and the last, which every = 2 alone would miss (E22)
  EXPECT_EQ(e.gradient_evaluations, 5);
  Tensor z = e.fixed_point[0];
  for (int k = 0; k < 5; ++k) z = 0.2 * z + 0.8 * f(z);
  EXPECT_LT(relative_error(torch::autograd::grad({e.z()[0].sum()}, {f.w})[0], torch::autograd::grad({z.sum()}, {f.w})[0]), 1e-12);
}

TEST(Phantom, RefusesStepsThatAreNotMade) {
  EXPECT_THROW(make<GradientMethod>(Kind::gradient, "phantom", {{"at", std::vector<std::int64_t>{7}}, {"steps", std::vector<std::int64_t>{5}}}), OptionError);
}

TEST(Layer, E20ReturnsThePlannedStatesHoweverEarlyItConverges) {
  const TanhMap f(3, 6, 0.3);
  const solve::Options o{.tolerance = 1e-10, .max_evaluations = 90};
  for (const char* form : {"indexing", "sliced"}) {
    auto deq = layer("implicit", o, {.tolerance = 1e-12, .max_evaluations = 100}, "fixed_point", "fixed_point", {}, {.states = 3, .form = form});
    const Equilibrium e = deq.solve(f.map(), State(torch::zeros({3, 6}, torch::kFloat64)));
    ASSERT_EQ(e.states.size(), 3u) << form;
    EXPECT_EQ(e.forward.back().reasons[0], Reason::converged) << form;
    EXPECT_LT(e.forward[0].calls, 30) << form;  // before the first planned state
    const auto got = torch::autograd::grad({e.z()[0].sum()}, {f.w})[0];
    const auto want = unrolled_gradients(f.map(), torch::zeros({3, 6}, torch::kFloat64), torch::ones({3, 6}, torch::kFloat64), {f.w}, 200)[0];
    EXPECT_LT(relative_error(got, want), 1e-6) << form;
  }
}

TEST(Layer, E22RefusesImpossiblePlans) {
  const solve::Options o{.max_evaluations = 40};
  for (const gradient::Options& plan : {gradient::Options{.states = 50}, gradient::Options{.sample_at = {10, 50}}, gradient::Options{.sample_at = {30, 10}}})
    EXPECT_THROW(layer("implicit", o, o, "anderson", "fixed_point", {}, plan), OptionError);
  const auto listed = [&](std::vector<std::int64_t> steps, const gradient::Options& plan) {
    return layer("phantom", o, o, "anderson", "fixed_point", {{"steps", std::move(steps)}}, plan);
  };
  EXPECT_THROW(listed({1, 2}, {}), OptionError);
  EXPECT_THROW(listed({1, 2}, {.states = 3}), OptionError);
  EXPECT_NO_THROW(listed({1, 2}, {.sample_at = {10}, .form = "sliced"}));
}

}  // namespace
