#pragma once
/// \file Matchers of tensors for GoogleTest: EXPECT_THAT(z, near(f.fixed_point(), 1e-8)).

#include <sstream>

#include <gmock/gmock.h>
#include <torch/types.h>

#include "zstar/abi/map.hpp"

namespace zstar::testing {

/// Same shape and dtype, and no entry further than `tolerance` away (NaN is far from everything).
MATCHER_P2(near, expected, tolerance, "is within the tolerance of the expected tensor in every entry") {
  const torch::Tensor want = expected;
  if (arg.sizes() != want.sizes() || arg.scalar_type() != want.scalar_type()) {
    *result_listener << "shape or dtype differ: got " << ::testing::PrintToString(arg.sizes().vec()) << ' ' << arg.scalar_type() << ", expected "
                     << ::testing::PrintToString(want.sizes().vec()) << ' ' << want.scalar_type();
    return false;
  }
  if (arg.numel() == 0) return true;
  const double worst = (arg - want).abs().max().template item<double>();
  *result_listener << "largest difference " << worst;
  return worst <= static_cast<double>(tolerance);
}

/// ‖f(z) − z‖ ≤ tolerance ‖f(z)‖ for every sample (rows).
MATCHER_P2(is_fixed_point, f, tolerance, "is a fixed point to the relative tolerance") {
  const FixedPointMap map = f;
  const torch::Tensor y = map(State(arg))[0];
  const double worst = ((y - arg).norm(2, {1}) / y.norm(2, {1}).clamp_min(1e-300)).max().template item<double>();
  *result_listener << "largest relative residual " << worst;
  return worst <= static_cast<double>(tolerance);
}

/// The rows `rows` of the expected tensor, bit for bit.
MATCHER_P2(rows_equal, expected, rows, "equals the given rows bit for bit") {
  const torch::Tensor want = torch::Tensor(expected).index_select(0, torch::tensor(rows, torch::kInt64));
  if (arg.equal(want)) return true;
  *result_listener << "largest difference " << (arg.sizes() == want.sizes() ? (arg - want).abs().max().template item<double>() : NAN);
  return false;
}

}  // namespace zstar::testing
