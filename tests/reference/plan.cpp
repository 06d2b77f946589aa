/// \file The reference's plan of a layer, which states it samples and hands out; a call by it.
#include <algorithm>
#include <limits>
#include <set>

#include "core/gradient/nodes.hpp"
#include "tests/reference/case.hpp"

namespace zstar::reference {
namespace {

using Numbers = std::vector<std::int64_t>;

bool sliced(const Case& c) { return c.get<std::string>("core", "sliced") == "sliced"; }

/// For a budget of the layer, or of one call.
Numbers marks_of(const Case& c, std::int64_t budget) {
  const auto n = c.get("n_states", std::int64_t{1});
  if (n > 1 && sliced(c)) return Numbers(static_cast<std::size_t>(n), budget / n);  // what does not divide is lost
  if (n > 1) {
    const std::int64_t count = std::max<std::int64_t>(1, std::min(budget, n));
    Numbers marks;
    for (std::int64_t k = 0; k < count; ++k) marks.push_back(budget - (count - 1 - k) * (budget / count));
    return marks;
  }
  Numbers marks = c.get("indexing", Numbers{});
  marks.push_back(budget);
  if (sliced(c))
    for (std::size_t k = marks.size() - 1; k > 0; --k) marks[k] -= marks[k - 1];
  return marks;
}

Functor functor_of(const Case& c, std::int64_t steps) {
  Functor functor{steps, {}};
  const auto gap = c.get("sup_gap", std::int64_t{-1});
  const auto listed = c.get("sup_loc", Numbers{});
  for (std::int64_t k = 1; k <= steps; ++k)
    if (gap > 0 ? k % gap == 0 : std::find(listed.begin(), listed.end(), k) != listed.end()) functor.handed_out.push_back(k);
  if (gap <= 0) functor.handed_out.push_back(steps);
  return functor;
}

std::vector<Functor> functors_of(const Case& c, std::size_t count) {
  Numbers steps{1};
  if (c.settings.contains("grad")) steps = c.settings["grad"].is_array() ? c.settings["grad"].get<Numbers>() : Numbers{c.settings["grad"].get<std::int64_t>()};
  if (steps.size() == 1) steps.resize(count, steps[0]);
  std::vector<Functor> functors;
  for (const std::int64_t k : steps) functors.push_back(functor_of(c, k));
  functors.back().implicit = c.get("ift", false) || c.get("hook_ift", false);
  return functors;
}

std::shared_ptr<GradientMethod> phantom(const Case& c, const Numbers& steps) {
  Settings settings{{"steps", steps}, {"beta", c.get("tau", 1.0)}};
  if (const auto gap = c.get("sup_gap", std::int64_t{-1}); gap > 0) {
    settings.push_back({"every", gap});
  } else {
    Numbers at = c.get("sup_loc", Numbers{});
    const std::int64_t least = *std::min_element(steps.begin(), steps.end());
    at.erase(std::remove_if(at.begin(), at.end(), [&](std::int64_t k) { return k < 1 || k > least; }), at.end());
    if (!at.empty()) settings.push_back({"at", at});
  }
  return test::make<GradientMethod>(Kind::gradient, "phantom", settings);
}

/// Whether the layer's own plan says the same. It hands out a state for every mark and the last step of each, once, and other
/// steps of all functors alike.
bool held_by_layer(const Plan& plan, bool slices) {
  std::int64_t before = 0, least = std::numeric_limits<std::int64_t>::max();
  for (const Functor& f : plan.functors) least = std::min(least, f.steps);
  for (const std::int64_t mark : plan.marks) {
    if (mark <= before) return false;
    if (!slices) before = mark;
  }
  return plan.functors.size() == plan.marks.size() && std::all_of(plan.functors.begin(), plan.functors.end(), [least](const Functor& f) {
           const Numbers& out = f.handed_out;
           return f.implicit || (!out.empty() && out.back() == f.steps && std::adjacent_find(out.begin(), out.end()) == out.end() &&
                                 (out.size() == 1 || out[out.size() - 2] <= least));
         });
}

solve::Outcome forward(const Setup& s, const FixedPointMap& f, const State& z0, std::int64_t budget, const Numbers& sample_at) {
  solve::Options options = s.parts.forward.options;
  options.max_evaluations = budget;
  return solve::solve(*s.parts.forward.make(), s.parts.forward.name, f, z0, options, sample_at);
}

/// How many states the reference's solver hands out, which ends early or misses the first marks.
std::size_t sampled(const Report& report) {
  for (const auto& [key, tensor] : report.statistics)
    if (key == "sampled") return static_cast<std::size_t>(tensor.item<std::int64_t>());
  return 0;
}

/// Whether the reference's solver came to every mark. Where it ended before, the layer hands their states out all the same.
bool all_sampled(const Setup& s, const Equilibrium& e) {
  return s.parts.options.form == "sliced" || s.plan.marks.size() == 1 || sampled(e.forward.back()) == s.plan.marks.size();
}

/// Adds what a functor makes of z.
void attach(const Setup& s, std::size_t k, const FixedPointMap& f, const State& z, Joined& joined) {
  const Functor& functor = s.plan.functors[k];
  gradient::LayerParts parts = s.parts;
  parts.gradient = s.methods[k];
  const Equilibrium e = join_at_rest(std::move(parts), f, z);
  joined.backward.push_back(e.backward);
  if (functor.implicit) return joined.states.push_back(e.states.back());
  std::set<std::int64_t> given(functor.handed_out.begin(), functor.handed_out.end());
  given.insert(functor.steps);
  for (const std::int64_t step : functor.handed_out)
    joined.states.push_back(e.states.at(static_cast<std::size_t>(std::distance(given.begin(), given.find(step)))));
}

Joined walk(const Setup& s, const FixedPointMap& f, const State& z0) {
  const bool slices = s.parts.options.form == "sliced";
  Joined joined;
  std::vector<State> samples;
  if (!slices) {
    const std::set<std::int64_t> marks(s.plan.marks.begin(), s.plan.marks.end());
    solve::Outcome out = forward(s, f, z0, s.budget, {marks.upper_bound(0), marks.end()});
    samples = std::move(out.samples);
    samples.resize(sampled(out.report), z0);
    if (samples.empty()) samples.push_back(out.z);  // the reference's solvers hand out the best at least
    joined.forward = std::move(out.report);
  }
  for (std::size_t k = 0; k < std::min(s.plan.functors.size(), slices ? s.plan.marks.size() : samples.size()); ++k) {
    if (slices) {
      solve::Outcome out = forward(s, f, k == 0 ? z0 : gradient::detached(joined.states.back()), s.plan.marks[k], {});
      samples.push_back(out.z);
      joined.forward = std::move(out.report);
    }
    attach(s, k, f, samples[k], joined);
  }
  return joined;
}

}  // namespace

void set_plan(const Case& c, Setup& s) {
  const bool hook = c.get("hook_ift", false), backward = c.kind == "backward";
  const auto implicit = [&] { return std::shared_ptr<GradientMethod>(test::make<GradientMethod>(Kind::gradient, "implicit", {{"jacobian_at", std::string(hook ? "state" : "image")}})); };
  s.plan.marks = marks_of(c, s.budget);
  s.marks_of_call = [&c](std::int64_t budget) { return marks_of(c, budget); };
  s.plan.functors = functors_of(c, marks_of(c, s.parts.forward.options.max_evaluations).size());
  Numbers steps;
  for (const Functor& functor : s.plan.functors) {
    steps.push_back(functor.steps);
    s.methods.push_back(functor.implicit ? implicit() : phantom(c, {functor.steps}));
  }
  s.parts.gradient = backward ? implicit() : s.methods.back();
  gradient::Options& o = s.parts.options;
  o.form = sliced(c) ? "sliced" : "indexing";
  s.held = s.training && !backward && held_by_layer(s.plan, sliced(c));
  if (!s.held) return;
  s.parts.intermediate = phantom(c, steps);
  if (!s.plan.functors.back().implicit) s.parts.gradient = s.parts.intermediate;
  if (c.get("n_states", std::int64_t{1}) > 1 && !sliced(c)) {
    o.states = static_cast<std::int64_t>(s.plan.marks.size());
    return;
  }
  std::int64_t mark = 0;
  for (const std::int64_t next : s.plan.marks) o.sample_at.push_back(mark = sliced(c) ? mark + next : next);
  o.sample_at.pop_back();
  s.budget = mark;
}

Equilibrium join_at_rest(gradient::LayerParts parts, const FixedPointMap& f, const State& z) {
  parts.forward = test::choice("fixed_point", {.max_evaluations = 0});  // which asks no solver
  parts.options = {.adjoint_scale = "none"};
  parts.intermediate = nullptr;  // of one state
  return gradient::Layer(std::move(parts)).solve(f, z);
}

Joined join(const Setup& s, const FixedPointMap& f, const State& z0, Recorder* recorder) {
  if (!s.training) {
    solve::Outcome out = forward(s, f, z0, s.budget, {});
    return {{out.z}, out.report};
  }
  if (s.held) {
    gradient::LayerParts parts = s.parts;
    parts.forward.options.max_evaluations = s.budget;
    const Equilibrium e = gradient::Layer(std::move(parts)).solve(f, z0);
    if (all_sampled(s, e)) return {e.states, e.forward.back(), {e.backward}};
    if (recorder) recorder->in.clear(), recorder->out.clear();
  }
  return walk(s, f, z0);
}

PlannedLayer::PlannedLayer(Setup setup, std::vector<Solved>* sink) : setup_(std::move(setup)), layer_(setup_.parts), sink_(sink) {}

Equilibrium PlannedLayer::solve(const FixedPointMap& f, const State& z0, const SolveOptions& options) {
  const bool joined = torch::GradMode::is_enabled() && options.gradient.value_or(options.training);
  Setup setup = setup_;
  if (joined && options.max_evaluations == 0) {  // a call of the reference may take its layer's budget away
    setup.held = setup.held && setup.plan.marks.size() == 1;
    setup.plan.marks = setup.marks_of_call(setup.budget = 0);
  }
  Equilibrium e;
  if (!joined || setup.held) e = layer_.solve(f, z0, options);
  if (joined && !(setup.held && all_sampled(setup, e))) {
    Joined walked = walk(setup, f, gradient::detached(z0));
    e = Equilibrium();
    e.fixed_point = gradient::detached(walked.states.back());
    e.states = std::move(walked.states);
    e.forward = {std::move(walked.forward)};
    e.backward = walked.backward.back();
  }
  sink_->push_back({f, e});
  return e;
}

}  // namespace zstar::reference
