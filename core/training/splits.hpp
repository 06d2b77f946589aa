#pragma once
/// \file The splits of a data set and their names.

#include <array>

#include "zstar/abi/dataset.hpp"

namespace zstar::training {

inline constexpr std::array splits{Split::train, Split::validation, Split::test};

inline const char* name_of(Split split) { return split == Split::train ? "train" : split == Split::validation ? "validation" : "test"; }

}  // namespace zstar::training
