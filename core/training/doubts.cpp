#include "core/training/doubts.hpp"

#include <limits>

#include <fmt/format.h>

#include "core/solve/solve.hpp"
#include "core/training/options.hpp"

namespace zstar::training {

std::vector<std::string> doubts(const experiment::Experiment& experiment) {
  const std::string dtype = experiment.at("experiment").as<ExperimentOptions>().dtype;
  const double floor = 4 * (dtype == "float64" ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon());
  std::vector<std::string> sentences;
  for (const auto& [name, section] : {std::pair("solver.tolerance", &experiment.at("solver")), std::pair("gradient.solver.tolerance", experiment.at("gradient").find_nested("solver"))}) {
    const auto o = section->as<solve::Options>();
    if (section->idle) continue;
    if (o.tolerance == 0 || o.tolerance >= floor || (o.stop != "relative" && o.stop != "all")) continue;  // 0: the budget is spent on purpose
    sentences.push_back(fmt::format("{} = {:g} is below what {} can reach, about {:.1e}: a solve that does not end exactly ends at the floor, not converged; raise it{}", name, o.tolerance, dtype, floor,
                                    dtype == "float64" ? "" : ", or set experiment.dtype = \"float64\""));
  }
  if (const auto o = experiment.at("train").as<TrainOptions>(); o.clip != TrainOptions().clip && !o.clip_norm)
    sentences.push_back(fmt::format("train.clip = \"{}\" has no effect: nothing is clipped without train.clip_norm", o.clip));
  return sentences;
}

}  // namespace zstar::training
