#pragma once
/// \file Files that a trained model makes: a signal put together again from predictions, samples of a generative model.
/// All of it is by query: a model or data set without these abilities stays as it is.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "zstar/abi/dataset.hpp"

namespace zstar {

/// By query of a data set: what a model that Predicts says of a whole split, as files of the kind that the data came from.
class Renders {
 public:
  static constexpr std::string_view id = "zstar.dataset.render/1";
  /// \param predictions  of all samples of the split, in order \param folder  where the files go; exists
  /// \return the files written \throws std::runtime_error  for a file that cannot be written
  virtual std::vector<std::string> render(Split split, const Tensor& predictions, const std::string& folder) const = 0;

 protected:
  ~Renders() = default;
};

/// By query of a data set whose samples have files of their own: predictions are handed over one by one and may differ in size.
class RendersSamples {
 public:
  static constexpr std::string_view id = "zstar.dataset.render_samples/1";
  /// \param prediction  of the sample with this index, without the batch axis \param folder  where the files go; exists
  /// \return the files written \throws std::runtime_error  for a file that cannot be written
  virtual std::vector<std::string> render(Split split, std::int64_t index, const Tensor& prediction, const std::string& folder) const = 0;

 protected:
  ~RendersSamples() = default;
};

/// By query of a model: what it makes out of nothing but a seed, as files.
class Produces {
 public:
  static constexpr std::string_view id = "zstar.model.produce/2";
  /// Which samples of the split the batch shall hold, for models that start from some (an image to be inverted); empty: the first.
  virtual std::vector<std::int64_t> samples() const { return {}; }
  /// Called in evaluation mode without gradient. \param batch  of the data
  /// \return the files written
  virtual std::vector<std::string> produce(const Batch& batch, std::uint64_t seed, const std::string& folder) = 0;

 protected:
  ~Produces() = default;
};

}  // namespace zstar
