#pragma once
/// \file All that a plugin needs.

#include "zstar/nn.hpp"
#include "zstar/options.hpp"
#include "zstar/plugin.hpp"
#include "zstar/small_systems.hpp"
