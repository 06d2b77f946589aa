#include <gtest/gtest.h>

#include <zstar/testing/maps.hpp>
#include <zstar/testing/matchers.hpp>
#include <zstar/testing/parts.hpp>

namespace {

using namespace zstar::testing;

TEST(MySolver, BeginsWithAPlainStep) {
  const auto f = contraction(/*batch=*/2, /*n=*/4, /*rho=*/0.9);
  const auto solver = make_solver("my_solver");

  const auto z1 = drive(*solver, f, f.zeros(), /*iterations=*/1).z;

  EXPECT_THAT(z1, near(f.b, 1e-14));  // f(0) = b
}

TEST(MySolver, SolvesAContraction) {
  const auto f = contraction(/*batch=*/3, /*n=*/6, /*rho=*/0.9);
  const auto solver = make_solver("my_solver");

  const auto solution = solve(*solver, f, f.zeros(), "tolerance = 1e-10\nmax_evaluations = 400");

  EXPECT_THAT(solution.z, is_fixed_point(f, 1e-9));
  EXPECT_THAT(solution.z, near(f.fixed_point(), 1e-7));
}

TEST(MySolver, RefusesABoundThatIsNotPositive) { EXPECT_ANY_THROW(make_solver("my_solver", "longest = 0.0")); }

}  // namespace
