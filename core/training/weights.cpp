#include "core/training/weights.hpp"

#include <sstream>
#include <stdexcept>

namespace zstar::training {
namespace {

const std::string prefix = "model/";

template <class F>
void for_each_weight(const Model& model, const F& f) {
  for (const auto& p : model.named_parameters()) f(p.key(), p.value());
  for (const auto& b : model.named_buffers()) f(b.key(), b.value());
}

}  // namespace

void save_weights(const Model& model, runs::Checkpoint& checkpoint) {
  for_each_weight(model, [&](const std::string& name, const Tensor& t) { checkpoint.tensors[prefix + name] = t.detach().clone(); });
}

void load_weights(Model& model, const runs::Checkpoint& checkpoint) {
  const torch::NoGradGuard no_grad;
  std::string wrong;
  std::size_t known = 0, present = 0;
  for (const auto& [name, t] : checkpoint.tensors) present += name.compare(0, prefix.size(), prefix) == 0;
  for_each_weight(model, [&](const std::string& name, Tensor t) {
    const auto found = checkpoint.tensors.find(prefix + name);
    if (found == checkpoint.tensors.end()) return void(wrong += "\n  missing: " + name);
    ++known;
    if (found->second.sizes() != t.sizes()) {
      std::ostringstream shapes;
      shapes << "\n  " << name << " is " << found->second.sizes() << ", the model has " << t.sizes();
      return void(wrong += shapes.str());
    }
  });
  if (known < present) wrong += "\n  " + std::to_string(present - known) + " tensors that the model does not have";
  if (!wrong.empty()) throw std::runtime_error("the checkpoint is of another model:" + wrong);
  for_each_weight(model, [&](const std::string& name, Tensor t) { t.copy_(checkpoint.tensors.at(prefix + name)); });
}

runs::Checkpoint newest_weights(const std::filesystem::path& from) {
  if (!std::filesystem::is_directory(from)) return runs::load(from);
  const auto best = from / "checkpoints/best.ckpt";
  if (std::filesystem::exists(best)) return runs::load(best);
  const auto newest = runs::checkpoints(from);
  return runs::load(newest.empty() ? from / "checkpoints" : newest.front());
}

}  // namespace zstar::training
