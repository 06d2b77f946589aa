#include "core/training/weights.hpp"

#include "core/training/calls.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "core/runs/folder.hpp"
#include "zstar/formats/safetensors.hpp"
#include "zstar/weight_names.hpp"

namespace zstar::training {
namespace {

const std::string prefix = "model/";
using Tensors = std::map<std::string, Tensor>;

template <class F>
void for_each_weight(const Model& model, const F& f) {
  for (const auto& p : model.named_parameters()) f(p.key(), p.value());
  for (const auto& b : model.named_buffers()) f(b.key(), b.value());
}

/// Copies all weights or none. \param whose  "the checkpoint" \throws std::runtime_error  without a remedy
void assign(Model& model, const Tensors& tensors, const std::string& whose) {
  const torch::NoGradGuard no_grad;
  std::string wrong;
  std::vector<std::string> left;
  for (const auto& entry : tensors) left.push_back(entry.first);
  for_each_weight(model, [&](const std::string& name, const Tensor& t) {
    left.erase(std::remove(left.begin(), left.end(), name), left.end());
    const auto found = tensors.find(name);
    if (found == tensors.end()) return void(wrong += "\n  missing: " + name + ' ' + (std::ostringstream() << t.sizes()).str());
    if (found->second.sizes() == t.sizes()) return;
    std::ostringstream shapes;
    shapes << "\n  other shape: " << name << " is " << found->second.sizes() << ", the model has " << t.sizes();
    wrong += shapes.str();
  });
  for (const std::string& name : left) wrong += "\n  unexpected: " + name + ' ' + (std::ostringstream() << tensors.at(name).sizes()).str();
  if (!wrong.empty()) throw std::runtime_error(whose + " is of another model:" + wrong);
  for_each_weight(model, [&](const std::string& name, Tensor t) { t.copy_(tensors.at(name)); });
}

/// The names without a `module.` that all of them begin with, as data-parallel training writes it.
Tensors without_module(Tensors tensors) {
  const std::string module = "module.";
  if (!std::all_of(tensors.begin(), tensors.end(), [&](const auto& entry) { return entry.first.compare(0, module.size(), module) == 0; })) return tensors;
  Tensors bare;
  for (auto& [name, t] : tensors) bare.emplace(name.substr(module.size()), std::move(t));
  return bare;
}

Tensors with_own_names(Tensors tensors, Model& model) {
  const auto* names = query<RenamesWeights>(model);
  if (!names) return tensors;
  Tensors own;
  for (auto& [name, t] : tensors)
    if (std::string mine = of_model(model, "own_name", {}, [&] { return names->own_name(name); }); !mine.empty()) own.emplace(std::move(mine), std::move(t));
  return own;
}

/// Buffers of one number count batches. Those that the file lacks stay as they are: other programs, and earlier versions of theirs, count other things.
Tensors with_counters(Tensors tensors, const Model& model) {
  for (const auto& b : model.named_buffers())
    if (b.value().dim() == 0) tensors.emplace(b.key(), b.value().clone());
  return tensors;
}

/// What to do about weights of another model: they may be those of another dict of the file.
std::string elsewhere(const formats::Bytes& bytes, const std::string& key) {
  std::vector<formats::Inner> others = formats::inner_dicts(bytes);
  std::erase_if(others, [&](const formats::Inner& dict) { return dict.key == key; });
  if (others.empty()) return "\n  remedy: name the experiment that these weights were trained with, or weights of this one's model";
  std::string text;
  for (const formats::Inner& dict : others) text += (text.empty() ? "" : ", and '") + dict.key + "' of " + std::to_string(dict.tensors) + (dict.tensors == 1 ? " tensor" : " tensors");
  return "\n  remedy: the file also holds a dict '" + text + ": " + formats::key_words(others);
}

}  // namespace

void save_weights(const Model& model, runs::Checkpoint& checkpoint) {
  for_each_weight(model, [&](const std::string& name, const Tensor& t) { checkpoint.tensors[prefix + name] = t.detach().clone(); });
}

void load_weights(Model& model, const runs::Checkpoint& checkpoint) {
  Tensors tensors;
  for (const auto& [name, t] : checkpoint.tensors)
    if (name.compare(0, prefix.size(), prefix) == 0) tensors.emplace(name.substr(prefix.size()), t);
  assign(model, tensors, "the checkpoint");
}

runs::Checkpoint newest_weights(const std::filesystem::path& from, Host& host) {
  if (!std::filesystem::is_directory(from)) return runs::load(from);
  auto files = runs::checkpoints(from);
  if (const auto best = from / "checkpoints/best.ckpt"; std::filesystem::exists(best)) files.insert(files.begin(), best);
  if (files.empty())
    throw runs::RunError(from.string() + ": error: the folder holds no checkpoint\n  expected: a checkpoint, or the folder of a run\n  remedy: 'zstar runs' lists run folders");
  for (std::size_t i = 0; i + 1 < files.size(); ++i) {
    try {
      return runs::load(files[i]);
    } catch (const runs::RunError& error) {
      host.warn(runs::without_remedy(error.what()) + "\n  remedy: " + files[i + 1].filename().string() + " is taken in its place");
    }
  }
  return runs::load(files.back());
}

void load_weights(Model& model, const std::filesystem::path& file, const std::string& key) {
  const formats::Bytes bytes = formats::read_file(file);
  Tensors tensors = formats::about(file, [&] { return formats::read_tensors(bytes, key); });
  tensors = with_counters(with_own_names(without_module(std::move(tensors)), model), model);
  try {
    assign(model, tensors, file.string());
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(error.what() + elsewhere(bytes, key));
  }
}

void export_weights(const Model& model, const std::filesystem::path& file) {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for_each_weight(model, [&](const std::string& name, const Tensor& t) { tensors.emplace_back(name, t); });
  const std::string ending = file.extension().string();
  formats::about(file, [&] {
    if (ending == ".safetensors") return runs::write_whole(file, formats::safetensors_bytes(tensors));
    if (ending == ".pth" || ending == ".pt") return formats::write_state_dict(file, tensors);
    if (ending != ".npz")
      throw std::runtime_error("'" + file.string() + "' ends in no known format\n  expected: .safetensors, .npz, .pth or .pt");
    std::vector<std::pair<std::string, std::string>> entries;
    for (const auto& [name, t] : tensors) entries.emplace_back(name + ".npy", formats::npy_bytes(t));
    formats::write_zip(file, entries);
  });
}

}  // namespace zstar::training
