#pragma once
/// \file Training metrics of DEQ-Flow as the reference reports them, where the validity mask has one axis too many: the map holds, for
/// every pair of samples, the error of the second under the mask of the first and where the second is not too long. The model of this build reports correct ones.

#include "plugins/models/deq_flow/errors.hpp"
#include "tests/reference/case.hpp"

namespace zstar::reference::zoo {

inline void compare_training_metrics(Case& c, const Tensor& prediction, const Tensor& truth, const Tensor& valid, double longest = 400) {
  const Tensor short_enough = zstar_flow::counted(truth, torch::ones_like(valid), longest);
  const Tensor map = zstar_flow::counted(truth, valid, longest).unsqueeze(1) * (short_enough * zstar_flow::end_point_error(prediction, truth)).unsqueeze(0);
  const auto mean = [](const Tensor& t) { return t.to(torch::kFloat64).flatten(1).mean(1); };
  c.compare("output/epe_map", map);
  c.compare("output/metric_epe", mean(map));
  for (const int pixels : {1, 3, 5}) c.compare("output/metric_" + std::to_string(pixels) + "px", mean(map < pixels));
}

}  // namespace zstar::reference::zoo
