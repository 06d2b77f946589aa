#include "core/training/adam.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include <ATen/Parallel.h>

#include "core/training/adam_kernels.hpp"

namespace zstar::training {
namespace {

using torch::Tensor;
using torch::optim::Optimizer;

template <class Use>
void for_each_gradient(const Optimizer& optimizer, const Use& use) {
  for (const auto& group : optimizer.param_groups())
    for (const Tensor& p : group.params())
      if (p.grad().defined()) use(group, p);
}

template <class Options>
bool fusable(const Optimizer& optimizer) {
  bool all = true;
  for_each_gradient(optimizer, [&all](const auto& group, const Tensor& p) {
    const auto plain = [](const Tensor& t) { return t.device().is_cpu() && t.layout() == torch::kStrided; };
    all = all && plain(p) && plain(p.grad()) && p.is_non_overlapping_and_dense() &&
          (p.scalar_type() == torch::kFloat32 || p.scalar_type() == torch::kFloat64) && p.grad().scalar_type() == p.scalar_type() &&
          !static_cast<const Options&>(group.options()).amsgrad();
  });
  return all;
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
  auto& state = states[key_of<typename std::decay_t<decltype(states)>::key_type>(p)];
  if (!state) {
    auto fresh = std::make_unique<State>();
    fresh->step(0);
    fresh->exp_avg(torch::zeros_like(p, torch::MemoryFormat::Preserve));
    fresh->exp_avg_sq(torch::zeros_like(p, torch::MemoryFormat::Preserve));
    state = std::move(fresh);
  }
  return static_cast<State&>(*state);
}

/// t, or a copy of it, with its numbers where p has them.
Tensor alike(const Tensor& t, const Tensor& p) { return t.strides() == p.strides() ? t : torch::empty_like(p).copy_(t); }

template <class Options, class State>
void step_at_once(Optimizer& optimizer, bool decoupled) {
  const torch::NoGradGuard no_grad;
  for_each_gradient(optimizer, [&](const auto& group, const Tensor& p) {
    const auto& o = static_cast<const Options&>(group.options());
    auto& state = state_of<State>(optimizer, p);
    state.step(state.step() + 1);
    state.exp_avg(alike(state.exp_avg(), p)), state.exp_avg_sq(alike(state.exp_avg_sq(), p));
    const auto [beta1, beta2] = o.betas();
    const auto t = static_cast<double>(state.step());
    const kernels::AdamFactors f{beta1,
                                 beta2,
                                 decoupled ? 0 : o.weight_decay(),
                                 decoupled ? 1 - o.lr() * o.weight_decay() : 1,
                                 o.lr() / (1 - std::pow(beta1, t)),
                                 std::sqrt(1 - std::pow(beta2, t)),
                                 o.eps()};
    const Tensor g = alike(p.grad(), p);
    AT_DISPATCH_FLOATING_TYPES(p.scalar_type(), "adam", [&] {
      const auto* from = g.data_ptr<scalar_t>();
      auto *to = p.data_ptr<scalar_t>(), *m = state.exp_avg().template data_ptr<scalar_t>(), *v = state.exp_avg_sq().template data_ptr<scalar_t>();
      at::parallel_for(0, p.numel(), at::internal::GRAIN_SIZE,
                       [&](std::int64_t begin, std::int64_t end) { kernels::adam(f, from + begin, end - begin, to + begin, m + begin, v + begin); });
    });
    p.unsafeGetTensorImpl()->bump_version();
  });
}

template <class Base, class Options, class State>
Tensor step_of(Base& optimizer, const Optimizer::LossClosure& closure, bool decoupled) {
  if (closure || !fusable<Options>(optimizer)) return optimizer.Base::step(closure);
  step_at_once<Options, State>(optimizer, decoupled);
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
