#pragma once
/// \file Regularizer: a scalar to be added to the loss, computed from a solved equilibrium.

#include "zstar/abi/layer.hpp"

namespace zstar {

/// One call of the layer: the map and what came out.
struct Solved {
  FixedPointMap map;
  Equilibrium equilibrium;
};

class Regularizer : public Object {
 public:
  /// The unweighted penalty, rank 0, on the graph. \param generator  of the experiment's seed
  virtual Tensor penalty(const Solved& solved, const at::Generator& generator) = 0;
};

/// By query: a penalty of random vectors that may also be given.
class Probed {
 public:
  static constexpr std::string_view id = "zstar.regularizer.probed/1";
  /// The penalty of these vectors, one state of the shape of z⋆ each.
  virtual Tensor penalty(const Solved& solved, const std::vector<State>& probes) = 0;
 protected:
  ~Probed() = default;
};

}  // namespace zstar
