/// \file Checks of solvers: the contract of begin, propose and keep, of options and of reports.
#include <cmath>
#include <sstream>

#include "core/experiment/experiment.hpp"
#include "core/training/session.hpp"
#include "core/verify/solver_subject.hpp"

namespace zstar::verify {
namespace {

using testing::AffineMap;

/// Samples of very different sizes and starts, so that whatever passes between them shows.
struct Mixed {
  AffineMap f;
  Tensor z0;
  explicit Mixed(std::uint64_t seed) : f(testing::contraction(4, 12, 0.9, seed)), z0(testing::randn({4, 12}, seed + 50)) {
    f.b = f.b * torch::tensor({{1.0}, {1e3}, {1e-3}, {0.0}}, torch::kFloat64);
    z0[3].zero_();  // at its solution
  }
  AffineMap of(const Tensor& rows) const { return {f.a, f.b.index_select(0, rows)}; }
  Tensor start(const Tensor& rows) const { return z0.index_select(0, rows); }
};

constexpr std::int64_t steps = 7;
// Rows see the same operations alone and in a batch; only sums may be grouped otherwise. What that moves in the last digit of a
// float64 may grow by the condition of a small system, at most 1e6 on this map, or by the 1/√ε of a difference quotient and the steps
// after it; what leaks from another sample is of order 1.
constexpr double grouping = 1e-6;

Tensor indices(std::initializer_list<std::int64_t> rows) { return torch::tensor(std::vector<std::int64_t>(rows), torch::kInt64); }

void permutation(SolverSubject& s, Scope& scope) {
  const Mixed m(s.seed() + 20);
  const Tensor order = indices({2, 0, 3, 1});
  const Tensor straight = s.iterate(m.f, m.z0, steps).index_select(0, order), permuted = s.iterate(m.of(order), m.start(order), steps);
  const double difference = row_difference(permuted, straight);
  scope.note("difference", difference);
  scope.expect(difference <= grouping, "iterates change by " + text(difference) + " when the samples change places");
}

void alone(SolverSubject& s, Scope& scope) {
  const Mixed m(s.seed() + 21);
  const Tensor batch = s.iterate(m.f, m.z0, steps);
  for (std::int64_t b = 0; b < 4; ++b) {
    const double difference = row_difference(s.iterate(m.of(indices({b})), m.start(indices({b})), steps), batch.narrow(0, b, 1));
    scope.expect(difference <= grouping, "sample " + std::to_string(b) + " alone differs by " + text(difference) + " from itself in a batch");
  }
}

void deterministic(SolverSubject& s, Scope& scope) {
  const Mixed m(s.seed() + 22);
  const at::Generator generator = at::globalContext().defaultGenerator(torch::kCPU);
  const Tensor state = generator.get_state();
  torch::manual_seed(1);
  const Tensor first = s.iterate(m.f, m.z0, steps);
  torch::manual_seed(2);
  const Tensor second = s.iterate(m.f, m.z0, steps);
  at::Generator(generator).set_state(state);
  scope.expect(first.equal(second), "two solves of one problem differ by " + text(row_difference(first, second)));
}

void reuse(SolverSubject& s, Scope& scope) {
  const Mixed m(s.seed() + 23);
  const AffineMap other = testing::contraction(2, 5, 0.8, s.seed() + 24);
  const auto used = s.solver();
  s.iterate(other, other.zeros(), steps, used.get());
  const Tensor after = s.iterate(m.f, m.z0, steps, used.get()), fresh = s.iterate(m.f, m.z0, steps);
  scope.expect(after.equal(fresh), "after begin, a used solver differs from a fresh one by " + text(row_difference(after, fresh)));
  const Tensor again = s.iterate(m.f, m.z0, steps, used.get());
  scope.expect(again.equal(fresh), "after begin with the same shape, a used solver differs from a fresh one by " + text(row_difference(again, fresh)));
}

/// `count` proposals from z on; \return the next iterate
Tensor advance(Solver& solver, const AffineMap& f, Tensor z, std::int64_t count) {
  const torch::NoGradGuard no_grad;
  for (std::int64_t k = 0; k < count; ++k) z = solver.propose(z, f(z)).contiguous();
  return z;
}

void keep(SolverSubject& s, Scope& scope) {
  if (s.drives()) scope.skip("it chooses its own evaluations, so that no sample leaves its batch");
  const Mixed m(s.seed() + 25);
  const Tensor rows = indices({2, 0});  // in another order
  const auto small = s.solver();
  small->begin(2, 12);
  const Tensor want = advance(*small, m.of(rows), m.start(rows), 9);
  for (const std::int64_t before : {0, 1, 4, 6}) {
    const auto solver = s.solver();
    solver->begin(4, 12);
    const Tensor z = advance(*solver, m.f, m.z0, before);
    solver->keep(rows);
    const double difference = row_difference(advance(*solver, m.of(rows), z.index_select(0, rows), 9 - before), want);
    scope.expect(difference <= grouping, "samples that stay after keep, called after " + std::to_string(before) +
                                             " steps, differ by " + text(difference) + " from the same samples without the others");
  }
}

void compact(SolverSubject& s, Scope& scope) {
  const Mixed m(s.seed() + 26);
  solve::Options o{.tolerance = 1e-9, .max_evaluations = 600};
  const auto masked = s.solve(m.f, State(m.z0), o);
  o.finished = "compact";
  const auto compacted = s.solve(m.f, State(m.z0), o);
  const double difference = row_difference(compacted.z[0], masked.z[0]);
  scope.note("difference", difference);
  scope.expect(difference <= 1e-7, "solutions differ by " + text(difference) + " between finished = mask and compact");  // both within 1e-9 / (1 − 0.9)
}

void arguments(SolverSubject& s, Scope& scope) {
  if (s.drives()) scope.skip("it chooses its own evaluations; 'untouched' says whether it modifies them");
  const torch::NoGradGuard no_grad;
  const AffineMap f = testing::contraction(3, 6, 0.8, s.seed() + 27);
  for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
    const auto solver = s.solver();
    solver->begin(3, 6);
    std::vector<std::pair<Tensor, Tensor>> seen;
    Tensor z = f.zeros().to(dtype);
    for (int k = 0; k < 8; ++k) {
      const Tensor fz = f.to(dtype)(z);
      seen.emplace_back(z, z.clone());
      seen.emplace_back(fz, fz.clone());
      const Tensor next = solver->propose(z, fz);
      scope.expect(next.sizes() == z.sizes() && next.scalar_type() == dtype, "propose returned another shape or dtype than it was given");
      scope.expect(!next.requires_grad() && !z.requires_grad() && !fz.requires_grad(), "propose put a tensor on the autograd graph");
      for (const auto& [now, then] : seen) scope.expect(now.equal(then), "step " + std::to_string(k + 1) + " modified a tensor that propose was given");
      z = next;
    }
  }
}

void samples(SolverSubject& s, Scope& scope) {
  const AffineMap f = testing::contraction(2, 6, 0.8, s.seed() + 28);
  const solve::Options o{.tolerance = 0, .max_evaluations = 8, .select = "last", .stall_window = 0};
  const auto out = s.solve(f, State(f.zeros()), o, nullptr, {1, 2, 5});
  scope.expect(out.samples.size() == 3, "three states were asked for, " + std::to_string(out.samples.size()) + " came");
  for (std::size_t i = 0; i < 3; ++i) {
    const std::int64_t step[] = {1, 2, 5};
    scope.expect(out.samples[i][0].equal(s.iterate(f, f.zeros(), step[i])), "the state asked for after evaluation " + std::to_string(step[i]) + " is another one");
  }
}

std::string number(double value, bool integer) {
  std::ostringstream out;
  out.precision(17);
  if (integer) out << static_cast<std::int64_t>(value);
  else out << std::showpoint << value;
  return out.str();
}

/// Reads a table as an experiment would. \return the settings, or nothing if the table is refused
std::optional<Settings> read_table(const SolverSubject& s, const std::string& line) {
  experiment::SectionSpec spec{"part", "a part under test", s.kind()};
  spec.required = true;
  try {
    return experiment::Experiment::parse("[part]\nname = '" + s.full_name() + "'\n" + line + "\n", "verify", {}, {spec}, training::CatalogueTables(s.catalogue()))
        .at("part")
        .options;
  } catch (const experiment::Refused&) {
    return std::nullopt;
  }
}

/// A short solve with these options: it may be refused with a sentence, and must otherwise stay within the laws.
void try_out(SolverSubject& s, Scope& scope, const Settings& settings, const std::string& where) {
  const AffineMap f = testing::contraction(2, 4, 0.6, s.seed() + 29);
  std::unique_ptr<Solver> solver;
  try {
    solver = s.solver(settings);
  } catch (const OptionError&) {
    return;
  }
  const auto out = s.solve(f, State(f.zeros()), {.tolerance = 1e-8, .max_evaluations = 12}, solver.get());
  for (const Reason reason : out.report.reasons) scope.expect(reason != Reason::nonfinite, "with " + where + ", iterates of a contraction become infinite");
}

void edge(SolverSubject& s, Scope& scope, const OptSpec& o, double bound, double outwards, bool open) {
  if (!std::isfinite(bound)) return;
  const bool integer = o.type == OptType::integer;
  const double step = integer ? 1 : 1e-6 * std::max(1.0, std::abs(bound));
  const std::string beyond = o.name + " = " + number(open ? bound : bound + outwards * step, integer), inside = o.name + " = " + number(open ? bound - outwards * step : bound, integer);
  scope.expect(!read_table(s, beyond), beyond + " is outside of the range, and was accepted");
  const auto settings = read_table(s, inside);
  scope.expect(settings.has_value(), inside + " is inside the range, and was refused");
  try_out(s, scope, *settings, inside);
}

void options(SolverSubject& s, Scope& scope) {
  scope.note("options", static_cast<double>(s.options().size()));
  for (const OptSpec& o : s.options()) {
    scope.expect(!o.doc.empty(), "option '" + o.name + "' says nothing of itself");
    if (o.type == OptType::integer || o.type == OptType::real) {
      edge(s, scope, o, o.low, -1, o.open_low);
      edge(s, scope, o, o.high, +1, o.open_high);
    }
    for (const std::string& choice : o.choices) try_out(s, scope, {{o.name, choice}}, o.name + " = " + choice);
    if (o.type == OptType::boolean)
      for (const bool value : {false, true}) try_out(s, scope, {{o.name, value}}, o.name + (value ? " = true" : " = false"));
    if (!o.choices.empty()) scope.expect(!read_table(s, o.name + " = 'none of these'"), "option '" + o.name + "' accepts a word that is none of its choices");
  }
  for (const Law law : {Law::untouched, Law::no_graph, Law::finite}) scope.expect(s.breach(law).empty(), "at an edge of an option: " + s.breach(law));
}

/// Solves a few problems, and then says what any solve of this part has been seen to do.
void law(SolverSubject& s, Scope& scope, Law which) {
  const AffineMap f = testing::contraction(3, 6, 0.8, s.seed() + 30), wild = testing::rotation(2, 2, 1.2, 1.0, s.seed() + 31);
  for (const std::int64_t budget : {1, 2, 3, 7, 40}) {
    s.solve(f, State(f.zeros()), {.tolerance = 1e-9, .max_evaluations = budget});
    s.solve(wild, State(wild.zeros()), {.tolerance = 1e-9, .max_evaluations = budget});
  }
  const testing::TanhMap tracked(3, 6, 0.9, s.seed() + 32);  // its tensors require gradients
  s.solve(tracked, State(torch::zeros({3, 6}, torch::kFloat64)), {.tolerance = 1e-9, .max_evaluations = 40});
  scope.expect(s.breach(which).empty(), s.breach(which));
}
void honest(SolverSubject& s, Scope& scope) { law(s, scope, Law::honest); }
void untouched(SolverSubject& s, Scope& scope) { law(s, scope, Law::untouched); }
void no_graph(SolverSubject& s, Scope& scope) { law(s, scope, Law::no_graph); }
void within_budget(SolverSubject& s, Scope& scope) { law(s, scope, Law::budget); }
void finite(SolverSubject& s, Scope& scope) { law(s, scope, Law::finite); }

}  // namespace

std::vector<Check<SolverSubject>> solver_contract_checks() {
  return {{"permutation", "samples may change places", permutation},
          {"alone", "a sample alone behaves as in a batch", alone},
          {"deterministic", "the same problem gives the same bits, whatever the global generator", deterministic},
          {"reuse", "after begin, nothing is left of the solve before", reuse},
          {"keep", "the samples that stay do not feel that others leave", keep},
          {"compact", "finished = compact gives what mask gives", compact},
          {"arguments", "propose modifies nothing it was given and keeps shape and dtype", arguments},
          {"samples", "hands out one state for each evaluation that was asked for", samples},
          {"options", "options just outside of their range are refused, those at the edge work", options},
          {"honest", "the residual reported is that of the state returned", honest},
          {"untouched", "z0, iterates and images are not modified", untouched},
          {"no_graph", "no autograd graph is made or kept", no_graph},
          {"within_budget", "f is called no more often than allowed", within_budget},
          {"finite", "what is returned is finite", finite}};
}

}  // namespace zstar::verify
