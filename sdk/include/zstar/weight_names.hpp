#pragma once
/// \file Weights under other names: files that an earlier version of a published program saved.

#include <string>
#include <string_view>

namespace zstar {

/// By query of a model, asked for every tensor of a file that another program saved.
class RenamesWeights {
 public:
  static constexpr std::string_view id = "zstar.model.weight_names/1";
  /// \return the name that this model has for the tensor; the same where it knows no other; empty for one that nothing of it uses
  virtual std::string own_name(const std::string& name) const = 0;

 protected:
  ~RenamesWeights() = default;
};

}  // namespace zstar
