#include "core/gradient/layer.hpp"

#include <exception>
#include <utility>

#include "core/gradient/call.hpp"
#include "core/gradient/nodes.hpp"
#include "core/gradient/plan.hpp"
#include "core/solve/packing.hpp"
#include "core/solve/plain.hpp"
#include "zstar/abi/linear.hpp"
#include "zstar/adjoint_report.hpp"
#include "zstar/guard.hpp"

namespace zstar::gradient {

struct Layer::Impl {
  explicit Impl(LayerParts p) : parts(std::move(p)), starts(std::make_shared<Starts>(parts.start)), ladder(parts.precision) {}
  LayerParts parts;
  std::shared_ptr<Starts> starts;
  Ladder ladder;
  std::vector<Solved>* sink = nullptr;
  std::vector<std::shared_ptr<Watched>>* watched = nullptr;

  std::shared_ptr<Watched> watch() const {
    if (!watched) return nullptr;
    watched->push_back(std::make_shared<Watched>());
    return watched->back();
  }
};

namespace {

/// One call of the layer: its map, start and budgets.
struct Problem {
  const FixedPointMap& f;
  State z0;
  solve::Options options;
  std::vector<std::int64_t> marks;
};

void solve_indexing(Call& call, const Problem& p, const std::shared_ptr<Watched>& watched, Equilibrium& result) {
  solve::Outcome out = call.forward(p.f, p.z0, p.options, p.marks.back(), p.marks);
  for (std::size_t k = 0; k < p.marks.size(); ++k)
    call.attach(p.f, out.samples[k], k, p.marks.size(), k + 1 == p.marks.size() ? watched : nullptr);
  result.fixed_point = std::move(out.z);
}

void solve_sliced(Call& call, const Problem& p, const std::shared_ptr<Watched>& watched, Equilibrium& result) {
  State z = p.z0;
  std::int64_t from = 0;
  for (std::size_t k = 0; k < p.marks.size(); ++k) {
    solve::Outcome out = call.forward(p.f, z, p.options, p.marks[k] - from, {});
    call.attach(p.f, out.z, k, p.marks.size(), k + 1 == p.marks.size() ? watched : nullptr);
    result.fixed_point = out.z;
    z = detached(result.states.back());
    from = p.marks[k];
  }
}

/// The method iterates from z0 by itself; one more evaluation says how far it came.
void solve_from_start(Call& call, const Problem& p, const LayerParts& parts, const std::shared_ptr<Watched>& watched, Equilibrium& result) {
  const auto tally = call.attach(p.f, p.z0, 0, 1, watched);
  result.fixed_point = detached(result.states.back());
  if (watched) watched->at = result.fixed_point;
  solve::Options once = p.options;
  once.max_evaluations = 1;
  solve::Plain plain;
  Report report = solve::solve(plain, parts.gradient_name, p.f, result.fixed_point, once).report;
  for (std::size_t b = 0; b < report.evaluations.size(); ++b) {
    report.evaluations[b] += result.gradient_evaluations;
    report.best[b] = report.evaluations[b];
    if (report.first_converged[b] > 0) report.first_converged[b] = report.evaluations[b];
  }
  const auto* autograd = zstar::query<ByAutograd>(*parts.gradient);
  const bool whole = autograd && autograd->whole;
  if (tally && whole) tally->spent(result.gradient_evaluations);  // each is differentiated, on the graph or made again
  if (tally) tally->ended(result.fixed_point, whole ? report.reasons : std::vector<Reason>());
  result.forward.push_back(std::move(report));
}

std::int64_t budget_of(const SolveOptions& request, const solve::Options& options) {
  if (request.max_evaluations) return *request.max_evaluations;
  if (request.training) return options.max_evaluations - (options.random_shortening > 0 ? torch::randint(options.random_shortening + 1, {1}).item<std::int64_t>() : 0);
  return options.eval_max_evaluations.value_or(static_cast<std::int64_t>(static_cast<double>(options.max_evaluations) * options.eval_factor));
}

/// \throws OptionError  where `failed_samples` asks for what a method cannot do, which solves no adjoint equation
void check_policy(GradientMethod& method, const Options& options) {
  if (options.failed_samples == "keep" || !method.query(ByAutograd::id)) return;
  throw OptionError("failed_samples", "failed_samples = \"" + options.failed_samples + "\" has nothing to act on: the method solves no adjoint equation that could fail, autograd "
                                      "differentiates its steps; use \"keep\", or a method that solves one (implicit, neumann)");
}

/// \param states  sampled, the last included
void check_states(GradientMethod* method, std::size_t states) {
  const auto* wanted = method ? zstar::query<ForStates>(*method) : nullptr;
  if (!wanted || wanted->count == static_cast<std::int64_t>(states)) return;
  throw OptionError(wanted->option, wanted->option + " holds " + std::to_string(wanted->count) + " values for " + std::to_string(states) +
                                        (states == 1 ? " state" : " sampled states") + "; expected one, or as many");
}

/// The parts, if they fit one another.
LayerParts checked(LayerParts p) {
  const auto& forward = p.forward.options;
  if (forward.random_shortening > 0 && forward.random_shortening >= forward.max_evaluations)
    throw OptionError("random_shortening", "random_shortening = " + std::to_string(forward.random_shortening) + " would leave nothing of max_evaluations = " +
                                               std::to_string(forward.max_evaluations) + "; expected fewer");
  const auto marks = sampling_marks(p.options, forward.max_evaluations);
  if (p.gradient->query(FromStart::id) && marks.size() > 1)
    throw OptionError("states", "the gradient method iterates from the start by itself, so no states of a solve can be sampled; ask the method for more than one");
  if (p.intermediate && p.intermediate->query(FromStart::id))
    throw OptionError("intermediate", "the gradient method of sampled states must take the states that a solve found, and this one iterates from the start by itself");
  for (const auto& method : {p.gradient, p.intermediate}) check_states(method.get(), marks.size());
  check_policy(*p.gradient, p.options);
  const auto adjoint = p.adjoint.make();
  const auto* linear = zstar::query<LinearSolver>(*adjoint);
  const bool intermediate = marks.size() > 1 && p.intermediate && p.intermediate->query(UsesEstimate::id);
  p.estimate_wanted = p.gradient->query(UsesEstimate::id) || intermediate || (linear && linear->wants_estimate());
  return p;
}

/// A state whose numbers each count as a sample is most often one sample that was given without its batch axis.
void warn_of_shape(const LayerParts& parts, const FixedPointMap& f, const State& z0) {
  if (!parts.warn || f.samples_independent()) return;
  const solve::Packing packing(z0);
  if (packing.width() != 1 || packing.batch() < 2) return;
  parts.warn("the state of an equilibrium has " + std::to_string(packing.batch()) + " samples of one number each, and the map does not say that they are independent: if they belong "
             "together, give the state the shape [1, " + std::to_string(packing.batch()) + "] or State::one_sample; else construct the map with samples_independent = true");
}

}  // namespace

Layer::Layer(LayerParts parts) : impl_(std::make_shared<Impl>(checked(std::move(parts)))) {}
Layer::~Layer() = default;

void* Layer::query(std::string_view id) {
  if (id == SettableLayer::id) return static_cast<SettableLayer*>(this);
  return id == SplittingLayer::id ? static_cast<SplittingLayer*>(this) : nullptr;
}

Equilibrium Layer::solve(const FixedPointMap& f, const State& z0, const SolveOptions& request) { return run(impl_->parts, f, nullptr, z0, request); }

Equilibrium Layer::solve(const FixedPointMap& f, const Splitting& halves, const State& z0, const SolveOptions& request) {
  return run(impl_->parts, f, &halves, z0, request);
}

Equilibrium Layer::solve(const FixedPointMap& f, const State& z0, const SolveOptions& request, const CallSettings& settings) {
  LayerParts parts = impl_->parts;
  for (const auto& [choice, changes] : {std::pair(&parts.forward, &settings.solver), std::pair(&parts.adjoint, &settings.adjoint)}) {
    if (changes->empty()) continue;
    if (!choice->with) throw OptionError(changes->front().name, "the solvers of this layer were given without their tables, so a call cannot have settings of its own");
    *choice = SolverChoice(choice->with(*changes));
  }
  return run(checked(std::move(parts)), f, nullptr, z0, request);
}

Equilibrium Layer::run(const LayerParts& parts, const FixedPointMap& f, const Splitting* halves, const State& z0, const SolveOptions& request) {
  warn_of_shape(parts, f, z0);
  Problem p{f, impl_->starts->begin(detached(z0), request.sample_ids, request.training), parts.forward.options, {}};
  if (request.tolerance) p.options.tolerance = *request.tolerance;
  const std::int64_t budget = budget_of(request, p.options);
  const bool joined = torch::GradMode::is_enabled() && request.gradient.value_or(request.training);

  Equilibrium result;
  Call call(parts, impl_->starts, impl_->ladder, halves, result);
  if (!joined) {
    result.fixed_point = call.forward(f, p.z0, p.options, budget, {}).z;
    result.states = {result.fixed_point};
  } else if (parts.gradient->query(FromStart::id)) {
    solve_from_start(call, p, parts, impl_->watch(), result);
  } else {
    p.marks = sampling_marks(parts.options, budget);
    (parts.options.form == "sliced" ? solve_sliced : solve_indexing)(call, p, impl_->watch(), result);
  }
  impl_->starts->end(result.fixed_point, result.forward.back());
  if (impl_->sink) impl_->sink->push_back({f, result});
  return result;
}

void Layer::record_into(std::vector<Solved>* sink) { impl_->sink = sink; }
void Layer::watch_into(std::vector<std::shared_ptr<Watched>>* sink) { impl_->watched = sink; }

std::vector<std::pair<std::string, double>> Layer::statistics() {
  auto numbers = impl_->starts->flush();
  for (auto& number : impl_->ladder.flush()) numbers.push_back(std::move(number));
  if (auto* method = zstar::query<Statistics>(*impl_->parts.gradient)) {
    const auto said = guarded([&] { return call_text(*impl_->parts.gradient, "gradient method", "statistics"); }, [&] { return method->statistics(); });
    for (const auto& [name, value] : said) numbers.emplace_back("gradient_" + name, value.to(torch::kFloat64).mean().item<double>());
  }
  return numbers;
}

const LayerParts& Layer::parts() const { return impl_->parts; }
void Layer::replace(LayerParts parts) { impl_->parts = checked(std::move(parts)); }
Starts& Layer::starts() { return *impl_->starts; }

}  // namespace zstar::gradient
