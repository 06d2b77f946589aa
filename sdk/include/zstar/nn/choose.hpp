#pragma once
/// \file Which weights of a model are under the norm; folding of all of them.

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "zstar/nn/weight.hpp"
#include "zstar/options.hpp"

namespace zstar::nn {

/// Whether a dotted name is what a pattern says; `*` stands for any characters, dots included: "stage.1" is that name alone,
/// "stage.*" all below it, "*attn*" all that contain attn.
inline bool matches(std::string_view name, std::string_view pattern) {
  std::size_t n = 0, p = 0, star = std::string_view::npos, from = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') star = p++, from = n;
    else if (p < pattern.size() && pattern[p] == name[n]) ++p, ++n;
    else if (star != std::string_view::npos) p = star + 1, n = ++from;
    else return false;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

/// Calls visit(name of the weight, weight, owner) for every weight once, shared modules included once.
template <class F>
void for_each_weight(torch::nn::Module& model, const F& visit) {
  std::vector<const Weight*> seen;
  for (const auto& entry : model.named_modules()) {
    auto* weighted = dynamic_cast<Weighted*>(entry.value().get());
    if (!weighted) continue;
    for (Weight* w : weighted->weights()) {
      if (std::find(seen.begin(), seen.end(), w) != seen.end()) continue;
      seen.push_back(w);
      visit(entry.key().empty() ? w->name() : entry.key() + '.' + w->name(), *w, *entry.value());
    }
  }
}

/// The weights of a model under the norm, those that it has but that are plain, by full name (`layer.weight`).
struct Chosen {
  std::vector<std::string> normed, plain;
};

/// Ends the norm of weights that a choice by patterns leaves out. Patterns match the name of a weight or of its module.
/// \param only  empty: all \param skip  wins over `only`
/// \pre the model has just been made \throws OptionError  naming `only` or `skip`, for a pattern that matches nothing
inline Chosen choose_normed(torch::nn::Module& model, const std::vector<std::string>& only, const std::vector<std::string>& skip) {
  std::vector<std::string> names;
  std::vector<bool> used(only.size() + skip.size(), false);
  Chosen chosen;
  const auto hit = [&](const std::string& name, const Weight& w, const std::vector<std::string>& patterns, std::size_t first) {
    const std::string module = name.size() > w.name().size() ? name.substr(0, name.size() - w.name().size() - 1) : "";
    bool any = false;
    for (std::size_t i = 0; i < patterns.size(); ++i)
      if (matches(name, patterns[i]) || matches(module, patterns[i])) any = used[first + i] = true;
    return any;
  };
  for_each_weight(model, [&](const std::string& name, Weight& w, torch::nn::Module& owner) {
    names.push_back(name);
    const bool asked = hit(name, w, only, 0), left = hit(name, w, skip, only.size());
    if (w.normed() && (left || (!only.empty() && !asked))) w.unnorm(owner);
    (w.normed() ? chosen.normed : chosen.plain).push_back(name);
  });
  const auto idle = static_cast<std::size_t>(std::find(used.begin(), used.end(), false) - used.begin());
  if (idle == used.size()) return chosen;
  std::string all;
  for (const auto& n : names) all += (all.empty() ? "" : ", ") + n;
  const bool first = idle < only.size();
  throw OptionError(first ? "only" : "skip", "'" + (first ? only[idle] : skip[idle - only.size()]) + "' matches no weight of this model; " +
                                                 (names.empty() ? "it has none that a norm could act on" : "it has " + all) +
                                                 "; patterns are whole names, '*' stands for any characters");
}

/// Replaces every normed weight by its effective value, a plain parameter: for inference. \return the names
inline std::vector<std::string> fold_norms(torch::nn::Module& model) {
  std::vector<std::string> folded;
  const torch::NoGradGuard no_grad;
  for_each_weight(model, [&](const std::string& name, Weight& w, torch::nn::Module& owner) {
    if (!w.normed()) return;
    w.fold(owner);
    folded.push_back(name);
  });
  return folded;
}

}  // namespace zstar::nn
