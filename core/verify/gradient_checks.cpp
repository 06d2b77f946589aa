/// \file Checks of gradient methods.
#include <cmath>

#include <torch/csrc/autograd/autograd.h>

#include "core/verify/gradient_subject.hpp"
#include "core/verify/solver_subject.hpp"

namespace zstar::verify {
namespace {

using testing::AffineMap;
using testing::TanhMap;

double relative_error(const Tensor& got, const Tensor& want) { return ((got - want).norm() / want.norm().clamp_min(1e-300)).item<double>(); }

/// ∂⟨v, z⋆⟩/∂ tensors through a layer.
std::vector<Tensor> gradients(gradient::Layer& layer, const FixedPointMap& f, const Tensor& z0, const Tensor& v, const std::vector<Tensor>& tensors) {
  return torch::autograd::grad({(v * layer.solve(f, State(z0)).z()[0]).sum()}, tensors);
}

/// (I − J)⁻ᵀ v of an affine map: what ∂⟨v, z⋆⟩/∂b is.
Tensor dense(const AffineMap& f, const Tensor& v) {
  const Tensor a = f.a.detach();
  return torch::linalg_solve(torch::eye(a.size(0), a.options()) - a.t(), v.unsqueeze(2)).squeeze(2);
}

void dense_truth(GradientSubject& s, Scope& scope) {
  const AffineMap f = s.affine(0.8, s.seed());
  const Tensor v = testing::randn({3, 6}, s.seed() + 1), want = dense(f, v);
  const Tensor got = gradients(*s.layer(), f.map(), f.zeros().detach(), v, {f.b})[0];
  const double error = relative_error(got, want), cosine = ((got * want).sum() / (got.norm() * want.norm())).item<double>();
  scope.note("relative error", error);
  scope.note("cosine", cosine);
  if (!s.said().exact) scope.skip("it does not claim to be exact; measured: relative error " + text(error) + ", cosine " + text(cosine));
  scope.expect(error <= 1e-9, "it claims to be exact; the relative error against (I − J)⁻ᵀ is " + text(error));  // adjoint solved to 1e-12, condition 9
}

void weak_coupling(GradientSubject& s, Scope& scope) {
  const AffineMap f = s.affine(0.05, s.seed() + 2);
  const Tensor v = testing::randn({3, 6}, s.seed() + 3);
  const double error = relative_error(gradients(*s.layer(), f.map(), f.zeros().detach(), v, {f.b})[0], dense(f, v));
  scope.note("relative error", error);
  scope.expect(error <= 0.06, "with ‖J‖ = 0.05, the one-step gradient is within 0.053; this one is off by " + text(error));
}

void no_coupling(GradientSubject& s, Scope& scope) {
  const Tensor x = testing::randn({3, 4}, s.seed() + 4), v = testing::randn({3, 6}, s.seed() + 5), w = testing::randn({6, 4}, s.seed() + 6).requires_grad_();
  const FixedPointMap f([](const State& z, const std::vector<Tensor>& t) { return State(0.0 * z[0] + torch::tanh(t[1].mm(t[0].t()))); },
                        {{w, std::nullopt}, {x, 0}}, true);
  const Tensor got = gradients(*s.layer(), f, torch::zeros({3, 6}, torch::kFloat64), v, {w})[0];
  const Tensor want = torch::autograd::grad({(v * torch::tanh(x.mm(w.t()))).sum()}, {w})[0];
  scope.expect(relative_error(got, want) <= 1e-10, "with J = 0 every method is exact; this one is off by " + text(relative_error(got, want)));
}

void unrolled(GradientSubject& s, Scope& scope) {
  const TanhMap f(3, 6, 0.8, s.seed() + 7);
  const Tensor z0 = torch::zeros({3, 6}, torch::kFloat64), v = testing::randn({3, 6}, s.seed() + 8);
  Tensor z = z0;
  for (int k = 0; k < 250; ++k) z = f(z);  // 0.8^250 < 1e-24
  const auto want = torch::autograd::grad({(v * z).sum()}, f.captured());
  if (s.said().symmetric) scope.skip("it is for symmetric J alone");
  const auto got = gradients(*s.layer(), f.map(), z0, v, f.captured());
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) worst = std::max(worst, relative_error(got[i], want[i]));
  scope.note("relative error", worst);
  if (!s.said().exact) scope.skip("it does not claim to be exact; measured: relative error " + text(worst));
  scope.expect(worst <= 1e-9, "it claims to be exact; the gradient differs by " + text(worst) + " from that of 250 unrolled steps");
}

void differences(GradientSubject& s, Scope& scope) {
  if (!s.said().exact) scope.skip("it does not claim to be exact");
  if (s.said().symmetric) scope.skip("it is for symmetric J alone");
  const TanhMap f(2, 5, 0.8, s.seed() + 9);
  const Tensor z0 = torch::zeros({2, 5}, torch::kFloat64), v = testing::randn({2, 5}, s.seed() + 10);
  const auto layer = s.layer();
  const auto got = gradients(*layer, f.map(), z0, v, f.captured());
  const double h = 1e-5;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const Tensor t = f.captured()[i], direction = testing::randn(t.sizes(), s.seed() + 11 + i);
    const auto value = [&](double step) {
      const torch::NoGradGuard no_grad;
      t.add_(direction, step);
      const double loss = (v * layer->solve(f.map(), State(z0)).z()[0]).sum().item<double>();
      t.sub_(direction, step);
      return loss;
    };
    const double slope = (value(h) - value(-h)) / (2 * h), is = (got[i] * direction).sum().item<double>();
    // h² of the third derivative, and solves to 1e-13 divided by h
    scope.expect(std::abs(slope - is) <= 1e-6 * std::max(1.0, std::abs(slope)), "the slope along captured tensor " + std::to_string(i) + " is " + text(is) + ", central differences say " + text(slope));
  }
}

/// The last report of a backward pass against the true residual of u = ∂⟨v, z⋆⟩/∂b on an affine map.
void compare_report(Scope& scope, const Report& report, const AffineMap& f, const Tensor& v, const Tensor& u, const std::string& where) {
  const Tensor residual = (v + u.mm(f.a) - u).norm(2, {1}), size = v.norm(2, {1});
  scope.expect(report.batch() == v.size(0), where + ": the report speaks of " + std::to_string(report.batch()) + " samples, there are " + std::to_string(v.size(0)));
  for (std::int64_t b = 0; b < v.size(0); ++b) {
    const double said = report.residual[static_cast<std::size_t>(b)], is = residual[b].item<double>();
    scope.expect(std::abs(said - is) <= 1e-6 * is + 1e-13 * size[b].item<double>(),
                 where + ": the report says ‖v + Jᵀu − u‖ = " + text(said) + ", it is " + text(is));
    if (report.reasons[static_cast<std::size_t>(b)] == Reason::converged)
      scope.expect(is <= 1.01 * report.tolerance * size[b].item<double>() + 1e-13, where + ": 'converged' was reported with a relative residual of " + text(is / size[b].item<double>()));
  }
}

void report(GradientSubject& s, Scope& scope) {
  const AffineMap f = s.affine(0.9, s.seed() + 20);
  const Tensor v = testing::randn({3, 6}, s.seed() + 21);
  bool any = false;
  for (const std::int64_t budget : {1, 3, 200}) {
    const auto layer = s.layer({.residual = true}, {.tolerance = 1e-10, .max_evaluations = budget});
    const Equilibrium e = layer->solve(f.map(), State(f.zeros().detach()));
    f.b.mutable_grad() = Tensor();
    (v * e.z()[0]).sum().backward();
    const std::string where = "with an adjoint budget of " + std::to_string(budget);
    if (!e.backward || e.backward->empty()) scope.fail(where + ": a backward pass left no report");
    if (e.backward->back().best.front() == 0) continue;
    any = true;
    compare_report(scope, e.backward->back(), f, v, f.b.grad(), where);
  }
  if (!any) scope.skip("it records that its residual is unknown");
}

void again(GradientSubject& s, Scope& scope) {
  const AffineMap f = s.affine(0.8, s.seed() + 22);
  const auto layer = s.layer();
  const Tensor loss = layer->solve(f.map(), State(f.zeros().detach())).z()[0].square().sum();
  const Tensor first = torch::autograd::grad({loss}, {f.b}, {}, /*retain_graph=*/true)[0];
  for (int k = 2; k <= 3; ++k)
    scope.expect(torch::autograd::grad({loss}, {f.b}, {}, true)[0].equal(first), "backward number " + std::to_string(k) + " of one graph gives another gradient");
}

void several_calls(GradientSubject& s, Scope& scope) {
  const AffineMap f = s.affine(0.8, s.seed() + 23);
  const auto layer = s.layer();
  const auto z = [&] { return layer->solve(f.map(), State(f.zeros().detach())).z()[0]; };
  const auto slope = [&](const Tensor& loss) { return torch::autograd::grad({loss}, {f.b})[0]; };
  const Tensor first = z(), second = z(), together = slope(first.square().sum() + second.pow(3).sum());
  const double error = relative_error(together, slope(z().square().sum()) + slope(z().pow(3).sum()));
  scope.expect(error <= 1e-10, "two calls of one layer in one loss differ by " + text(error) + " from the sum of two losses");
}

void loss_scale(GradientSubject& s, Scope& scope) {
  const AffineMap f = s.affine(0.8, s.seed() + 24);
  const Tensor v = testing::randn({3, 6}, s.seed() + 25);
  const auto layer = s.layer({}, {.tolerance = 1e-6, .max_evaluations = 100});
  const Tensor want = gradients(*layer, f.map(), f.zeros().detach(), v, {f.b})[0];
  for (const double scale : {1e-4, 1e-12, 1e6}) {
    const double error = relative_error(gradients(*layer, f.map(), f.zeros().detach(), v * scale, {f.b})[0] / scale, want);
    scope.expect(error <= 1e-5, "a loss times " + text(scale) + " changes the direction of the gradient by " + text(error));  // solves to 1e-6, ‖(I − J)⁻¹‖ ≤ 5
  }
}

void zero_cotangent(GradientSubject& s, Scope& scope) {
  const AffineMap f = s.affine(0.8, s.seed() + 26);
  Tensor v = testing::randn({3, 6}, s.seed() + 27);
  v[1].zero_();
  const Tensor u = gradients(*s.layer(), f.map(), f.zeros().detach(), v, {f.b})[0];
  scope.expect(u.isfinite().all().item<bool>(), "a sample that the loss does not see gives a gradient that is not finite");
  scope.expect(u[1].abs().max().item<double>() == 0, "a sample that the loss does not see got a gradient");
}

void alone(GradientSubject& s, Scope& scope) {
  const AffineMap f = s.affine(0.8, s.seed() + 28);
  const Tensor v = testing::randn({3, 6}, s.seed() + 29) * torch::tensor({{1.0}, {1e3}, {1e-3}}, torch::kFloat64);
  const auto layer = s.layer();
  const Tensor batch = gradients(*layer, f.map(), f.zeros().detach(), v, {f.b})[0];
  for (std::int64_t b = 0; b < 3; ++b) {
    const AffineMap one{f.a, f.b.detach().narrow(0, b, 1).clone().requires_grad_()};
    const double error = relative_error(gradients(*layer, one.map(), torch::zeros({1, 6}, torch::kFloat64), v.narrow(0, b, 1), {one.b})[0], batch.narrow(0, b, 1));
    scope.expect(error <= 1e-8, "the gradient of sample " + std::to_string(b) + " alone differs by " + text(error) + " from that in a batch");
  }
}

void several_tensors(GradientSubject& s, Scope& scope) {
  if (s.said().symmetric) scope.skip("it is for symmetric J alone");
  for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
    testing::TwoStates f{testing::contraction(3, 5, 0.7, s.seed() + 30)};
    f.q_dtype = dtype;
    f.p.b.requires_grad_();
    const Equilibrium e = s.layer()->solve(f, {{torch::zeros({3, 5}, torch::kFloat64), torch::zeros({2, 3}, dtype)}, {0, 1}});
    scope.expect(e.z().size() == 2 && e.z()[1].scalar_type() == dtype && e.z()[1].sizes() == at::IntArrayRef({2, 3}), "a state of two tensors came back in another form");
    const Tensor u = torch::autograd::grad({e.z()[0].square().sum() + e.z()[1].sum().to(torch::kFloat64)}, {f.p.b})[0];
    scope.expect(u.isfinite().all().item<bool>() && u.abs().max().item<double>() > 0, "the gradient through a state of two tensors is zero or not finite");
  }
}

/// A gradient through states of few digits against the same method's through float64.
void low_precision(GradientSubject& s, Scope& scope) {
  const AffineMap f = s.affine(0.5, s.seed() + 37);
  const Tensor v = testing::randn({3, 6}, s.seed() + 38), want = gradients(*s.layer(), f.map(), f.zeros().detach(), v, {f.b})[0];
  for (const auto& [dtype, epsilon] : {std::pair(torch::kBFloat16, 7.8e-3), std::pair(torch::kFloat16, 9.8e-4)}) {
    const Equilibrium e = s.layer()->solve(testing::rounded(f, dtype), State(f.zeros().detach().to(dtype)));
    scope.expect(e.z()[0].scalar_type() == dtype, "a state of " + std::string(c10::toString(dtype)) + " came back in another dtype");
    const Tensor got = torch::autograd::grad({(v.to(dtype) * e.z()[0]).to(torch::kFloat32).sum()}, {f.b})[0];
    const double error = relative_error(got, want);
    scope.note(std::string("relative error in ") + c10::toString(dtype), error);
    scope.expect(error <= 8 * epsilon, "through states of " + std::string(c10::toString(dtype)) + " the gradient is off by " + text(error));  // each product rounds once, ‖(I − J)⁻¹‖ ≤ 2
  }
}

void states(GradientSubject& s, Scope& scope) {
  const AffineMap f = s.affine(0.8, s.seed() + 31);
  const auto layer = s.layer({.states = 3});
  const Equilibrium e = layer->solve(f.map(), State(f.zeros().detach()));
  scope.expect(e.states.size() >= 3, "three states were planned, " + std::to_string(e.states.size()) + " came");
  for (const State& z : e.states) scope.expect(z[0].requires_grad(), "a sampled state is not on the graph");
  const double error = row_difference(e.z()[0].detach(), f.fixed_point().detach());
  scope.expect(error <= 1e-8, "the last state is not the equilibrium: relative error " + text(error));
}

void no_gradient(GradientSubject& s, Scope& scope) {
  const AffineMap f = s.affine(0.8, s.seed() + 32);
  const auto layer = s.layer();
  const Tensor z0 = f.zeros().detach().requires_grad_();
  scope.expect(!layer->solve(f.map(), State(z0), {.training = false}).z()[0].requires_grad(), "without a gradient asked for, the state is on a graph");
  const Tensor z = layer->solve(f.map(), State(z0)).z()[0];
  scope.expect(z.requires_grad(), "in training, the state is not on the graph");
  const auto to_start = torch::autograd::grad({z.sum()}, {z0}, {}, true, false, /*allow_unused=*/true)[0];
  scope.expect(!to_start.defined(), "a gradient reaches z0");
  scope.expect(z0.detach().equal(torch::zeros_like(z0)), "z0 was modified");
}

void no_leak(GradientSubject& s, Scope& scope) {
  const auto layer = s.layer();
  std::weak_ptr<int> alive;
  for (const bool backward : {true, false}) {
    for (int k = 0; k < 3; ++k) {
      const Tensor b = testing::randn({2, 4}, s.seed() + 33).requires_grad_();
      const auto sentinel = std::make_shared<int>(k);
      alive = sentinel;
      const Tensor z = layer->solve({[sentinel, b](const State& z) { return State(0.3 * z[0] + b); }}, State(torch::zeros({2, 4}, torch::kFloat64))).z()[0];
      if (backward) torch::autograd::grad({z.sum()}, {b});
    }
    scope.expect(alive.expired(), backward ? "after backward, the map of the call is still held" : "a call that was never differentiated is still held");
  }
}

void second_derivative(GradientSubject& s, Scope& scope) {
  if (s.said().symmetric) scope.skip("it is for symmetric J alone");
  const TanhMap f(2, 4, 0.6, s.seed() + 34);
  const Tensor z0 = torch::zeros({2, 4}, torch::kFloat64);
  const auto curvature = [&](const Tensor& z) {
    const Tensor slope = torch::autograd::grad({z.square().sum()}, {f.x}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({slope.square().sum()}, {f.w})[0];
  };
  Tensor got;
  try {
    got = curvature(s.layer()->solve(f.map(), State(z0)).z()[0]);
  } catch (const std::exception&) {
    scope.skip("it refuses second derivatives");
  }
  Tensor z = z0;
  for (int k = 0; k < 120; ++k) z = f(z);  // 0.6^120 < 1e-26
  const double error = relative_error(got, curvature(z));
  scope.note("relative error", error);
  if (!s.said().exact) scope.skip("it does not claim to be exact; measured: relative error " + text(error));
  scope.expect(error <= 1e-6, "second derivatives are wrong by " + text(error) + ", and were not refused");
}

void deterministic(GradientSubject& s, Scope& scope) {
  const AffineMap f = s.affine(0.8, s.seed() + 35);
  const Tensor v = testing::randn({3, 6}, s.seed() + 36);
  torch::manual_seed(1);
  const Tensor first = gradients(*s.layer(), f.map(), f.zeros().detach(), v, {f.b})[0];
  torch::manual_seed(2);
  scope.expect(gradients(*s.layer(), f.map(), f.zeros().detach(), v, {f.b})[0].equal(first), "the same problem gives two gradients");
}

}  // namespace

AffineMap GradientSubject::affine(double norm, std::uint64_t seed) const {
  AffineMap f = testing::contraction(3, 6, norm, seed);
  if (said().symmetric) f.a = testing::symmetric(6, -norm, norm, seed);
  f.b.requires_grad_();
  return f;
}

const std::vector<Check<GradientSubject>>& gradient_checks() {
  static const std::vector<Check<GradientSubject>> all{
      {"dense_truth", "claimed: (I − J)⁻ᵀ v of an affine map", dense_truth},
      {"weak_coupling", "near the truth where J is small", weak_coupling},
      {"no_coupling", "exact where J is zero", no_coupling},
      {"unrolled", "claimed: the gradient of unrolled iteration, in every captured tensor", unrolled},
      {"differences", "claimed: the slopes of central differences", differences},
      {"report", "the residual reported is that of the adjoint used, also when the budget is short", report},
      {"again", "every backward pass of one graph gives the same gradient", again},
      {"several_calls", "one layer may be called any number of times before backward", several_calls},
      {"loss_scale", "the scale of the loss plays no role", loss_scale},
      {"zero_cotangent", "a sample that the loss does not see gets no gradient", zero_cotangent},
      {"alone", "a sample alone gets the gradient that it gets in a batch", alone},
      {"several_tensors", "states of several tensors, shapes and dtypes", several_tensors},
      {"low_precision", "states of bfloat16 and float16", low_precision},
      {"states", "sampled states are on the graph, the last is the equilibrium", states},
      {"no_gradient", "no graph where none is asked for, none to z0", no_gradient},
      {"no_leak", "nothing is held after the call", no_leak},
      {"second_derivative", "second derivatives are right or refused", second_derivative},
      {"deterministic", "the same problem gives the same bits", deterministic}};
  return all;
}

}  // namespace zstar::verify
