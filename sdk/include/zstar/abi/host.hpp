#pragma once
/// \file Host: what a part may ask of the program that created it.

#include <memory>
#include <string_view>

#include "zstar/abi/dataset.hpp"
#include "zstar/abi/layer.hpp"
#include "zstar/abi/norm.hpp"
#include "zstar/abi/solver.hpp"

namespace zstar {

/// Handed to every part at creation; it outlives the part. A service that does not exist for the kind of the part
/// (a layer for a data set) throws std::logic_error.
class Host : public Object {
 public:
  virtual Products& products() = 0;
  /// A solver by name, for methods composed of others.
  virtual std::unique_ptr<Solver> solver(const Part& part) = 0;
  /// The layer of the experiment: `[solver]` and `[gradient]`.
  virtual std::shared_ptr<EquilibriumLayer> layer() = 0;
  /// The norm of the experiment; null: weights are used as they are stored.
  virtual std::shared_ptr<Norm> norm() = 0;
  /// What the data set of the experiment says of itself.
  virtual const Description& data() = 0;
  /// A sentence for the user, shown once.
  virtual void warn(std::string_view sentence) = 0;
};

}  // namespace zstar
