/// \file Experiment files of published programs have their settings.
#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/experiment/experiment.hpp"
#include "core/training/session.hpp"
#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using experiment::Experiment;

struct FlowStage {
  const char *file, *solver;
  int evaluations, states, steps;  ///< of a solve, and on the graph after each state
  const char* form;
  bool all_grad;
  int evaluated_with, optimiser_steps, evaluated_every;
};

/// The training scripts of DEQ-Flow, versions 1.0 (v1, S, K) and 2.0; the base size as TorchDEQ trains it.
const FlowStage flow_stages[] = {
    {"flow_chairs_base", "fixed_point", 36, 6, 1, "sliced", false, 54, 120000, 20000},
    {"flow_chairs_huge", "fixed_point", 36, 6, 1, "sliced", false, 54, 120000, 20000},
    {"flow_things_base", "fixed_point", 40, 2, 3, "sliced", true, 60, 120000, 5000},
    {"flow_things_huge", "fixed_point", 40, 2, 3, "sliced", true, 60, 120000, 5000},
    {"flow_things_huge_3x", "fixed_point", 40, 2, 3, "sliced", true, 60, 360000, 5000},
    {"flow_chairs_huge_1step", "fixed_point", 36, 1, 1, "sliced", false, 54, 120000, 20000},
    {"flow_things_huge_1step", "fixed_point", 40, 1, 1, "sliced", true, 60, 120000, 5000},
    {"flow_chairs_base_v1", "anderson", 36, 6, 1, "indexing", false, 54, 120000, 5000},
    {"flow_things_base_v1", "anderson", 40, 2, 3, "indexing", false, 60, 120000, 5000},
    {"flow_chairs_huge_v1", "broyden", 36, 6, 1, "sliced", false, 54, 120000, 5000},
    {"flow_things_huge_v1", "broyden", 36, 6, 3, "sliced", false, 54, 120000, 5000},
    {"flow_sintel_huge", "broyden", 36, 6, 3, "sliced", false, 54, 120000, 5000},
    {"flow_kitti_huge", "broyden", 36, 6, 1, "sliced", false, 54, 50000, 5000}};

TEST(Published, StagesOfOpticalFlowHaveTheSettingsOfTheirScripts) {
  std::filesystem::current_path(ZSTAR_SOURCE_DIR);
  const training::CatalogueTables tables(test::catalogue());
  for (const FlowStage& stage : flow_stages) {
    const auto experiment = Experiment::read(std::string("experiments/") + stage.file + ".toml", {}, training::schema(), tables);
    const auto j = nlohmann::json::parse(experiment.to_json());
    const auto is = [&](const char* key, const nlohmann::json& want) { EXPECT_EQ(j.at(key).at("value"), want) << stage.file << ": " << key; };

    is("solver.name", stage.solver);
    is("solver.max_evaluations", stage.evaluations);
    is("solver.eval_max_evaluations", stage.evaluated_with);
    is("gradient.states", stage.states);
    is("gradient.steps", nlohmann::json::array({stage.steps}));
    is("gradient.form", stage.form);
    is("model.all_grad", stage.all_grad);
    is("train.steps", stage.optimiser_steps);
    is("train.eval_every_steps", stage.evaluated_every);
    is("schedule.total", stage.optimiser_steps + 99);
    EXPECT_TRUE(experiment.notes().empty()) << stage.file << ": " << experiment.notes()[0];
  }
}

}  // namespace
