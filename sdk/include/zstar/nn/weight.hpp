#pragma once
/// \file A weight of a module under a norm: stored parameters, effective value, folding, removal.

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "zstar/abi/norm.hpp"

namespace zstar::nn {

namespace detail {

// LibTorch registers parameters and buffers but has no call that takes one back. An explicit instantiation may name private
// members, and so these two functions can.
using Registry = torch::OrderedDict<std::string, Tensor>;
Registry& parameters_of(torch::nn::Module& module);
Registry& buffers_of(torch::nn::Module& module);

template <auto member>
struct OpenParameters {
  friend Registry& parameters_of(torch::nn::Module& module) { return module.*member; }
};
template <auto member>
struct OpenBuffers {
  friend Registry& buffers_of(torch::nn::Module& module) { return module.*member; }
};

}  // namespace detail

/// A weight of a module under a norm (or plain, if the norm is null), kept under the published names: `weight`, or
/// `weight_g`, `weight_v` and so on.
class Weight {
 public:
  Weight() = default;
  Weight(torch::nn::Module& owner, std::string name, Tensor value, Geometry geometry, std::shared_ptr<Norm> norm);

  /// The effective weight, computed from the parameters as they are now.
  Tensor effective(bool training) const;

  bool normed() const { return norm_ != nullptr; }
  const std::string& name() const { return name_; }
  const Geometry& geometry() const { return geometry_; }
  const std::vector<Tensor>& stored() const { return stored_; }

  /// Ends the norm: the effective weight becomes a plain parameter under the weight's own name, registered last.
  void fold(torch::nn::Module& owner) { become_plain(owner, effective(/*training=*/false)); }
  /// Ends the norm as if it had never been: the weight as it was given. \throws std::logic_error  after the first use
  void unnorm(torch::nn::Module& owner);
  /// Another value, as if the weight had been made of it.
  void assign(const Tensor& value);
  /// For a copy of the owner: stored tensors of its own, equal in value.
  void separate(torch::nn::Module& owner);

 private:
  struct Mark {  // changes when somebody writes to a tensor or gives it other data
    const void* data;
    std::int64_t version;
    bool operator==(const Mark& other) const { return data == other.data && version == other.version; }
  };
  static Mark mark(const Tensor& t) { return {t.data_ptr(), static_cast<std::int64_t>(t._version())}; }
  void remember() const;
  bool touched(bool training) const;
  void become_plain(torch::nn::Module& owner, const Tensor& value);

  std::shared_ptr<Norm> norm_;
  Geometry geometry_;
  std::string name_;
  mutable Tensor raw_;  // until the first use; mostly the storage of a stored tensor
  std::vector<Tensor> stored_;
  std::vector<std::string> names_;
  std::vector<bool> trainable_;
  mutable std::vector<Mark> marks_;
};

inline Weight::Weight(torch::nn::Module& owner, std::string name, Tensor value, Geometry geometry, std::shared_ptr<Norm> norm)
    : norm_(std::move(norm)), geometry_(std::move(geometry)), name_(std::move(name)), raw_(value.detach()) {
  if (!norm_) {
    stored_.push_back(owner.register_parameter(name_, std::move(value)));
    return;
  }
  for (auto& s : norm_->store(raw_, geometry_)) {
    names_.push_back(name_ + s.suffix), trainable_.push_back(s.trainable);
    stored_.push_back(s.trainable ? owner.register_parameter(names_.back(), s.value.detach())
                                  : owner.register_buffer(names_.back(), s.value));
  }
  remember();
}

inline Tensor Weight::effective(bool training) const {
  if (!norm_) return stored_.front();
  raw_ = Tensor();
  if (touched(training)) norm_->settle(stored_, geometry_);
  Tensor weight = norm_->effective(stored_, geometry_, training);
  remember();
  return weight;
}

inline void Weight::remember() const {
  marks_.clear();
  for (const Tensor& t : stored_) marks_.push_back(mark(t));
}

/// In training an optimiser writes to parameters, which the norm follows by itself; buffers are written to by the norm alone.
inline bool Weight::touched(bool training) const {
  for (std::size_t i = 0; i < stored_.size(); ++i)
    if (!(training && trainable_[i]) && !(marks_[i] == mark(stored_[i]))) return true;
  return false;
}

inline void Weight::become_plain(torch::nn::Module& owner, const Tensor& value) {
  if (!norm_) return;
  const Tensor plain = value.detach().clone();
  for (std::size_t i = 0; i < names_.size(); ++i)
    (trainable_[i] ? detail::parameters_of(owner) : detail::buffers_of(owner)).erase(names_[i]);
  norm_.reset(), names_.clear(), trainable_.clear(), marks_.clear();
  stored_ = {owner.register_parameter(name_, plain)};
}

inline void Weight::unnorm(torch::nn::Module& owner) {
  if (!norm_) return;
  if (!raw_.defined()) throw std::logic_error("the norm of '" + name_ + "' is in use; it can be folded but not undone");
  become_plain(owner, raw_);
}

inline void Weight::assign(const Tensor& value) {
  const torch::NoGradGuard no_grad;
  if (!norm_) return void(stored_.front().copy_(value));
  raw_ = value.detach().clone();
  const auto fresh = norm_->store(raw_, geometry_);
  for (std::size_t i = 0; i < stored_.size(); ++i) stored_[i].copy_(fresh[i].value);
  remember();
}

inline void Weight::separate(torch::nn::Module& owner) {
  for (std::size_t i = 0; i < stored_.size(); ++i) {
    const bool buffer = norm_ && !trainable_[i];
    const bool wants_gradient = stored_[i].requires_grad();
    stored_[i] = stored_[i].detach().clone().requires_grad_(wants_gradient);
    (buffer ? detail::buffers_of(owner) : detail::parameters_of(owner))[norm_ ? names_[i] : name_] = stored_[i];
  }
  raw_ = Tensor();
  if (norm_) remember();
}

/// A module that holds weights under norms: what folding and the choice by name act upon.
class Weighted {
 public:
  virtual std::vector<Weight*> weights() = 0;

 protected:
  ~Weighted() = default;
};

}  // namespace zstar::nn

template struct zstar::nn::detail::OpenParameters<&torch::nn::Module::parameters_>;
template struct zstar::nn::detail::OpenBuffers<&torch::nn::Module::buffers_>;
