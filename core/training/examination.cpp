#include "core/training/examination.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include "core/gradient/certificate.hpp"
#include "core/gradient/spectrum.hpp"
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

bool good(Reason r) { return r == Reason::converged || r == Reason::floor; }

/// What a solve without a tolerance, which spends its budget on purpose, is held to.
constexpr double loose = 1e-2;

std::int64_t failing(const Report& report) {
  std::int64_t count = 0;
  for (std::size_t b = 0; b < report.reasons.size(); ++b) count += !good(report.reasons[b]) && !(report.tolerance == 0 && report.relative[b] <= loose);
  return count;
}

/// More than one in twenty.
bool many(std::int64_t some, std::int64_t all) { return 20 * some > all; }

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

Finding sick(const char* check, std::string number, const char* disease, std::string sentence, std::string remedy) {
  return {check, Verdict::sick, std::move(number), disease, std::move(sentence), std::move(remedy)};
}

}  // namespace

Examination::Examination(Session& session, Prober& prober) : session_(session), prober_(prober), pass_(prober.run()), packing_(call().equilibrium.fixed_point) {
  const torch::NoGradGuard no_grad;
  z_ = packing_.pack(call().equilibrium.fixed_point);
}

Tensor Examination::image(const Tensor& z) const {
  const torch::NoGradGuard no_grad;
  return packing_.pack(map()(packing_.unpack(z)));
}

solve::Outcome Examination::longer(const Tensor& z, std::int64_t budget) const {
  solve::Options patient = options();
  patient.max_evaluations = budget;
  if (patient.tolerance == 0) patient.tolerance = loose;
  patient.stall_window = 0;
  patient.divergence = 1e12;
  const gradient::SolverChoice& forward = session_.layer().parts().forward;
  return solve::solve(*forward.make(), forward.name, map(), packing_.unpack(z), patient);
}

Finding Examination::deterministic() {
  const Tensor first = image(z_);
  const double difference = apart(image(z_), first);
  const std::string number = fmt::format("f twice at one state: {:.1e} apart", difference);
  if (!(difference > 1e3 * packing_.epsilon())) return {"deterministic", Verdict::good, number};
  return sick("deterministic", number, "random", "f gives two values for one state, so it has no fixed point that a solver could find",
              "draw masks and noise once before the solve (zstar/nn/dropout.hpp does), not inside f");
}

Finding Examination::finite() {
  std::int64_t bad = 0, all = 0;
  for (const Solved& s : pass_.solves) {
    const std::vector<Reason>& reasons = s.equilibrium.forward.back().reasons;
    bad += std::count(reasons.begin(), reasons.end(), Reason::nonfinite), all += static_cast<std::int64_t>(reasons.size());
  }
  const std::string number = fmt::format("{} of {} samples met an infinity or a NaN", bad, all);
  if (bad == 0) return {"finite", Verdict::good, number};
  return sick("finite", number, "nonfinite", "f(z) is not finite at states that the solver tries", "look for logarithms, roots and divisions in f; bound the state (tanh, a norm), or damp the solver");
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

Finding Examination::identity() {
  const Tensor moved = z_ + size_of_entry(z_) * noise_like(z_, 8);
  const double change = apart(image(moved), moved);
  const std::string number = fmt::format("f moves a random state by {:.1e} of its size", change);
  if (!(change <= 1e-6)) return {"identity", Verdict::good, number};
  return sick("identity", number, "identity", "f leaves every state where it is: each start is its own solution, and the layer does nothing",
              "check that the injection and the weights enter f; a residual branch of weight one with an empty body is the identity");
}

Finding Examination::precision() {
  if (options().tolerance == 0) return {"precision", Verdict::good, fmt::format("no tolerance: every sample spends the budget, and is held to {:.0e} here", loose)};
  const double reach = 4 * packing_.epsilon();
  const double size = options().stop == "absolute" ? image(z_).to(torch::kFloat64).norm(2, {1}).min().item<double>() : 1.0;
  const std::string number = fmt::format("tolerance {:.0e}, the dtype reaches about {:.1e}", options().tolerance, reach * size);
  if (options().tolerance >= reach * size) return {"precision", Verdict::good, number};
  return sick("precision", number, "precision", "the tolerance is below what the dtype can reach, so no sample can converge",
              fmt::format("solver.tolerance = {:.0e} or more, or experiment.dtype = \"float64\"", 2 * reach * size));
}

Finding Examination::solved() {
  std::int64_t bad = 0, all = 0;
  double residual = 0, evaluations = 0;
  for (const Solved& s : pass_.solves) {
    const Report& report = s.equilibrium.forward.back();
    bad += failing(report), all += report.batch();
    residual = std::max(residual, greatest(report.relative));
    for (const std::int64_t n : report.evaluations) evaluations += static_cast<double>(n);
  }
  const std::string number = fmt::format("{} of {} samples solved, greatest residual {:.1e}, {:.1f} evaluations of {}", all - bad, all, residual,
                                         evaluations / static_cast<double>(std::max<std::int64_t>(1, all)), options().max_evaluations);
  if (bad == 0) return {"solved", Verdict::good, number};
  if (!many(bad, all)) return {"solved", Verdict::note, number};
  return unsolved(bad, number);
}

/// Why samples are not solved: by going on for long, and by watching plain iteration.
Finding Examination::unsolved(std::int64_t bad, const std::string& number) {
  const torch::NoGradGuard no_grad;
  const std::int64_t budget = std::clamp<std::int64_t>(50 * options().max_evaluations, 1000, 5000);
  const Report more = longer(z_, budget).report;
  if (!many(failing(more), more.batch())) {
    const std::int64_t needed = options().max_evaluations + *std::max_element(more.evaluations.begin(), more.evaluations.end());
    return sick("solved", number, "budget", fmt::format("the samples would converge, with up to {} evaluations", needed),
                "raise solver.max_evaluations, take an accelerating solver (anderson, broyden), or make f contract more (a norm, the jacobian regularizer)");
  }
  constexpr int steps = 200;
  Tensor z = z_;
  double first = 0, last = 0;
  for (int k = 0; k < steps && (k == 0 || std::isfinite(last)); ++k) {
    const Tensor next = image(z);
    last = (next - z).to(torch::kFloat64).norm().item<double>();
    if (k == 0) first = last;
    z = next;
  }
  const double moved = (z - z_).to(torch::kFloat64).norm().item<double>();
  if (!std::isfinite(last) || last > 10 * first)
    return sick("solved", number, "diverging", fmt::format("plain iteration runs away from the best state ({:.1e} to {:.1e}): f is expansive there, and this solver does not cope", first, last),
                "take a solver that needs no contraction (anderson, broyden, newton_krylov, a chain), or a norm on the weights, or a smaller initial scale");
  if (moved > 0.5 * steps * std::min(first, last))
    return sick("solved", number, "drifting", fmt::format("each step goes on in the same direction ({:.1e} in {} steps): there is no fixed point near", moved, steps),
                "let f forget: a factor below one on z, a norm, or a bounded non-linearity");
  return sick("solved", number, "marginal", fmt::format("residuals neither fall nor grow under plain iteration ({:.1e} to {:.1e}): a cycle, or an eigenvalue of J of size one", first, last),
              "damp the solver (beta below 1), take anderson or broyden, or make f contract (a norm, the jacobian regularizer)");
}

Finding Examination::start() {
  const Report& report = call().equilibrium.forward.back();
  const auto at_once = std::count(report.first_converged.begin(), report.first_converged.end(), 1);
  const std::string number = fmt::format("{} of {} samples solved by the first iterate", at_once, report.batch());
  if (at_once < report.batch() || report.batch() == 0) return {"start", Verdict::good, number};
  return sick("start", number, "lazy", "the first iterate is the solution already: the layer adds nothing to what made it",
              "begin at zeros ([start] from = \"zeros\"), and check whether the tolerance is wide enough to accept anything");
}

Finding Examination::conditioning() {
  const bool alone = map().samples_independent() || packing_.batch() == 1;
  try {
    const gradient::Linearisation linear(map(), packing_.unpack(z_));
    const auto values = gradient::singular_values(linear, noise_like(z_, 9), 30, alone);
    const double smallest = *std::min_element(values.smallest.begin(), values.smallest.end()), largest = *std::max_element(values.largest.begin(), values.largest.end());
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

Finding Examination::unique() {
  std::int64_t compared = 0, elsewhere = 0;
  double distance = 0;
  for (const std::uint64_t seed : {11, 12}) {
    const auto out = longer(2 * size_of_entry(z_) * noise_like(z_, seed), 5 * options().max_evaluations);
    const Tensor other = packing_.pack(out.z);
    for (std::int64_t b = 0; b < packing_.batch(); ++b) {
      if (!good(out.report.reasons[static_cast<std::size_t>(b)])) continue;
      const double d = apart(other[b], z_[b]);
      ++compared, elsewhere += d > 0.05, distance = std::max(distance, d);
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
  const double limit = std::max(1e-5, 20 * options().tolerance);
  if (moved > limit || spread > limit) return {"input", Verdict::good, number};
  return sick("input", number, "input_ignored", "the equilibrium is the same whatever the input is", "check that the injection of x enters f itself, not the start alone, and is not scaled away");
}

Finding Examination::reached() {
  double adjoint = 0;
  for (const auto& w : pass_.watched)
    if (w->complete)
      for (const Tensor& t : w->adjoint)
        if (t.defined()) adjoint = std::max(adjoint, t.to(torch::kFloat64).abs().max().item<double>());
  const double gradient = pass_.gradient.numel() > 0 ? pass_.gradient.norm().item<double>() : 0;
  const std::string number = fmt::format("largest adjoint {:.1e}, gradient of all parameters {:.1e}", adjoint, gradient);
  if (adjoint > 0 && gradient > 0) return {"reached", Verdict::good, number};
  return sick("reached", number, "unreached", adjoint > 0 ? "no parameter has a gradient" : "no gradient of the loss passes through the equilibrium: f is not trained",
              "look for detach() behind the layer, a loss that does not use the state, or parameters without requires_grad");
}

Finding Examination::gradient() {
  std::optional<gradient::GradientReport> worst_report;
  try {
    worst_report = worst_certificate(pass_, session_.layer().options().certificate_products);
  } catch (const std::exception& error) {
    return {"gradient", Verdict::skipped, error.what()};
  }
  if (!worst_report) return {"gradient", Verdict::skipped, "no cotangent came"};
  const std::string number = fmt::format("wrong by {:.1e} of its size at most ({}), and {:.1e} from the state not being solved exactly", worst_report->relative_error,
                                         gradient::name_of(worst_report->kind), worst_report->forward_error);
  if (worst_report->relative_error <= session_.layer().options().bad_gradient) return {"gradient", Verdict::good, number};
  return sick("gradient", number, "wrong_gradient", fmt::format("the gradient method '{}' is too coarse for this Jacobian", session_.layer().parts().gradient_name),
              "[gradient] name = \"implicit\" with solver.name = \"gmres\", or more steps; 'zstar gradcheck' compares all methods on this model");
}

Finding Examination::evaluation() {
  std::int64_t bad = 0, all = 0, bad_training = 0, all_training = 0;
  double residual = 0;
  for (const Solved& s : prober_.run(Pass::evaluation).solves) {
    const Report& report = s.equilibrium.forward.back();
    bad += failing(report), all += report.batch(), residual = std::max(residual, greatest(report.relative));
  }
  for (const Solved& s : pass_.solves) bad_training += failing(s.equilibrium.forward.back()), all_training += s.equilibrium.forward.back().batch();
  const std::string number = fmt::format("{} of {} samples solved in evaluation, greatest residual {:.1e}", all - bad, all, residual);
  if (!many(bad, all) || many(bad_training, all_training)) return {"evaluation", Verdict::good, number};
  return sick("evaluation", number, "evaluation_budget", "the model is solved in training and not in evaluation: what is measured is not what was trained",
              "raise solver.eval_max_evaluations or eval_factor; look at what differs in evaluation (dropout, running statistics)");
}

ReasonCounts Examination::reasons() const {
  ReasonCounts counts{};
  for (const Solved& s : pass_.solves)
    for (const Reason r : s.equilibrium.forward.back().reasons) ++counts[static_cast<std::size_t>(r)];
  return counts;
}

std::vector<ResidualRow> Examination::residuals() const {
  std::map<double, ResidualRow> rows;
  for (const Solved& s : pass_.solves)
    for (const double r : s.equilibrium.forward.back().relative) {
      const bool known = std::isfinite(r);
      const double exponent = known && r > 0 ? std::floor(std::log10(r)) : 0, from = !known ? INFINITY : r == 0 ? 0 : std::pow(10, exponent);
      rows.try_emplace(from, ResidualRow{from, known && r > 0 ? std::pow(10, exponent + 1) : from}).first->second.samples += 1;
    }
  std::vector<ResidualRow> list;
  for (const auto& [from, row] : rows) list.push_back(row);
  return list;
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
    for (const Solved& s : run.solves) row.residual = std::max(row.residual, greatest(s.equilibrium.forward.back().relative));
    row.loss = run.loss.item<double>();
    rows.push_back(row);
  }
  session_.layer().replace(own);
  return rows;
}

}  // namespace zstar::training
