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
    {"flow_things_base_1step_v1", "anderson", 40, 1, 1, "indexing", false, 60, 100000, 5000},
    {"flow_things_huge_1step_v1", "anderson", 60, 1, 1, "indexing", false, 90, 120000, 5000},
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

struct Settled {
  const char *file, *key;
  nlohmann::json value;
};

/// Budgets are evaluations. k steps of plain iteration or of Broyden's method are the start and k more; Anderson's method counts evaluations itself.
const Settled settled[] = {
    {"deq_lm_wikitext103", "gradient.checkpoint", true}, {"deq_lm_wikitext103", "train.eval_every_steps", 5000}, {"deq_lm_wikitext103", "model.eval_memory", nullptr},
    {"deq_seq_wikitext103_ift", "train.eval_every_steps", 5000}, {"deq_seq_wikitext103_ift", "model.eval_memory", nullptr}, {"deq_seq_wikitext103_ift", "solver.max_evaluations", 36},
    {"deq_seq_wikitext103_ift_jac", "train.eval_every_steps", 5000}, {"deq_seq_wikitext103_ift_jac", "model.eval_memory", nullptr},
    {"deq_seq_wikitext103_anderson", "train.eval_every_steps", 5000}, {"deq_seq_wikitext103_anderson", "solver.max_evaluations", 30}, {"deq_seq_wikitext103_prenorm_jac", "model.pretrain_steps", 32000},
    {"deq_seq_wikitext103_anderson", "gradient.solver.max_evaluations", 36},
    {"deq_seq_wikitext103_anderson_jac", "solver.max_evaluations", 12}, {"deq_seq_wikitext103_anderson_jac", "solver.random_shortening", 2}, {"deq_seq_wikitext103_anderson_jac", "gradient.solver.max_evaluations", 14},
    {"deq_seq_wikitext103_prenorm_jac", "solver.max_evaluations", 14}, {"deq_seq_wikitext103_prenorm_jac", "gradient.solver.max_evaluations", 15},
    {"ignn_ppi", "solver.max_evaluations", 41}, {"ignn_amazon", "solver.max_evaluations", 41}, {"ignn_tu", "solver.max_evaluations", 41}, {"ignn_tu", "schedule.at", nlohmann::json::array({50})}, {"ignn_tu", "schedule.factor", 0.5}, {"mdeq_imagenet", "solver.max_evaluations", 27}, {"mdeq_imagenet", "model.initial", "default"},
    {"ignn_chains_defaults", "solver.max_evaluations", 41}, {"ignn_chains_defaults", "gradient.name", "phantom"}, {"ignn_chains_defaults", "model.dropout", 0.5},
    {"ignn_chains_defaults", "norm.name", "weight_norm"}, {"ignn_chains_defaults", "dataset.length", 10}, {"ignn_chains_defaults", "train.epochs", 2000},
    {"mdeq_cifar10_tiny_ift", "model.pretrain_steps", 6000}, {"mdeq_cifar10_tiny_ift", "model.pretrain_evaluations", 10}, {"mdeq_cifar10_tiny_ift", "model.dropout", 0.25},
    {"mdeq_cifar10_tiny_ift", "optimizer.name", "adam"}, {"mdeq_cifar10_tiny_ift", "solver.max_evaluations", 19}, {"mdeq_cifar10_tiny_ift", "gradient.solver.max_evaluations", 21},
    {"mdeq_cifar10_large_ift", "model.dropout", 0.3}, {"mdeq_cifar10_large_ift", "model.pretrain_steps", 80000}, {"mdeq_cifar10_large_ift", "dataset.flip", true},
    {"mdeq_cifar10_large_ift_jac", "solver.max_evaluations", 9}, {"mdeq_cifar10_large_ift_jac", "gradient.solver.max_evaluations", 8}, {"mdeq_cifar10_large_ift_jac", "model.dropout", 0.22},
    {"mdeq_cifar10_large_ift_jac", "regularizers.0.chance", 0.02}, {"mdeq_imagenet_ift", "solver.max_evaluations", 27}, {"mdeq_imagenet_ift", "gradient.solver.max_evaluations", 28},
    {"mdeq_imagenet_ift", "model.pretrain_steps", 510000}, {"mdeq_imagenet_ift_jac", "solver.max_evaluations", 15}, {"mdeq_imagenet_ift_jac", "optimizer.lr", 0.04},
    {"mdeq_imagenet_ift_jac", "regularizers.0.rise_every", 50000}};

TEST(Published, LanguageModelsMultiscaleModelsAndGraphModelsHaveTheSettingsOfTheirPrograms) {
  std::filesystem::current_path(ZSTAR_SOURCE_DIR);
  const training::CatalogueTables tables(test::catalogue());
  for (const Settled& s : settled) {
    const auto read = Experiment::read(std::string("experiments/") + s.file + ".toml", {}, training::schema(), tables);
    EXPECT_EQ(nlohmann::json::parse(read.to_json()).at(s.key).at("value"), s.value) << s.file << ": " << s.key;
  }
}

/// Options that published programs take and do not use are none here, and are refused.
TEST(Published, Z16OptionsWithoutEffectAreNone) {
  std::filesystem::current_path(ZSTAR_SOURCE_DIR);
  const training::CatalogueTables tables(test::catalogue());
  for (const auto& [file, option] : {std::pair("deq_seq_wikitext103_ift", "blocks=3"), std::pair("deq_lm_wikitext103", "attn_type=0"), std::pair("mdeq_cifar10_small", "fuse_method='sum'"),
                                     std::pair("mdeq_cifar10_small", "layers=10"), std::pair("ignn_ppi", "dropout=0.5")})
    try {
      Experiment::read(std::string("experiments/") + file + ".toml", {std::string("model.") + option}, training::schema(), tables);
      ADD_FAILURE() << file << " takes " << option;
    } catch (const experiment::Refused& refused) {
      EXPECT_NE(std::string(refused.what()).find("unknown option"), std::string::npos) << refused.what();
    }
}

}  // namespace
