#include "core/training/penalties.hpp"

#include "zstar/abi/solver.hpp"
#include "zstar/guard.hpp"

namespace zstar::training {

Penalties::Penalties(std::vector<WeightedRegularizer>& regularizers) : regularizers_(regularizers) {
  std::map<std::string, int> uses;
  for (const WeightedRegularizer& r : regularizers_) {
    const int use = ++uses[r.name];
    names_.push_back(use == 1 ? r.name : r.name + "_" + std::to_string(use));
  }
}

Tensor Penalties::added_to(Tensor loss, const std::vector<Solved>& solves, std::int64_t step, const at::Generator& generator) {
  for (std::size_t i = 0; i < regularizers_.size(); ++i) {
    WeightedRegularizer& r = regularizers_[i];
    const double weight = r.options.weight_at(step);
    if (weight == 0 || step % r.options.every != 0) continue;
    if (r.options.chance < 1 && torch::rand({}, torch::kFloat64).item<double>() >= r.options.chance) continue;
    for (const Solved& solved : std::vector<Solved>(solves)) {  // a penalty may solve, and what is recorded then is no call of the model
      const Tensor penalty = guarded([&] { return call_text(*r.part, "regularizer '" + r.name + "'", "penalty", solved.equilibrium.z().tensors()); },
                                     [&] { return r.part->penalty(solved, generator); });
      note(names_[i], penalty.item<double>());
      if (auto* statistics = query<Statistics>(*r.part)) {
        const auto said = guarded([&] { return call_text(*r.part, "regularizer '" + r.name + "'", "statistics"); }, [&] { return statistics->statistics(); });
        for (const auto& [name, value] : said) note(names_[i] + "_" + name, value.mean().item<double>());
      }
    }
  }
  return loss;
}

void Penalties::note(const std::string& name, double value) {
  auto& [sum, count] = sums_[name];
  sum += value, count += 1;
}

void Penalties::flush(runs::Record& record) {
  for (const auto& [name, sum] : sums_) record.numbers.emplace_back("regularizer_" + name, sum.first / sum.second);
  sums_.clear();
}

void Penalties::save(runs::Checkpoint& checkpoint) const {
  for (const auto& [name, sum] : sums_) checkpoint.tensors["penalties/" + name] = torch::tensor({sum.first, sum.second}, torch::kFloat64);
}

void Penalties::load(const runs::Checkpoint& checkpoint) {
  sums_.clear();
  for (const auto& [name, tensor] : checkpoint.tensors)
    if (name.compare(0, 10, "penalties/") == 0) sums_[name.substr(10)] = {tensor[0].item<double>(), tensor[1].item<double>()};
}

}  // namespace zstar::training
