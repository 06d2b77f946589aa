#pragma once
/// \file Samples of a data set as they are, without the random augmentation of training.

#include <cstdint>
#include <string_view>
#include <vector>

#include "zstar/abi/dataset.hpp"

namespace zstar {

/// By query of a data set that augments the samples of its training split.
class Unaugmented {
 public:
  static constexpr std::string_view id = "zstar.dataset.unaugmented/1";
  /// As Dataset::load, without augmentation.
  virtual Batch load_unaugmented(Split split, const std::vector<std::int64_t>& indices) const = 0;

 protected:
  ~Unaugmented() = default;
};

}  // namespace zstar
