/// \file Checks of norms.
#include <set>

#include <torch/csrc/autograd/autograd.h>

#include "core/verify/norm_subject.hpp"
#include "zstar/testing/maps.hpp"

namespace zstar::verify {
namespace {

using testing::randn;

struct Case {
  std::string name;
  Tensor weight;
  Geometry geometry;
};

std::vector<Case> cases(std::uint64_t seed, torch::ScalarType dtype = torch::kFloat64) {
  const Geometry conv{Geometry::Map::convolution, 0, {1, 1}, {1, 1}, {1, 1}, 2, {8, 8}}, transposed{Geometry::Map::transposed_convolution, 1, {2}, {1}, {1}, 1, {9}};
  return {{"a linear weight [6, 5]", randn({6, 5}, seed).to(dtype), {}},
          {"a kernel [6, 2, 3, 3] of two groups", randn({6, 2, 3, 3}, seed + 1).to(dtype), conv},
          {"a transposed kernel [4, 3, 3]", randn({4, 3, 3}, seed + 2).to(dtype), transposed}};
}

std::vector<Tensor> tensors_of(std::vector<Stored> stored) {
  std::vector<Tensor> tensors;
  for (Stored& s : stored) tensors.push_back(s.value.detach().clone().requires_grad_(s.trainable));
  return tensors;
}

double relative_difference(const Tensor& a, const Tensor& b) {
  return ((a - b).detach().norm() / b.detach().norm().clamp_min(1e-300)).item<double>();
}

void stores(NormSubject& s, Scope& scope) {
  for (const Case& c : cases(s.seed())) {
    const Tensor before = c.weight.clone();
    const auto stored = s.make<Norm>()->store(c.weight, c.geometry);
    scope.expect(c.weight.equal(before), c.name + ": store modified the weight it was given");
    scope.expect(!stored.empty(), c.name + ": nothing is stored");
    std::set<std::string> names;
    bool trainable = false;
    for (const Stored& one : stored) names.insert(one.suffix), trainable = trainable || one.trainable;
    scope.expect(names.size() == stored.size(), c.name + ": two stored tensors have the same suffix");
    scope.expect(trainable, c.name + ": nothing that is stored can be trained");
  }
}

void shape(NormSubject& s, Scope& scope) {
  for (const auto dtype : {torch::kFloat64, torch::kFloat32})
    for (const Case& c : cases(s.seed() + 3, dtype)) {
      const auto norm = s.make<Norm>();
      const auto stored = norm->store(c.weight, c.geometry);
      const Tensor w = norm->effective(tensors_of(stored), c.geometry, true);
      scope.expect(w.sizes() == c.weight.sizes(), c.name + ": the effective weight has another shape");
      scope.expect(w.scalar_type() == dtype, c.name + ": the effective weight has another dtype");
      for (const Stored& one : stored) scope.expect(!one.value.is_floating_point() || one.value.scalar_type() == dtype, c.name + ": '" + one.suffix + "' is not in the dtype of the weight");
      scope.expect(w.isfinite().all().item<bool>(), c.name + ": the effective weight is not finite");
      scope.expect(w.detach().abs().max().item<double>() > 0, c.name + ": the effective weight is zero");
    }
}

void differentiable(NormSubject& s, Scope& scope) {
  for (const Case& c : cases(s.seed() + 6)) {
    const auto norm = s.make<Norm>();
    const auto described = norm->store(c.weight, c.geometry);
    const auto stored = tensors_of(described);
    const Tensor g = randn(c.weight.sizes(), s.seed() + 9);
    const auto value = [&] { return (g * norm->effective(stored, c.geometry, false)).sum(); };
    for (std::size_t i = 0; i < stored.size(); ++i) {
      if (!described[i].trainable) continue;
      const Tensor slope = torch::autograd::grad({value()}, {stored[i]}, {}, false, false, /*allow_unused=*/true)[0];
      scope.expect(slope.defined(), c.name + ": no gradient reaches '" + described[i].suffix + "'");
      const Tensor direction = randn(stored[i].sizes(), s.seed() + 10);
      const double is = (slope * direction).sum().item<double>(), h = 1e-6;
      const torch::NoGradGuard no_grad;
      stored[i].add_(direction, h);
      const double above = value().item<double>();
      stored[i].sub_(direction, 2 * h);
      const double below = value().item<double>(), want = (above - below) / (2 * h);
      stored[i].add_(direction, h);
      // h² of a smooth function and 1e-16 / h of rounding; what is iterated to a tolerance may hold its vectors fixed
      scope.expect(std::abs(is - want) <= 1e-4 * std::max(1.0, std::abs(want)), c.name + ": the slope along '" + described[i].suffix + "' is " + text(is) + ", central differences say " + text(want));
    }
  }
}

void pure(NormSubject& s, Scope& scope) {
  for (const Case& c : cases(s.seed() + 11)) {
    const auto norm = s.make<Norm>();
    const auto described = norm->store(c.weight, c.geometry);
    const auto stored = tensors_of(described);
    std::vector<Tensor> before;
    for (const Tensor& t : stored) before.push_back(t.detach().clone());
    const Tensor first = norm->effective(stored, c.geometry, false);
    scope.expect(norm->effective(stored, c.geometry, false).equal(first), c.name + ": in evaluation, two calls give two weights");
    for (std::size_t i = 0; i < stored.size(); ++i) scope.expect(stored[i].equal(before[i]), c.name + ": evaluation modified '" + described[i].suffix + "'");
    norm->effective(stored, c.geometry, true);
    for (std::size_t i = 0; i < stored.size(); ++i)
      scope.expect(!described[i].trainable || stored[i].equal(before[i]), c.name + ": training modified the parameter '" + described[i].suffix + "'");
  }
}

void at_once(NormSubject& s, Scope& scope) {
  double worst = 0;
  for (const Case& c : cases(s.seed() + 14)) {
    const auto norm = s.make<Norm>();
    const auto stored = tensors_of(norm->store(c.weight, c.geometry));
    const Tensor first = norm->effective(stored, c.geometry, false).detach().clone();
    for (int k = 0; k < 200; ++k) norm->effective(stored, c.geometry, true);
    const double moved = relative_difference(norm->effective(stored, c.geometry, false), first);
    worst = std::max(worst, moved);
    scope.expect(moved <= 1e-2, c.name + ": the first weight differs by " + text(moved) + " from the one after 200 uses without training");
  }
  scope.note("moved", worst);
}

void seedless(NormSubject& s, Scope& scope) {
  for (const Case& c : cases(s.seed() + 17)) {
    const auto weight = [&](std::uint64_t seed) {
      torch::manual_seed(seed);
      const auto norm = s.make<Norm>();
      return norm->effective(tensors_of(norm->store(c.weight, c.geometry)), c.geometry, false).detach();
    };
    const double difference = relative_difference(weight(1), weight(2));
    scope.expect(difference <= 1e-2, c.name + ": the effective weight depends on the seed, by " + text(difference));
  }
}

void settles(NormSubject& s, Scope& scope) {
  const auto from = cases(s.seed() + 20), to = cases(s.seed() + 23);
  for (std::size_t k = 0; k < from.size(); ++k) {
    const auto norm = s.make<Norm>();
    const auto described = norm->store(from[k].weight, from[k].geometry);
    const auto source = tensors_of(norm->store(to[k].weight, to[k].geometry)), target = tensors_of(described);
    {
      const torch::NoGradGuard no_grad;
      for (std::size_t i = 0; i < target.size(); ++i)
        if (described[i].trainable) target[i].copy_(source[i]);
    }
    norm->settle(target, from[k].geometry);
    const double difference = relative_difference(norm->effective(target, from[k].geometry, false), norm->effective(source, to[k].geometry, false));
    scope.expect(difference <= 1e-2, from[k].name + ": with other parameters and settle, the weight differs by " + text(difference) + " from one that was made of them");
  }
}

void zeros(NormSubject& s, Scope& scope) {
  for (Case& c : cases(s.seed() + 26)) {
    for (const bool all : {false, true}) {
      Tensor w = c.weight.clone();
      all ? w.zero_() : w.select(c.geometry.output_axis, 1).zero_();
      const auto norm = s.make<Norm>();
      const auto described = norm->store(w, c.geometry);
      const auto stored = tensors_of(described);
      const Tensor weight = norm->effective(stored, c.geometry, true);
      const std::string where = c.name + (all ? " of zeros" : " with an output of zeros");
      scope.expect(weight.isfinite().all().item<bool>(), where + " becomes infinite or NaN");
      for (std::size_t i = 0; i < stored.size(); ++i) {
        if (!described[i].trainable) continue;
        const auto slope = torch::autograd::grad({weight.square().sum()}, {stored[i]}, {}, true, false, true)[0];
        scope.expect(!slope.defined() || slope.isfinite().all().item<bool>(), where + ": the gradient to '" + described[i].suffix + "' is not finite");
      }
    }
  }
}

}  // namespace

const std::vector<Check<NormSubject>>& norm_checks() {
  static const std::vector<Check<NormSubject>> all{
      {"stores", "stores at least one parameter, under different names, and leaves the weight alone", stores},
      {"shape", "keeps shape and dtype, and is finite", shape},
      {"differentiable", "gradients reach every parameter and agree with central differences", differentiable},
      {"pure", "evaluation changes nothing, training no parameter", pure},
      {"at_once", "weights are normalised from the start", at_once},
      {"seedless", "the effective weight does not depend on a seed", seedless},
      {"settles", "parameters that came from elsewhere are as good as its own", settles},
      {"zeros", "weights with outputs of zeros stay finite, with finite gradients", zeros}};
  return all;
}

}  // namespace zstar::verify
