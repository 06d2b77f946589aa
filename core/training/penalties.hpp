#pragma once
/// \file Penalties: the regularizers of a run, when they are due, what they weigh, and what they were.

#include <map>
#include <string>
#include <vector>

#include "core/runs/checkpoint.hpp"
#include "core/runs/metrics.hpp"
#include "core/training/session.hpp"

namespace zstar::training {

class Penalties {
 public:
  explicit Penalties(std::vector<WeightedRegularizer>& regularizers);

  /// The loss with all penalties that are due. \param generator  decides those left to chance, too
  Tensor added_to(Tensor loss, const std::vector<Solved>& solves, std::int64_t step, const at::Generator& generator);

  /// Appends the means of penalties and of what regularizers say of them since the last record.
  void flush(runs::Record& record);
  void save(runs::Checkpoint& checkpoint) const;
  void load(const runs::Checkpoint& checkpoint);

 private:
  void note(const std::string& name, double value);

  std::vector<WeightedRegularizer>& regularizers_;
  std::vector<std::string> names_;                           // "jacobian", "jacobian_2" where a part is used twice
  std::map<std::string, std::pair<double, double>> sums_;    // sum and count by name
};

}  // namespace zstar::training
