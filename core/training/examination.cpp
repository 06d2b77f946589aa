/// \file The questions of an examination about f, its equilibrium and its gradient.
#include "core/training/examination.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include "core/gradient/certificate.hpp"
#include "core/gradient/spectrum.hpp"
#include "core/training/examining.hpp"
#include "zstar/adjoint_report.hpp"
#include "zstar/claims.hpp"
#include "zstar/guard.hpp"

namespace zstar::training {
namespace {

/// ‖a − b‖ / ‖b‖ of all samples together.
double apart(const Tensor& a, const Tensor& b) {
  const double size = b.to(torch::kFloat64).norm().item<double>();
  return (a.to(torch::kFloat64) - b.to(torch::kFloat64)).norm().item<double>() / std::max(size, 1e-300);
}

Tensor noise_like(const Tensor& t, std::uint64_t seed) {
  return torch::randn(t.sizes(), at::detail::createCPUGenerator(seed), torch::TensorOptions(t.scalar_type())).to(t.device());
}

/// Root mean square of the entries; 1 where all are zero.
double size_of_entry(const Tensor& z) {
  const double rms = z.to(torch::kFloat64).square().mean().sqrt().item<double>();
  return std::isfinite(rms) && rms > 0 ? rms : 1.0;
}

/// 0 where no tensor came; NaN where an entry is.
double largest_entry(const State& state) {
  double most = 0;
  for (const Tensor& t : state)
    if (t.defined() && t.numel() > 0) most = greatest({most, t.to(torch::kFloat64).abs().max().item<double>()});
  return most;
}

/// The certificate of the call that is worst off; nothing: no cotangent came. \throws std::exception  where a map has no products Jv
std::optional<gradient::GradientReport> worst_certificate(const ProbeRun& pass, std::int64_t products) {
  std::optional<gradient::GradientReport> worst;
  for (const auto& w : pass.watched)
    if (const auto r = gradient::certify(*w, products); r && (!worst || r->relative_error > worst->relative_error)) worst = r;
  return worst;
}

/// Installed methods but one: those that claim to be exact, then those that autograd makes from a solved state, then the others.
std::vector<std::string> others_than(const std::string& own, plugins::Catalogue& catalogue, Host& host) {
  std::vector<std::pair<int, std::string>> ranked;
  for (const std::string& name : catalogue.names(Kind::gradient)) {
    if (name == own) continue;
    const auto method = catalogue.create<GradientMethod>(Kind::gradient, name, {}, host);
    const auto* claims = query<GradientClaims>(*method);
    ranked.emplace_back(claims && claims->exact && !claims->symmetric ? 0 : query<ByAutograd>(*method) && !method->query(FromStart::id) ? 1 : 2, name);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::string> names;
  for (const auto& [rank, name] : ranked) names.push_back(name);
  return names;
}

}  // namespace

Examination::Examination(Session& session, Prober& prober, std::vector<std::string> solvers)
    : session_(session), prober_(prober), in_use_(std::move(solvers)), pass_(prober.run()), packing_(call().equilibrium.fixed_point) {
  const torch::NoGradGuard no_grad;
  z_ = packing_.pack(call().equilibrium.fixed_point);
}

Tensor Examination::image(const Tensor& z) const {
  const torch::NoGradGuard no_grad;
  return packing_.pack(map()(packing_.unpack(z)));
}

Finding Examination::deterministic() {
  const Tensor first = image(z_);
  const double difference = apart(image(z_), first);
  const std::string number = fmt::format("f twice at one state: {:.1e} apart", difference);
  if (!(difference > 1e3 * packing_.epsilon())) return {"deterministic", Verdict::good, number};
  return sick("deterministic", number, "random", "f gives two values for one state, so it has no fixed point that a solver could find",
              "draw masks and noise once before the solve (zstar/nn/dropout.hpp does), not inside f");
}

Finding Examination::independent() {
  if (!map().samples_independent()) return {"independent", Verdict::good, "not claimed: the batch is solved as one problem"};
  if (packing_.batch() < 2) return {"independent", Verdict::skipped, "one sample alone"};
  const torch::NoGradGuard no_grad;
  const Tensor rows = torch::tensor({packing_.batch() - 1, std::int64_t{0}}, torch::kInt64).to(z_.device());
  const solve::Packing two = packing_.with_batch(2);
  const Tensor moved = z_ + 0.1 * size_of_entry(z_) * noise_like(z_, 7);
  const double difference = apart(two.pack(map().at_rows(rows)(two.unpack(moved.index_select(0, rows)))), image(moved).index_select(0, rows));
  const std::string number = fmt::format("two samples alone and in the batch: {:.1e} apart", difference);
  if (difference <= std::sqrt(packing_.epsilon()) * 0.1) return {"independent", Verdict::good, number};
  return sick("independent", number, "batch_mates", "the map says that its samples are independent, and f of a sample depends on the others",
              "construct the map with samples_independent = false, name the batch axis of every captured tensor, or take batch statistics out of f");
}

/// Asked at states of the solution's size and of size one: a solver may have followed a drift so far that f moves nothing there any more.
Finding Examination::identity() {
  const Tensor noise = noise_like(z_, 8), moved = z_ + size_of_entry(z_) * noise;
  const double change = greatest({apart(image(moved), moved), apart(image(noise), noise)});
  const std::string number = fmt::format("f moves a random state by {:.1e} of its size", change);
  if (!(change <= 1e-6)) return {"identity", Verdict::good, number};
  return sick("identity", number, "identity", "f leaves every state where it is: each start is its own solution, and the layer does nothing",
              "check that the injection and the weights enter f; a residual branch of weight one with an empty body is the identity");
}

Finding Examination::conditioning() {
  const bool alone = map().samples_independent() || packing_.batch() == 1;
  try {
    const gradient::Linearisation linear(map(), packing_.unpack(z_));
    const auto values = gradient::singular_values(linear, noise_like(z_, 9), 30, alone);
    const double smallest = *std::min_element(values.smallest.begin(), values.smallest.end()), largest = *std::max_element(values.largest.begin(), values.largest.end());
    smallest_ = smallest;
    std::string number = fmt::format("singular values of I - J from {:.1e} to {:.1e}", smallest, largest);
    number += fmt::format(", numerical range of J up to {:.2f}", greatest(gradient::numerical_abscissa(linear, noise_like(z_, 14), 20, alone)));
    if (alone) number += fmt::format(", spectral radius of J {:.3f}", greatest(gradient::spectral_radius(map(), packing_.unpack(z_), noise_like(z_, 10)).radius));
    if (smallest > 1e-3 * std::max(1.0, largest)) return {"conditioning", Verdict::good, number};
    return sick("conditioning", number, "fold", "I - J is nearly singular at the solution: gradients are huge or wrong, and the solution may vanish after a step",
                "regularise the Jacobian ([[regularizers]] name = \"jacobian\"), take a norm with a target below 1, or a smaller learning rate");
  } catch (const std::exception& error) {
    return {"conditioning", Verdict::skipped, error.what()};
  }
}

/// Two solves of one equilibrium end as far apart as their residuals over σ_min let them, to first order; twice that is allowed, and never less than 5 %.
Finding Examination::unique() {
  const std::vector<double> own = whole_solve(call().equilibrium).residual;
  std::int64_t compared = 0, elsewhere = 0;
  double distance = 0;
  for (const std::uint64_t seed : {11, 12}) {
    const auto out = longer(2 * size_of_entry(z_) * noise_like(z_, seed), 5 * options().max_evaluations);
    const Tensor other = packing_.pack(out.z);
    for (std::int64_t b = 0; b < packing_.batch(); ++b) {
      const auto i = static_cast<std::size_t>(b);
      if (!good(out.report.reasons[i])) continue;
      const double d = apart(other[b], z_[b]), blur = (own[i] + out.report.residual[i]) / (smallest_ * z_[b].to(torch::kFloat64).norm().item<double>());
      ++compared, elsewhere += d > std::max(0.05, 2 * blur), distance = std::max(distance, d);
    }
  }
  const std::string number = fmt::format("{} of {} solves from random starts end elsewhere, at most {:.1e} away", elsewhere, compared, distance);
  if (compared == 0) return {"unique", Verdict::note, "no random start was solved within five times the budget"};
  if (!many(elsewhere, compared)) return {"unique", elsewhere == 0 ? Verdict::good : Verdict::note, number};
  return sick("unique", number, "several_equilibria", "what is found depends on where the solve begins: the output is not a function of the input alone",
              "a norm on the weights below 1, the path_independence regularizer, or a model that is monotone (mondeq)");
}

Finding Examination::input() {
  const torch::NoGradGuard no_grad;
  Batch other = prober_.batch();
  bool any = false;
  for (auto& [name, t] : other.tensors)
    if (t.is_floating_point() && t.layout() == torch::kStrided && t.numel() > 1) {
      t = t + 0.5 * t.std().clamp_min(1e-3) * noise_like(t, 13);
      any = true;
    }
  const double spread = packing_.batch() > 1 ? apart(z_, z_.mean(0, /*keepdim=*/true).expand_as(z_)) : 0;
  if (!any && packing_.batch() < 2) return {"input", Verdict::skipped, "one sample, and no numbers in it to move"};
  double moved = 0;
  if (any)
    for (const Solved& s : prober_.run(other, Pass::forward).solves) moved = std::max(moved, apart(packing_.pack(s.equilibrium.fixed_point), z_));
  const std::string number = fmt::format("solutions move by {:.1e} with a disturbed input, and differ by {:.1e} from one another", moved, spread);
  const double limit = std::clamp(20 * options().tolerance, 1e-5, 0.05);
  if (moved > limit || spread > limit) return {"input", Verdict::good, number};
  return sick("input", number, "input_ignored", "the equilibrium is the same whatever the input is", "check that the injection of x enters f itself, not the start alone, and is not scaled away");
}

double Examination::largest_adjoint() const {
  double most = 0;
  for (const auto& w : pass_.watched)
    if (w->complete) most = greatest({most, largest_entry(w->adjoint)});
  return most;
}

Finding Examination::reached() {
  const double adjoint = largest_adjoint();
  double cotangent = 0;
  for (const auto& w : pass_.watched)
    for (const State& v : w->cotangents)
      if (w->complete) cotangent = greatest({cotangent, largest_entry(v)});
  const double gradient = pass_.gradient.numel() > 0 ? pass_.gradient.norm().item<double>() : 0;
  const std::string number = fmt::format("largest cotangent {:.1e}, adjoint {:.1e}, gradient of all parameters {:.1e}", cotangent, adjoint, gradient);
  const bool lost = adjoint == 0;  // by the method: gradient() names it
  if (cotangent != 0 && (gradient != 0 || lost)) return {"reached", Verdict::good, number};
  return sick("reached", number, "unreached", cotangent != 0 ? "no parameter has a gradient" : "no gradient of the loss passes through the equilibrium: f is not trained",
              "look for detach() behind the layer, a loss that does not use the state, or parameters without requires_grad");
}

Finding Examination::gradient() {
  std::optional<gradient::GradientReport> worst_report;
  try {
    worst_report = worst_certificate(pass_, session_.layer().options().certificate_products);
  } catch (const std::exception& error) {
    const auto lost = largest_adjoint() == 0 ? adjoint_failed(error.what()) : std::nullopt;
    return lost.value_or(Finding{"gradient", Verdict::skipped, error.what()});
  }
  if (!worst_report) return {"gradient", Verdict::skipped, "no cotangent came"};
  const bool bound = worst_report->kind == gradient::CertificateKind::bound;
  const std::string number = fmt::format("wrong by {} {:.1e} of its size ({}), and by about {:.1e} from the state not being solved exactly", bound ? "at most" : "about", worst_report->relative_error,
                                         gradient::name_of(worst_report->kind), worst_report->forward_error);
  if (worst_report->relative_error <= session_.layer().options().bad_gradient) return {"gradient", Verdict::good, number};
  return adjoint_failed(number).value_or(sick("gradient", number, "wrong_gradient", fmt::format("the gradient method '{}' is too coarse for this Jacobian", session_.layer().parts().gradient_name),
                                              "[gradient] name = \"implicit\" with solver.name = \"gmres\", or more steps; 'zstar gradcheck' compares all methods on this model"));
}

/// What the solver of the adjoint equation did, where it failed.
std::optional<Finding> Examination::adjoint_failed(const std::string& number) const {
  const std::string& solver = session_.layer().parts().adjoint.name;
  std::int64_t bad = 0, all = 0;
  std::vector<Reason> reasons;
  for (const Solved& s : pass_.solves)
    for (const Report& r : *s.equilibrium.backward) {
      if (r.method != solver) continue;  // methods with a fixed number of products end by it on purpose
      bad += failing(r), all += r.batch();
      reasons.insert(reasons.end(), r.reasons.begin(), r.reasons.end());
    }
  if (bad == 0) return std::nullopt;
  const solve::ReasonText& text = solve::text_of(worst(reasons));
  const std::string other = solver == "gmres" ? "broyden" : "gmres", more = worst(reasons) == Reason::budget ? "raise gradient.solver.max_evaluations, or " : "";
  return sick("gradient", number, "wrong_gradient", fmt::format("the adjoint solve by '{}' fails for {} of {} samples ({}: {})", solver, bad, all, text.name, text.sentence),
              fmt::format("{}gradient.solver.name = \"{}\"; 'zstar gradcheck' compares all solvers of the adjoint equation on this model", more, other));
}

std::vector<MethodRow> Examination::others(plugins::Catalogue& catalogue) {
  const gradient::LayerParts own = session_.layer().parts();
  std::vector<MethodRow> rows;
  for (const std::string& name : others_than(own.gradient_name, catalogue, session_.host())) {
    if (rows.size() == 3) break;
    gradient::LayerParts parts = own;
    parts.options.states = 1, parts.options.sample_at.clear(), parts.options.failed_samples = "keep";
    parts.gradient_name = name;
    try {
      parts.gradient = catalogue.create<GradientMethod>(Kind::gradient, name, {}, session_.host());
      session_.layer().replace(std::move(parts));
      const auto found = worst_certificate(prober_.run(), own.options.certificate_products);
      if (found) rows.push_back({name, found->relative_error, found->kind});
    } catch (const std::exception&) {  // not for this model or solver: 'zstar gradcheck' says why
    }
  }
  session_.layer().replace(own);
  return rows;
}

std::vector<BudgetRow> Examination::budgets() {
  const gradient::LayerParts own = session_.layer().parts();
  std::vector<BudgetRow> rows;
  for (const double factor : {0.25, 0.5, 1.0, 2.0, 4.0}) {
    gradient::LayerParts parts = own;
    parts.options.states = 1, parts.options.sample_at.clear();
    parts.forward.options.max_evaluations = std::max<std::int64_t>(1, std::llround(factor * static_cast<double>(own.forward.options.max_evaluations)));
    BudgetRow row{parts.forward.options.max_evaluations};
    session_.layer().replace(std::move(parts));
    const ProbeRun run = prober_.run(Pass::forward);
    for (const Solved& s : run.solves) row.residual = greatest({row.residual, greatest(s.equilibrium.forward.back().relative)});
    row.loss = run.loss.item<double>();
    rows.push_back(row);
  }
  session_.layer().replace(own);
  return rows;
}

}  // namespace zstar::training
