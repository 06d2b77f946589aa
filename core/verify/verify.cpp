#include "core/verify/verify.hpp"

#include "core/plugins/process_state.hpp"
#include "core/verify/dataset_subject.hpp"
#include "core/verify/gradient_subject.hpp"
#include "core/verify/model_subject.hpp"
#include "core/verify/norm_subject.hpp"
#include "core/verify/regularizer_subject.hpp"
#include "core/verify/solver_subject.hpp"
#include "zstar/guard.hpp"

namespace zstar::verify {
namespace {

struct Run {
  const Request& request;
  const std::function<void(const Result&)>& seen;
  std::vector<Result> results;

  void add(Result result) {
    if (seen) seen(result);
    results.push_back(std::move(result));
  }
};

/// Why a part is exempt from a check; empty: it is not.
std::string exempt(const Exemptions& exemptions, const std::string& check) {
  for (const auto& [name, reason] : exemptions.checks)
    if (name == check || name == "*") return reason;
  return {};
}

template <class S>
Result answer(S& subject, const Check<S>& check) {
  Result result{subject.kind(), subject.name(), check.name};
  result.seed = subject.seed();
  Scope scope;
  plugins::ProcessState state;
  const auto start = std::chrono::steady_clock::now();
  try {
    check.run(subject, scope);
  } catch (const Scope::Skipped& skipped) {
    result.outcome = Outcome::skipped, result.why = skipped.what();
  } catch (const Scope::Failed& failed) {
    result.outcome = Outcome::failed, result.why = failed.what();
  } catch (...) {
    result.outcome = Outcome::failed, result.why = "an exception came out: " + current_exception_text();
  }
  for (const std::string& change : state.restore("in a call"))
    if (result.outcome != Outcome::failed) result.outcome = Outcome::failed, result.why = change;
  result.numbers = scope.numbers();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

/// The checks of one part. A part that cannot be made with its defaults fails "constructs", or is skipped there if it needs data.
template <class S>
void verify_part(S& subject, const std::vector<Check<S>>& checks, Run& run) {
  const std::string prefix = std::string(plugins::to_string(subject.kind())) + "." + subject.name() + ".";
  std::vector<Check<S>> chosen;
  for (const Check<S>& check : checks)
    if (wanted(prefix + check.name, run.request.only)) chosen.push_back(check);
  const bool named = wanted(prefix + "constructs", run.request.only);
  if (chosen.empty() && !named) return;
  const Result made = answer(subject, Check<S>{"constructs", "", [](S& s, Scope& scope) { s.construct(scope); }});
  if (named || made.outcome == Outcome::failed) run.add(made);
  if (made.outcome != Outcome::passed) return;
  const auto exemptions = subject.template claims<Exemptions>();
  for (const Check<S>& check : chosen) {
    const std::string reason = exempt(exemptions, check.name);
    if (reason.empty()) run.add(answer(subject, check));
    else run.add({subject.kind(), subject.name(), check.name, Outcome::skipped, "exempt, as the part says: " + reason, {}, subject.seed(), 0});
  }
}

void verify_part(plugins::Catalogue& catalogue, TestHost& host, const plugins::PartEntry& part, Run& run) {
  const auto with = [&]<class S>(S subject, const std::vector<Check<S>>& checks) { verify_part(subject, checks, run); };
  const std::uint64_t seed = run.request.seed;
  switch (part.kind) {
    case Kind::solver: return with(SolverSubject(catalogue, host, part, seed), solver_checks());
    case Kind::gradient: return with(GradientSubject(catalogue, host, part, seed), gradient_checks());
    case Kind::norm: return with(NormSubject(catalogue, host, part, seed), norm_checks());
    case Kind::regularizer: return with(RegularizerSubject(catalogue, host, part, seed), regularizer_checks());
    case Kind::model: return with(ModelSubject(catalogue, host, part, seed), model_checks());
    case Kind::dataset: return with(DatasetSubject(catalogue, host, part, seed), dataset_checks());
  }
}

bool matches(std::string_view name, std::string_view pattern) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] == '*') return matches(name, pattern.substr(1)) || (!name.empty() && matches(name.substr(1), pattern));
  return !name.empty() && name[0] == pattern[0] && matches(name.substr(1), pattern.substr(1));
}

}  // namespace

bool wanted(const std::string& full, const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns)
    if (matches(full, pattern) || matches(full, pattern + ".*")) return true;
  return patterns.empty();
}

std::vector<Result> verify(plugins::Catalogue& catalogue, const std::vector<std::size_t>& files, const Request& request,
                           const std::function<void(const Result&)>& seen) {
  Run run{request, seen, {}};
  TestHost host(catalogue);
  for (const std::size_t file : files) {
    catalogue.load_file(file);
    for (std::size_t i = 0; i < catalogue.parts().size(); ++i)
      if (catalogue.parts()[i].file == file) {
        host.set(plain_layer());  // the part before may have left one of its own
        verify_part(catalogue, host, catalogue.parts()[i], run);
      }
  }
  return std::move(run.results);
}

std::vector<CheckName> all_checks() {
  std::vector<CheckName> names;
  const auto add = [&](Kind kind, const auto& checks) {
    for (const auto& check : checks) names.push_back({kind, check.name, check.doc});
  };
  add(Kind::solver, solver_checks());
  add(Kind::gradient, gradient_checks());
  add(Kind::norm, norm_checks());
  add(Kind::regularizer, regularizer_checks());
  add(Kind::model, model_checks());
  add(Kind::dataset, dataset_checks());
  return names;
}

}  // namespace zstar::verify
