/// \file Checks of regularizers.
#include <algorithm>
#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/verify/regularizer_subject.hpp"
#include "zstar/testing/maps.hpp"

namespace zstar::verify {
namespace {

using testing::TanhMap;

/// The equilibrium of a map, on the graph by 60 steps of unrolled iteration: no gradient method comes into it.
Solved solved(const FixedPointMap& f, State z) {
  Solved s{f, {}};
  for (int k = 0; k < 60; ++k) z = f(z);
  std::vector<Tensor> plain;
  for (const Tensor& t : z) plain.push_back(t.detach());
  s.equilibrium.fixed_point = State(std::move(plain), z.axes());
  s.equilibrium.states = {std::move(z)};
  s.equilibrium.backward = std::make_shared<std::vector<Report>>();
  return s;
}
Solved solved(const TanhMap& f) { return solved(f.map(), State(torch::zeros_like(f(torch::zeros({f.x.size(0), f.w.size(0)}, torch::kFloat64)).detach()))); }

Tensor penalty(Regularizer& part, const Solved& s, std::uint64_t seed) { return part.penalty(s, at::detail::createCPUGenerator(seed)); }

void scalar(RegularizerSubject& s, Scope& scope) {
  for (const std::int64_t batch : {3, 1}) {
    const TanhMap f(batch, 6, 0.8, s.seed());
    const Tensor p = penalty(*s.make<Regularizer>(), solved(f), s.seed() + 1);
    scope.note("penalty", p.item<double>());
    scope.expect(p.dim() == 0, "the penalty is no scalar");
    scope.expect(std::isfinite(p.item<double>()), "the penalty is not finite");
    scope.expect(p.requires_grad(), "the penalty is not on the graph");
  }
}

void deterministic(RegularizerSubject& s, Scope& scope) {
  const TanhMap f(3, 6, 0.8, s.seed() + 2);
  const Solved at = solved(f);
  torch::manual_seed(1);
  const Tensor state = at::globalContext().defaultGenerator(torch::kCPU).get_state();
  const double first = penalty(*s.make<Regularizer>(), at, 5).item<double>();
  scope.expect(at::globalContext().defaultGenerator(torch::kCPU).get_state().equal(state), "it drew from the global generator, not from the one it was given");
  torch::manual_seed(2);
  scope.expect(penalty(*s.make<Regularizer>(), at, 5).item<double>() == first, "generators of one seed give two penalties");
}

void slopes(RegularizerSubject& s, Scope& scope) {
  const TanhMap f(3, 5, 0.7, s.seed() + 3);
  const auto part = s.make<Regularizer>();
  const auto value = [&] { return penalty(*part, solved(f), 7); };
  const Tensor slope = torch::autograd::grad({value()}, {f.w}, {}, false, false, /*allow_unused=*/true)[0];
  scope.expect(slope.defined() && slope.abs().max().item<double>() > 0, "no gradient reaches the weight of the map");
  scope.expect(slope.isfinite().all().item<bool>(), "the gradient is not finite");
  // A penalty of the map at a fixed point that gets no gradient has a partial slope: the step lowers it there. A penalty of the
  // equilibrium itself is lowered where the equilibrium is found again.
  const Solved at = solved(f);
  const double before = penalty(*part, at, 7).item<double>(), step = 1e-4 / slope.norm().item<double>();
  if (std::abs(before) <= 1e-20) scope.skip("its penalty of this map is 0 up to rounding, and so is the slope");
  {
    const torch::NoGradGuard no_grad;
    f.w.sub_(slope, step);
  }
  const double after = std::min(penalty(*part, at, 7).item<double>(), value().item<double>());
  scope.note("change", after - before);
  scope.expect(after < before, "a small step against its gradient does not lower the penalty");
}

void several_tensors(RegularizerSubject& s, Scope& scope) {
  testing::TwoStates f{testing::contraction(3, 5, 0.7, s.seed() + 4)};
  f.p.a.requires_grad_();
  const Solved at = solved(f.map(), {{torch::zeros({3, 5}, torch::kFloat64), torch::zeros({2, 3}, torch::kFloat64)}, {0, 1}});
  scope.expect(std::isfinite(penalty(*s.make<Regularizer>(), at, 9).item<double>()), "the penalty of a state of two tensors is not finite");
}

void float32(RegularizerSubject& s, Scope& scope) {
  const Tensor w = testing::matrix_of_norm(6, 0.8, s.seed() + 5).to(torch::kFloat32).requires_grad_();
  const FixedPointMap f([](const State& z, const std::vector<Tensor>& t) { return State(torch::tanh(z[0].mm(t[0].t()) + 0.1)); }, {{w, std::nullopt}}, true);
  scope.expect(std::isfinite(penalty(*s.make<Regularizer>(), solved(f, State(torch::zeros({3, 6}))), 9).item<double>()), "the penalty of a float32 state is not finite");
}

void untouched(RegularizerSubject& s, Scope& scope) {
  const TanhMap f(3, 6, 0.8, s.seed() + 6);
  const Solved at = solved(f);
  const Tensor z = at.equilibrium.z()[0].detach().clone(), plain = at.equilibrium.fixed_point[0].clone();
  const torch::NoGradGuard no_grad;  // a caller may have switched gradients off
  penalty(*s.make<Regularizer>(), at, 9);
  scope.expect(at.equilibrium.z()[0].equal(z) && at.equilibrium.fixed_point[0].equal(plain), "the equilibrium was modified");
  scope.expect(!at.equilibrium.fixed_point[0].requires_grad(), "the solution without graph requires gradients now");
}

void no_leak(RegularizerSubject& s, Scope& scope) {
  std::weak_ptr<int> alive;
  const auto part = s.make<Regularizer>();
  for (int k = 0; k < 3; ++k) {
    const auto sentinel = std::make_shared<int>(k);
    alive = sentinel;
    const Tensor b = testing::randn({2, 4}, s.seed() + 7).requires_grad_();
    const Tensor p = penalty(*part, solved({[sentinel, b](const State& z) { return State(torch::tanh(0.3 * z[0] + b)); }}, State(torch::zeros({2, 4}, torch::kFloat64))), 3);
    if (p.requires_grad()) torch::autograd::grad({p}, {b}, {}, false, false, true);
  }
  scope.expect(alive.expired(), "the map of a penalty is still held after its backward");
}

void probes(RegularizerSubject& s, Scope& scope) {
  const auto part = s.make<Regularizer>();
  auto* probed = query<Probed>(*part);
  if (!probed) scope.skip("its random vectors, if it has any, cannot be given");
  const TanhMap f(3, 6, 0.8, s.seed() + 8);
  const Solved at = solved(f);
  const State e(testing::randn({3, 6}, s.seed() + 9));
  const double one = probed->penalty(at, {e}).item<double>(), twice = probed->penalty(at, {e, e}).item<double>();
  scope.expect(std::isfinite(one) && std::abs(twice - one) <= 1e-12 * std::abs(one), "the mean over a vector and itself is not the value of that vector");
}

}  // namespace

const std::vector<Check<RegularizerSubject>>& regularizer_checks() {
  static const std::vector<Check<RegularizerSubject>> all{
      {"scalar", "a finite scalar on the graph, also for one sample", scalar},
      {"deterministic", "draws from the generator it is given alone", deterministic},
      {"slopes", "its gradient reaches the map and points uphill", slopes},
      {"several_tensors", "states of several tensors", several_tensors},
      {"float32", "float32 states", float32},
      {"untouched", "the equilibrium is not modified", untouched},
      {"no_leak", "nothing is held after backward", no_leak},
      {"probes", "given random vectors are averaged", probes}};
  return all;
}

}  // namespace zstar::verify
