#pragma once
/// \file Experiments of the laboratory's tests.

#include <filesystem>

#include "core/experiment/experiment.hpp"
#include "core/plugins/catalogue.hpp"
#include "core/training/session.hpp"

namespace zstar::test {

inline plugins::Catalogue& lab_plugins() {
  static plugins::Catalogue all({.folders = {ZSTAR_SICK_PLUGINS, ZSTAR_TEMPLATE_PLUGINS, ZSTAR_PLUGIN_DIR}, .user_folders = false});
  return all;
}

/// The model of sick.cpp, of a kind. \param more  overrides
inline experiment::Experiment lab_experiment(const std::string& kind, std::vector<std::string> more = {}) {
  constexpr const char* text = R"(
[experiment]
threads = 1
[dataset]
name = "numbers"
[model]
name = "sick"
[solver]
name = "anderson"
tolerance = 1e-5
max_evaluations = 60
[gradient]
solver = { name = "gmres", tolerance = 1e-5, max_evaluations = 100 }
)";
  more.insert(more.begin(), "model.kind=\"" + kind + "\"");
  return experiment::Experiment::parse(text, "lab.toml", more, training::schema(), training::CatalogueTables(lab_plugins()));
}

}  // namespace zstar::test
