#pragma once
/// \file A solver of the catalogue as the layer takes it, with the options that a call may change.

#include <string>

#include "core/gradient/layer.hpp"
#include "core/plugins/catalogue.hpp"

namespace zstar::training {

/// \param catalogue, host  outlive the choice
gradient::SolverChoice solver_choice(plugins::Catalogue& catalogue, Host& host, const std::string& name, const Settings& settings, const solve::Options& options);

}  // namespace zstar::training
