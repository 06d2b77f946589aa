#include "core/gradient/certificate.hpp"

#include <algorithm>
#include <cmath>

#include <torch/csrc/autograd/autograd.h>

#include "core/gradient/gmres.hpp"
#include "core/gradient/linearisation.hpp"
#include "core/gradient/spectrum.hpp"

namespace zstar::gradient {
namespace {

Tensor filled(const solve::Packing& packing, const State& values, const State& like) {
  State whole = values;
  for (std::size_t i = 0; i < whole.size(); ++i)
    whole[i] = whole[i].defined() ? whole[i].detach() : torch::zeros_like(like[i]);
  return packing.pack(whole);
}

/// v, the cotangents of all states that were handed out, [B, D]; undefined: none came.
Tensor cotangent_of(const Watched& call, const solve::Packing& packing) {
  Tensor sum;
  for (const State& c : call.cotangents)
    if (!c.empty()) {
      const Tensor v = filled(packing, c, call.at);
      sum = sum.defined() ? sum + v : v;
    }
  return sum;
}

std::vector<double> lengths(const Tensor& t) {
  const Tensor norm = t.to(torch::kFloat64).norm(2, {1}).cpu().contiguous();
  return {norm.data_ptr<double>(), norm.data_ptr<double>() + norm.numel()};
}

double together(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v * v;
  return std::sqrt(sum);
}

/// σ from what the map declares; nothing where it declares nothing that helps.
std::optional<double> declared_sigma(const Declared& declared) {
  double sigma = 0;
  if (declared.lipschitz) sigma = std::max(sigma, 1 - *declared.lipschitz);
  if (declared.monotone) sigma = std::max(sigma, *declared.monotone);
  return sigma > 0 ? std::optional(sigma) : std::nullopt;
}

/// Relative error from the absolute one: ‖u‖ ≥ ‖û‖ − error, and ‖u‖ ≥ ‖v‖ / ‖I − J‖.
double relative(double error, double found, double cotangent, double largest) {
  const double least = std::max(found - error, largest > 0 ? cotangent / largest : 0.0);
  return error == 0 ? 0 : least > 0 ? error / least : INFINITY;
}

}  // namespace

std::optional<GradientReport> certify(const Watched& call, std::int64_t lanczos_steps) {
  if (!call.complete) return std::nullopt;
  const Linearisation linear(call.map, call.at);
  const Tensor v = cotangent_of(call, linear.packing());
  if (!v.defined()) return std::nullopt;
  const torch::NoGradGuard no_grad;
  const Tensor u = filled(linear.packing(), call.adjoint, call.at);
  const bool apart = call.map.samples_independent() || v.size(0) == 1;
  const auto rows = [&](const Tensor& t) { return apart ? t : t.reshape({1, -1}); };
  const Tensor r = v + linear.vjp(u) - u;

  GradientReport report;
  report.products = 1;
  const auto batch = static_cast<std::size_t>(rows(v).size(0));
  double largest = 0;
  InverseNorm inside;  // of an estimate
  if (const auto sigma = declared_sigma(call.map.declared())) {
    report.kind = CertificateKind::bound;
    report.sigma.assign(batch, *sigma);
    if (call.map.declared().lipschitz) largest = 1 + *call.map.declared().lipschitz;
  } else {
    inside = inverse_norm(linear, r, lanczos_steps, apart);
    report.sigma = inside.values.smallest;
    report.products += inside.values.products;
    largest = *std::max_element(inside.values.largest.begin(), inside.values.largest.end());
  }
  const std::vector<double> lacking = lengths(rows(r)), sizes = lengths(rows(v));
  const Linearisation nearer(call.map, linear.packing().unpack(linear.packing().pack(linear.image()).detach()));
  const std::vector<double> moved = lengths(rows(v + nearer.vjp(u) - u - r));
  ++report.products;
  std::vector<double> forward;
  for (std::size_t b = 0; b < batch; ++b) {
    const bool bound = report.kind == CertificateKind::bound;
    report.error.push_back(lacking[b] == 0 ? 0 : bound ? lacking[b] / report.sigma[b] : inside.found[b] + (inside.rest[b] == 0 ? 0 : 2 * inside.rest[b] / report.sigma[b]));
    report.residual.push_back(sizes[b] > 0 ? lacking[b] / sizes[b] : 0);
    forward.push_back(moved[b] == 0 ? 0 : moved[b] / (report.sigma[b] * report.sigma[b]));
  }
  const double found = together(lengths(rows(u))), cotangent = together(sizes);
  report.relative_error = relative(together(report.error), found, cotangent, largest);
  report.forward_error = relative(together(forward), found, cotangent, largest);
  report.cosine = report.relative_error < 1 ? std::sqrt(1 - report.relative_error * report.relative_error) : -1;
  return report;
}

Report refine(const Watched& call, const GradientReport& found, double relative_error, std::int64_t products) {
  const Linearisation linear(call.map, call.at);
  AdjointProblem problem;
  problem.cotangent = cotangent_of(call, linear.packing());
  problem.vjp = [&linear](const Tensor& u) { return linear.vjp(u); };
  problem.samples_independent = call.map.samples_independent();
  const Tensor u = filled(linear.packing(), call.adjoint, call.at);
  const double sigma = *std::min_element(found.sigma.begin(), found.sigma.end());
  const Tensor all = torch::ones({u.size(0), 1}, u.options().dtype(torch::kBool));
  // ‖û − u‖ ≤ τ ‖v‖ / σ and ‖u‖ ≥ ‖v‖ / ‖I − J‖, about ‖v‖ / 2 for what contracts
  auto solution = gmres(solve::local_products(), problem, torch::where(u.isfinite(), u, torch::zeros_like(u)), all,
                        {std::min(0.5, 0.4 * relative_error * sigma), products});
  const torch::AutoGradMode grad(true);
  const State y = call.map(call.at), lacking = linear.packing().unpack(solution.u - u);
  std::vector<Tensor> outputs, seeds;
  for (std::size_t i = 0; i < y.size(); ++i)
    if (y[i].requires_grad()) outputs.push_back(y[i]), seeds.push_back(lacking[i]);
  if (!outputs.empty()) torch::autograd::backward(outputs, seeds);
  return std::move(solution.report);
}

}  // namespace zstar::gradient
