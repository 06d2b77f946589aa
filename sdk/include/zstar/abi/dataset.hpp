#pragma once
/// \file Dataset: indexed samples, collated into batches of named tensors.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zstar/abi/object.hpp"
#include "zstar/abi/state.hpp"

namespace zstar {

enum class Split : std::uint32_t { train = 0, validation = 1, test = 2 };

/// Named tensors in a fixed order; the names are the contract between a data set and a model.
struct Batch {
  std::vector<std::pair<std::string, Tensor>> tensors;
  std::vector<std::int64_t> ids;  ///< of the samples in the data set; empty: not meaningful

  bool has(std::string_view name) const { return find(name) != nullptr; }
  const Tensor& at(std::string_view name) const {
    if (const Tensor* t = find(name)) return *t;
    std::string message = "the batch has no tensor '" + std::string(name) + "'; it has:";
    for (const auto& entry : tensors) message += ' ' + entry.first;
    throw std::invalid_argument(message);
  }

 private:
  const Tensor* find(std::string_view name) const {
    for (const auto& [key, tensor] : tensors)
      if (key == name) return &tensor;
    return nullptr;
  }
};

/// What a model must know of the data to be built: "features", "classes", "channels", "height", …
struct Description {
  std::vector<std::pair<std::string, std::int64_t>> sizes;

  bool has(std::string_view name) const { return find(name) != nullptr; }
  std::int64_t at(std::string_view name) const {
    if (const std::int64_t* n = find(name)) return *n;
    std::string message = "the data set does not say its '" + std::string(name) + "'; it says:";
    for (const auto& entry : sizes) message += ' ' + entry.first;
    throw std::invalid_argument(message);
  }

 private:
  const std::int64_t* find(std::string_view name) const {
    for (const auto& [key, n] : sizes)
      if (key == name) return &n;
    return nullptr;
  }
};

/// Samples by index. Every function is const and may be called from several threads at once.
class Dataset : public Object {
 public:
  virtual Description describe() const = 0;
  /// Samples of a split; 0: the split does not exist.
  virtual std::int64_t size(Split split) const = 0;
  /// The batches of one pass, as lists of indices below size(split). The result depends on the arguments alone, so that a run can be
  /// resumed at any batch. \param shuffle_seed  of this epoch; used where the order is random
  virtual std::vector<std::vector<std::int64_t>> batches(Split split, std::int64_t batch_size,
                                                         std::uint64_t shuffle_seed) const = 0;
  /// The samples of one batch, on the CPU. \param seed  of its random augmentation
  virtual Batch load(Split split, const std::vector<std::int64_t>& indices, std::uint64_t seed) const = 0;
};

}  // namespace zstar
