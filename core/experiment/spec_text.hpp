#pragma once
/// \file Option tables in words: "integer ≥ 1, default 5".

#include <string>

#include "zstar/abi/object.hpp"

namespace zstar::experiment {

/// A value as TOML would hold it.
std::string to_toml_value(const OptValue& value);
/// Type, range and choices: "real in [0, 2]", "one of 'mask', 'compact'".
std::string type_text(const OptSpec& spec);
/// "beta (real in [0, 2], default 1)"
std::string summary(const OptSpec& spec);
/// Why a value of the right type is not allowed; empty: it is.
std::string range_fault(const OptSpec& spec, const OptValue& value);

}  // namespace zstar::experiment
