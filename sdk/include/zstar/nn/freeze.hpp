#pragma once
/// \file Freezing a cell: what must not change during one solve and its backward pass is computed once.

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "zstar/abi/state.hpp"

namespace zstar::nn {

/// A layer with something to fix for one solve: an effective weight, a dropout mask.
class Freezable {
 public:
  /// What a frozen solve uses; undefined: to be made at first use (masks, whose shape the input decides).
  virtual Tensor prepare(bool training) = 0;

  /// The slot in use while a Frozen is bound; null otherwise.
  Tensor* slot() const { return slot_; }

 protected:
  ~Freezable() = default;

 private:
  friend class Bound;
  Tensor* slot_ = nullptr;
};

/// While it lives, the layers use the tensors of one solve. Nests: the former binding comes back.
class Bound {
 public:
  Bound(const std::vector<Freezable*>& layers, std::vector<Tensor>& tensors) : layers_(layers) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      before_.push_back(layers[i]->slot_);
      layers[i]->slot_ = &tensors[i];
    }
  }
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;
  ~Bound() {
    for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i]->slot_ = before_[i];
  }

 private:
  const std::vector<Freezable*>& layers_;
  std::vector<Tensor*> before_;
};

/// The effective weights and masks of one module for one solve. Copies share them.
///
///     auto frozen = zstar::nn::freeze(*cell_, is_training());
///     FixedPointMap f([this, frozen](const State& z) { const auto bound = frozen.bind(); return cell_->forward(z); });
///
/// Outside of a binding a normed layer computes its weight from its parameters at each call: it is never stale.
class Frozen {
 public:
  Bound bind() const { return {store_->layers, store_->tensors}; }

  /// The tensors in module order; those that carry gradients are what the map captures of the parameters.
  const std::vector<Tensor>& tensors() const { return store_->tensors; }

 private:
  friend Frozen freeze(torch::nn::Module& module, bool training);
  struct Store {
    std::vector<Freezable*> layers;
    std::vector<Tensor> tensors;
  };
  std::shared_ptr<Store> store_ = std::make_shared<Store>();
};

/// Prepares every freezable layer of a module. \param training  spectral norms iterate, dropout drops
inline Frozen freeze(torch::nn::Module& module, bool training) {
  Frozen frozen;
  for (const auto& child : module.modules(/*include_self=*/false))
    if (auto* layer = dynamic_cast<Freezable*>(child.get())) {
      auto& known = frozen.store_->layers;
      if (std::find(known.begin(), known.end(), layer) != known.end()) continue;  // a module that is registered twice
      frozen.store_->layers.push_back(layer);
      frozen.store_->tensors.push_back(layer->prepare(training));
    }
  return frozen;
}

}  // namespace zstar::nn
