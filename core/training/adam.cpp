#include "core/training/adam.hpp"

#include <cmath>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <fmt/format.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "core/training/adam_kernels.hpp"

namespace zstar::training {
namespace {

using torch::Tensor;
using torch::optim::Optimizer;

template <class Options>
bool fusable(const Optimizer& optimizer) {
  const auto plain = [](const Tensor& t) { return t.device().is_cpu() && t.layout() == torch::kStrided && !t.is_neg(); };
  for (const auto& group : optimizer.param_groups())
    for (const Tensor& p : group.params()) {
      if (!p.grad().defined()) continue;
      if (static_cast<const Options&>(group.options()).amsgrad() || !plain(p) || !plain(p.grad()) || !p.is_non_overlapping_and_dense()) return false;
      if (p.scalar_type() != torch::kFloat32 && p.scalar_type() != torch::kFloat64) return false;
    }
  return true;
}

/// How LibTorch finds what it remembers of a parameter: by its place, until 2.0 in words.
template <class Key>
Key key_of(const Tensor& p) {
  if constexpr (std::is_same_v<Key, std::string>) {
    std::ostringstream out;
    out << p.unsafeGetTensorImpl();
    return out.str();
  } else {
    return p.unsafeGetTensorImpl();
  }
}

template <class State>
State& state_of(Optimizer& optimizer, const Tensor& p) {
  auto& states = optimizer.state();
  const auto key = key_of<typename std::decay_t<decltype(states)>::key_type>(p);
  const auto known = states.find(key);
  if (known != states.end()) return static_cast<State&>(*known->second);
  auto fresh = std::make_unique<State>();
  State& state = *fresh;
  state.step(0);
  state.exp_avg(torch::zeros_like(p, torch::MemoryFormat::Preserve));
  state.exp_avg_sq(torch::zeros_like(p, torch::MemoryFormat::Preserve));
  states[key] = std::move(fresh);
  return state;
}

/// t as p is: of its type, and with its numbers in the same places; t itself where it is so.
Tensor alike(const Tensor& t, const Tensor& p) {
  if (t.sizes() != p.sizes())
    throw std::runtime_error(
        fmt::format("Adam: a parameter of {} numbers in {} dimensions has a gradient or a moment of {} in {}\n  remedy: resume with the model that "
                    "the checkpoint is of",
                    p.numel(), p.dim(), t.numel(), t.dim()));
  return t.strides() == p.strides() && t.scalar_type() == p.scalar_type() ? t : torch::empty_like(p).copy_(t);
}

template <class State>
void step_of_parameter(const Tensor& p, State& state, double lr, double beta1, double beta2, double epsilon, double decay, bool decoupled) {
  const Tensor g = alike(p.grad(), p), m = alike(state.exp_avg(), p), v = alike(state.exp_avg_sq(), p);
  state.exp_avg(m), state.exp_avg_sq(v);
  state.step(state.step() + 1);
  const auto t = static_cast<double>(state.step());
  const kernels::AdamFactors f{.beta1 = beta1,
                               .beta2 = beta2,
                               .decay = decoupled ? 0 : decay,
                               .shrink = decoupled ? 1 - lr * decay : 1,
                               .step = lr / (1 - std::pow(beta1, t)),
                               .root = std::sqrt(1 - std::pow(beta2, t)),
                               .epsilon = epsilon};
  AT_DISPATCH_FLOATING_TYPES(p.scalar_type(), "adam", [&] {
    const auto* from = g.data_ptr<scalar_t>();
    auto *to = p.data_ptr<scalar_t>(), *first = m.data_ptr<scalar_t>(), *second = v.data_ptr<scalar_t>();
    at::parallel_for(0, p.numel(), at::internal::GRAIN_SIZE, [&](std::int64_t begin, std::int64_t end) {
      kernels::adam(f, from + begin, end - begin, to + begin, first + begin, second + begin);
    });
  });
  p.unsafeGetTensorImpl()->bump_version();
}

template <class Base, class Options, class State>
Tensor step_of(Base& optimizer, const Optimizer::LossClosure& closure, bool decoupled) {
  if (closure || !fusable<Options>(optimizer)) return optimizer.Base::step(closure);
  const torch::NoGradGuard no_grad;
  for (const auto& group : optimizer.param_groups()) {
    const auto& o = static_cast<const Options&>(group.options());
    const auto [beta1, beta2] = o.betas();
    for (const Tensor& p : group.params())
      if (p.grad().defined()) step_of_parameter(p, state_of<State>(optimizer, p), o.lr(), beta1, beta2, o.eps(), o.weight_decay(), decoupled);
  }
  return {};
}

}  // namespace

Tensor Adam::step(LossClosure closure) {
  return step_of<torch::optim::Adam, torch::optim::AdamOptions, torch::optim::AdamParamState>(*this, closure, false);
}

Tensor AdamW::step(LossClosure closure) {
  return step_of<torch::optim::AdamW, torch::optim::AdamWOptions, torch::optim::AdamWParamState>(*this, closure, true);
}

}  // namespace zstar::training
