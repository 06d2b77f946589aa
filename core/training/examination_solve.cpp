/// \file The questions of an examination about the solve: does it get there, and what is in its way if not?
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include <fmt/format.h>

#include "core/solve/plain.hpp"
#include "core/training/examination.hpp"
#include "core/training/examining.hpp"

namespace zstar::training {
namespace {

/// Of the samples that failed, the reason of most.
Reason usual_failure(const Report& report) {
  ReasonCounts counts{};
  for (std::size_t b = 0; b < report.reasons.size(); ++b) counts[static_cast<std::size_t>(report.reasons[b])] += failing(report, b);
  return static_cast<Reason>(std::max_element(counts.begin(), counts.end()) - counts.begin());
}

std::int64_t most_evaluations(const Report& report) {
  return report.evaluations.empty() ? 0 : *std::max_element(report.evaluations.begin(), report.evaluations.end());
}

/// Plain iteration of the samples that it does not solve, together: first and last residual, the way it went and how far it came by it.
struct Course {
  double first = 0, last = 0, way = 0, moved = 0;
};

/// \param from  [B, D] \param to  the last state, [B, D]
Course course_of(const Report& report, const Tensor& from, const Tensor& to) {
  Course course;
  const auto batch = static_cast<std::size_t>(report.batch());
  for (std::size_t b = 0; b < batch; ++b) {
    if (!failing(report, b)) continue;
    const auto steps = static_cast<std::size_t>(report.evaluations[b] - 1);
    course.first += report.trace.absolute[b], course.last += report.residual[b];
    for (std::size_t k = 0; k < steps; ++k) course.way += report.trace.absolute[k * batch + b];
    const auto row = static_cast<std::int64_t>(b);
    course.moved += (to[row] - from[row]).to(torch::kFloat64).norm().item<double>();
  }
  return course;
}

/// A residual that a tolerance is for, and how far the dtype can bring it.
struct Asked {
  const char* key;
  double tolerance, reach;
  bool within_reach() const { return tolerance >= reach; }
};

std::string in_words(const std::vector<Asked>& asked, const std::function<std::string(const Asked&)>& words) {
  std::string text;
  for (const Asked& a : asked) text += (text.empty() ? "" : ", ") + words(a);
  return text;
}

}  // namespace

solve::Options Examination::patient(std::int64_t budget) const {
  solve::Options o = options();
  o.max_evaluations = budget;
  if (o.tolerance == 0) o.tolerance = loose;
  o.stall_window = 0;
  o.divergence = 1e12;
  return o;
}

solve::Outcome Examination::longer(const Tensor& z, std::int64_t budget) const {
  const gradient::SolverChoice& forward = session_.layer().parts().forward;
  return solve::solve(*forward.make(), forward.name, map(), packing_.unpack(z), patient(budget));
}

std::string Examination::advised(const char* advice, std::initializer_list<const char*> solvers) const {
  std::string names;
  for (const char* name : solvers)
    if (std::find(in_use_.begin(), in_use_.end(), name) == in_use_.end()) names += (names.empty() ? "" : ", ") + std::string(name);
  return names.empty() ? "" : fmt::format("{} ({}), ", advice, names);
}

Finding Examination::finite() {
  std::int64_t bad = 0, all = 0;
  for (const Solved& s : pass_.solves)
    for (std::int64_t b = 0; b < s.equilibrium.forward.back().batch(); ++b, ++all)
      bad += std::any_of(s.equilibrium.forward.begin(), s.equilibrium.forward.end(), [b](const Report& r) { return r.reasons[static_cast<std::size_t>(b)] == Reason::nonfinite; });
  const std::string number = fmt::format("{} of {} samples met an infinity or a NaN", bad, all);
  if (bad == 0) return {"finite", Verdict::good, number};
  return sick("finite", number, "nonfinite", "f(z) is not finite at states that the solver tries", "look for logarithms, roots and divisions in f; bound the state (tanh, a norm), or damp the solver");
}

Finding Examination::precision() {
  const solve::Options& o = options();
  const double absolute = o.absolute_tolerance.value_or(o.tolerance);
  if (o.tolerance == 0 && !(o.stop == "any" && absolute > 0)) return {"precision", Verdict::good, fmt::format("no tolerance: every sample spends the budget, and is held to {:.0e} here", loose)};
  const double reach = 4 * packing_.epsilon(), unit = o.measure == "rms" ? std::sqrt(static_cast<double>(packing_.width())) : 1;
  std::vector<Asked> asked;
  if (o.stop != "absolute") asked.push_back({"tolerance", o.tolerance, reach});
  if (o.stop != "relative")
    asked.push_back({o.stop == "absolute" ? "tolerance" : "absolute_tolerance", o.stop == "absolute" ? o.tolerance : absolute, reach * image(z_).to(torch::kFloat64).norm(2, {1}).min().item<double>() / unit});
  const std::string number = in_words(asked, [](const Asked& a) { return fmt::format("{} {:.0e}, the dtype reaches about {:.1e}", a.key, a.tolerance, a.reach); });
  const bool met = o.stop == "any" ? std::any_of(asked.begin(), asked.end(), std::mem_fn(&Asked::within_reach)) : std::all_of(asked.begin(), asked.end(), std::mem_fn(&Asked::within_reach));
  std::int64_t short_of_it = 0, all = 0;
  for (const Solved& s : pass_.solves)
    for (const Reason r : s.equilibrium.forward.back().reasons) short_of_it += r != Reason::converged, ++all;
  if (met || !many(short_of_it, all)) return {"precision", Verdict::good, number};
  return sick("precision", number, "precision", "the tolerance is below what the dtype can reach, so a sample converges by luck alone",
              in_words(asked, [](const Asked& a) { return fmt::format("solver.{} = {:.0e} or more", a.key, 2 * a.reach); }) + ", or experiment.dtype = \"float64\"");
}

Finding Examination::solved() {
  std::int64_t bad = 0, all = 0;
  double residual = 0, evaluations = 0;
  for (const Solved& s : pass_.solves) {
    const Report report = whole_solve(s.equilibrium);
    bad += failing(report), all += report.batch();
    residual = greatest({residual, greatest(report.relative)});
    for (const std::int64_t n : report.evaluations) evaluations += static_cast<double>(n);
  }
  const std::string number = fmt::format("{} of {} samples solved, greatest residual {}, {:.1f} evaluations of {}", all - bad, all, residual_text(residual),
                                         evaluations / static_cast<double>(std::max<std::int64_t>(1, all)), options().max_evaluations);
  if (bad == 0) return {"solved", Verdict::good, number};
  if (!many(bad, all)) return {"solved", Verdict::note, number};
  return unsolved(number);
}

Finding Examination::unsolved(const std::string& number) {
  const torch::NoGradGuard no_grad;
  const std::int64_t budget = std::clamp<std::int64_t>(50 * options().max_evaluations, 1000, 5000);
  const Report more = longer(z_, budget).report;
  return many(failing(more), more.batch()) ? unsolvable(number, budget) : ended_early(number, most_evaluations(more));
}

/// With more of what ended the solve, it would converge.
Finding Examination::ended_early(const std::string& number, std::int64_t more) {
  const Report found = whole_solve(call().equilibrium);
  const std::int64_t needed = most_evaluations(found) + more;
  const std::string sentence = fmt::format("the samples would converge, with up to {} evaluations", needed);
  const std::string budget = needed > options().max_evaluations ? fmt::format("set solver.max_evaluations = {}, ", needed) : "";
  switch (usual_failure(found)) {
    case Reason::stalled:
      return sick("solved", number, "stalled", fmt::format("{}, and are given up after {} that bring less than 5 %", sentence, options().stall_window),
                  "widen solver.stall_window (0: never give up), " + budget + advised("take an accelerating solver", {"anderson", "broyden"}) + "or make f contract more (a norm, the jacobian regularizer)");
    case Reason::diverged:
      return sick("solved", number, "diverged", fmt::format("{}, and are given up where the residual is {:g} times the first", sentence, options().divergence),
                  "raise solver.divergence, " + budget + "or damp the solver (beta below 1)");
    default:
      return sick("solved", number, "budget", sentence,
                  "raise solver.max_evaluations, " + advised("take an accelerating solver", {"anderson", "broyden"}) + "or make f contract more (a norm, the jacobian regularizer)");
  }
}

/// The solver does not get there however long it runs: by watching plain iteration. It ends where 200 evaluations bring less than 5 %.
Finding Examination::unsolvable(const std::string& number, std::int64_t budget) {
  solve::Options watched = patient(budget);
  watched.stall_window = 200;
  watched.select = "last", watched.finished = "mask", watched.check_every = 1, watched.trace = true;
  solve::Plain plain;
  const solve::Outcome out = solve::solve(plain, "plain iteration", map(), packing_.unpack(z_), watched);
  const std::string& own = session_.layer().parts().forward.name;
  const std::int64_t evaluations = most_evaluations(out.report);
  const Course c = course_of(out.report, z_, packing_.pack(out.z));
  const bool solves = !many(failing(out.report), out.report.batch());
  if (solves || c.last < 0.1 * c.first)
    return sick("solved", number, "wrong_solver", fmt::format("plain iteration {} in {} evaluations, and '{}' with these options does not", solves ? "solves it" : fmt::format("gets from {:.1e} to {:.1e}", c.first, c.last), evaluations, own),
                fmt::format("solver.name = \"fixed_point\" with its default options; 'zstar plugins show {}' explains those of this solver", own));
  if (!std::isfinite(c.last) || c.last > 10 * c.first)
    return sick("solved", number, "diverging", fmt::format("plain iteration runs away from the best state ({:.1e} to {:.1e}): f is expansive there, and '{}' does not cope", c.first, c.last, own),
                advised("take a solver that needs no contraction", {"broyden", "newton_krylov"}) + "a norm on the weights, or a smaller initial scale");
  if (c.moved > 0.5 * c.way)
    return sick("solved", number, "drifting", fmt::format("each step goes on in the same direction ({:.1e} in {} steps): there is no fixed point near", c.moved, evaluations),
                "let f forget: a factor below one on z, a norm, or a bounded non-linearity");
  return sick("solved", number, "marginal", fmt::format("residuals neither fall nor grow under plain iteration ({:.1e} to {:.1e}): a cycle, or an eigenvalue of J of size one", c.first, c.last),
              "damp the solver (beta below 1), " + advised("take another", {"anderson", "broyden"}) + "or make f contract (a norm, the jacobian regularizer)");
}

Finding Examination::start() {
  const Report report = whole_solve(call().equilibrium);
  const auto at_once = std::count(report.first_converged.begin(), report.first_converged.end(), 1);
  const std::string number = fmt::format("{} of {} samples solved by the first iterate", at_once, report.batch());
  if (at_once < report.batch() || report.batch() == 0) return {"start", Verdict::good, number};
  return sick("start", number, "lazy", "the first iterate is the solution already: the layer adds nothing to what made it",
              "begin at zeros ([start] from = \"zeros\"), and check whether the tolerance is wide enough to accept anything");
}

Finding Examination::evaluation() {
  std::int64_t bad = 0, all = 0, bad_training = 0, all_training = 0;
  double residual = 0;
  for (const Solved& s : prober_.run(Pass::evaluation).solves) {
    const Report& report = s.equilibrium.forward.back();
    bad += failing(report), all += report.batch(), residual = greatest({residual, greatest(report.relative)});
  }
  for (const Solved& s : pass_.solves) bad_training += failing(s.equilibrium.forward.back()), all_training += s.equilibrium.forward.back().batch();
  const std::string number = fmt::format("{} of {} samples solved in evaluation, greatest residual {}", all - bad, all, residual_text(residual));
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

}  // namespace zstar::training
